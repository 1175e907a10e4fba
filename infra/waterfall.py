"""Compares the bill before and after the product's changes ("levers"), one line for each change.

Levers are applied one after another in the order of `capacity.json`. A line is the reduction of the bill by its lever
in addition to those above, so the lines add up. A lever's line depends on the order: where a cost has steps (a
messaging unit), the lever that crosses the step gets the whole saving. Effects of alternative assumptions are in their
own column after all levers; they are no savings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.figures import MONTH_SECONDS, Figures, Inputs

Bill = Callable[[float, float, Inputs], Mapping[str, float]]
"""Function of average rate, peak rate and figures that returns dollars a month by part."""

TARGETS = {(600, 3_000): 8_700.0, (3_000, 3_000): 28_500.0, (30_000, 30_000): 265_000.0}
"""Target for the bill on Flex Consumption, by average and peak rate."""
LINES = 5
"""Number of the largest parts in the table."""

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
"""Requirement for a large reduction, by part."""


@dataclass(frozen=True)
class Step:
    """A line: its name, and the reduction of each monthly bill (negative: an increase)."""

    name: str
    saved: tuple[float, ...]


def levers(found: Figures, bill: Bill) -> list[Step]:
    """Return the saving of each change of the product, in order."""
    return _steps(found.before, found.levers(), bill)


def assumptions(found: Figures, bill: Bill) -> list[Step]:
    """Return the effect of each alternative assumption alone, after all levers."""
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
    """Return both tables as Markdown."""
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
    """Format the change of the bill; a saving is negative."""
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
