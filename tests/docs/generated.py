"""`python -m tests.docs.generated` writes what the documentation repeats of the code; a test compares it."""

from __future__ import annotations

from collections.abc import Callable

from feed.pipeline import REASONS
from infra import capacity, entry, figures, half, hosting, story_costs
from shared import settings
from shared.adapters.flags import evaluation
from shared.observability import metric_table as telemetry_metrics
from shared.web.problem_codes import CODES
from tests.docs import worked_score
from tests.docs.pages import ROOT
from tests.infra import compiler, requirements_met


def _codes() -> str:
    lines = ["| code | status | means |", "|---|---|---|"]
    for name, code in sorted(CODES.items(), key=lambda each: each[1].status):
        lines.append(f"| `{name}` | {code.status}{' ↻' if code.retry else ''} | {code.meaning} |")
    return "\n".join(lines) + "\n"


def _reasons() -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in REASONS.items()]
    return "\n".join(["| reason | |", "|---|---|", *rows]) + "\n"


def _capacity() -> str:
    return capacity.render(figures.read())


def _hosting() -> str:
    return hosting.render(figures.read().after)


def _half() -> str:
    return half.render(figures.read().after)


def _story_costs() -> str:
    return story_costs.render(figures.read().after)


def _entry() -> str:
    return entry.render(figures.read().after)


def _scale() -> str:
    """The rows of the capacity table that the design repeats."""
    table = [line.strip("| ").split(" | ") for line in _capacity().splitlines()]
    rows = {cells[0]: cells[1:] for cells in reversed(table) if len(cells) > 1}
    both = zip(rows["instances (2 GB, 1 core): HTTP"], rows["instances: folding"], strict=True)
    shown = {
        "instances: HTTP + folding": [f"{http} + {fold}" for http, fold in both],
        "instances: drainers of the roll-up": rows["instances: drainers of the roll-up"],
        "request units a second": rows["request units a second: everything"],
        **{name: rows[name] for name in ("messaging units", "gateway capacity units", "App Configuration quota used")},
    }
    lines = ["| " + " | ".join(["while it lasts", *rows["while it lasts"]]) + " |", "|---|---:|---:|---:|---:|"]
    lines += ["| " + " | ".join([name, *cells]) + " |" for name, cells in shown.items()]
    usual, tenfold = (rows["**together**"][at].strip("*") for at in (0, 2))
    folding, everything = rows["request units a second: folding"][1], rows["request units a second: everything"][1]
    lines += [
        "",
        f"The same program prints ${usual} a month for 600/s, peak 3,000/s, and ${tenfold} for ten times that.",
        f"At 3,000/s folding takes {folding} of {everything} request units a second.",
    ]
    return "\n".join(lines) + "\n"


WHOLE: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings.as_markdown,
    "docs/metrics.md": telemetry_metrics.as_markdown,
    "docs/flags.md": evaluation.as_markdown,
}
"""Pages that are nothing but what the code says."""

PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/api.md", "codes"): _codes,
    ("docs/api.md", "reasons"): _reasons,
    ("docs/ranking.md", "worked score"): worked_score.as_markdown,
    ("docs/operations.md", "capacity"): _capacity,
    ("docs/operations.md", "half"): _half,
    ("docs/operations.md", "stories"): _story_costs,
    ("docs/design.md", "scale"): _scale,
    ("docs/decisions/0027-flex-consumption-until-its-executions-cost-more.md", "hosting"): _hosting,
    ("docs/decisions/0033-the-gateway-stays-under-a-ddos-plan-where-it-pays.md", "entry"): _entry,
    ("docs/operations.md", "requirements"): requirements_met.as_markdown,
}
"""Page and mark → what stands between `<!-- mark -->` and `<!-- /mark -->`."""


def with_part(text: str, mark: str, part: str) -> str:
    """The text of a page with one part written anew. Raises `ValueError` when its marks are missing."""
    before, opened, rest = text.partition(f"<!-- {mark} -->\n")
    _, closed, after = rest.partition(f"<!-- /{mark} -->")
    if not opened or not closed:
        raise ValueError(f"the marks <!-- {mark} --> and <!-- /{mark} --> are missing")
    return f"{before}{opened}{part}{closed}{after}"


def main() -> None:
    """Write every page and part."""
    for name, render in WHOLE.items():
        (ROOT / name).write_text(render(), encoding="utf-8")
    for (name, mark), render in PARTS.items():
        if mark == "requirements" and compiler.find() is None:
            print(f"left out: {mark} of {name}; {compiler.HOW_TO_GET_IT}")
            continue
        path = ROOT / name
        path.write_text(with_part(path.read_text(encoding="utf-8"), mark, render()), encoding="utf-8")


if __name__ == "__main__":
    main()
