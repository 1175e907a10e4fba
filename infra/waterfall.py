"""The bill before and after, one change of the product a line, and what stands between it and half of it again.

Levers are applied one after another, in the order of `capacity.json`; a line is what the bill falls by when its lever
joins those above it. So lines add up, and a lever's line depends on the order: what is left of a step (a messaging
unit) goes to the lever that crosses it. What only another assumption would change stands in a column of its own, after
all levers, and is no saving.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.figures import MONTH_SECONDS, Figures, Inputs

Bill = Callable[[float, float, Inputs], Mapping[str, float]]
"""Average rate, peak rate, figures → part → dollars a month."""

TARGETS = {(600, 3_000): 8_700.0, (3_000, 3_000): 28_500.0, (30_000, 30_000): 265_000.0}
"""Average and peak → what the bill is to be at most, on Flex Consumption."""
LINES = 5
"""How many of the largest parts are named."""

WANTED = {
    "Functions, executions": "a host that does not charge for them (decision 27), or events sent with the next feed",
    "Functions, instances": "less CPU per feed and per batch, or a host whose cores cost less (decision 27)",
    "Functions, instances for timers": "fewer functions that scale alone, or a host without ready instances for each",
    "Functions, learning at night": "fewer requests of a day that are ranked for the gate, or a fit every other night",
    "Cosmos DB": "several batches of a user in one write, or smaller documents: a write costs five times its reading",
    "Service Bus": "fewer bytes a batch, one hop instead of two, or units that follow the load by the hour",
    "Gateway with firewall": "requests a unit as measured, not as published, or a firewall of our own (decision 33)",
    "Traffic to the internet": "smaller pages: fields that a client asks for, links without their common beginning",
    "Private endpoints": "fewer bytes through them: smaller signals and messages; the rate falls only above a petabyte",
    "Archive": "fewer days, or a colder tier after the first week",
    "Telemetry": "fewer series: tenants that send little share one",
    "App Configuration and the rest": "nothing: it does not grow",
}
"""Part → what taking away much of it would need."""


@dataclass(frozen=True)
class Step:
    """A line: what it is, and what each month's bill falls by (negative: it rises)."""

    name: str
    saved: tuple[float, ...]


def levers(found: Figures, bill: Bill) -> list[Step]:
    """What each change of the product saves, in order."""
    return _steps(found.before, found.levers(), bill)


def assumptions(found: Figures, bill: Bill) -> list[Step]:
    """What each other assumption would change after all levers, each alone."""
    base = found.after
    return [step for name, change in found.assumptions().items() for step in _steps(base, {name: change}, bill)]


def _steps(start: Inputs, changes: Mapping[str, Mapping[str, float]], bill: Bill) -> list[Step]:
    known, steps = dict(start), []
    costs = _together(known, bill)
    for name, change in changes.items():
        known |= change
        now = _together(known, bill)
        steps.append(Step(name, tuple(was - then for was, then in zip(costs, now, strict=True))))
        costs = now
    return steps


def _together(inputs: Inputs, bill: Bill) -> list[float]:
    return [sum(bill(average, peak, inputs).values()) for average, peak in TARGETS]


def waterfall(found: Figures, bill: Bill) -> str:
    """Both tables as Markdown."""
    return "\n".join((_before_and_after(found, bill), _what_is_left(found.after, bill)))


def _before_and_after(found: Figures, bill: Bill) -> str:
    heads = [f"{average:,}/s, peak {peak:,}/s | if assumed otherwise" for average, peak in TARGETS]
    before, after = _together(found.before, bill), _together(found.after, bill)
    millions = [average * MONTH_SECONDS / 1e6 for average, _ in TARGETS]
    targets = list(TARGETS.values())
    judged = [
        f"{target:,.0f}: " + ("met" if cost <= target else f"{cost - target:,.0f} more")
        for cost, target in zip(after, targets, strict=True)
    ]
    lines = ["| dollars a month | " + " | ".join(heads) + " |", "|---|" + "---:|" * 2 * len(TARGETS)]
    lines.append(_line("**before**", [f"**{cost:,.0f}**" for cost in before]))
    lines += [_line(step.name, [_change(saved) for saved in step.saved]) for step in levers(found, bill)]
    lines.append(_line("**after**", [f"**{cost:,.0f}**" for cost in after]))
    lines.append(_line("to reach, at most", judged))
    for name, costs in (("before", before), ("after", after)):
        prices = [f"{cost / count:.2f}" for cost, count in zip(costs, millions, strict=True)]
        lines.append(_line(f"a million feeds with their events, {name}", prices))
    for step in assumptions(found, bill):
        lines.append(_line(f"no saving: {step.name}", [_change(saved) for saved in step.saved], assumed=True))
    return "\n".join(lines) + "\n"


def _line(name: str, values: list[str], *, assumed: bool = False) -> str:
    cells = [f" | {value}" if assumed else f"{value} | " for value in values]
    return f"| {name} | " + " | ".join(cells) + " |"


def _change(saved: float) -> str:
    """What the bill changes by; a saving is negative."""
    return f"{'−' if saved > 0 else '+'}{abs(saved):,.0f}" if round(saved) else "0"


def _what_is_left(after: Inputs, bill: Bill) -> str:
    lines = ["| the largest parts after | dollars a month | share | what taking much of it away needs |"]
    lines.append("|---|---:|---:|---|")
    for average, peak in TARGETS:
        parts = bill(average, peak, after)
        together = sum(parts.values())
        lines.append(f"| **{average:,}/s: half of it is {together / 2:,.0f}** | | | |")
        for part in sorted(parts, key=lambda each: -parts[each])[:LINES]:
            lines.append(f"| {part} | {parts[part]:,.0f} | {parts[part] / together:.0%} | {WANTED[part]} |")
    return "\n".join(lines) + "\n"
