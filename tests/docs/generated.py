"""`python -m tests.docs.generated` writes the parts of pages that are made from code; a test compares them."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import results
from feed.pipeline import REASONS
from infra import capacity, entry, figures, half, hosting, story_costs
from shared import settings
from shared.adapters.flags import evaluation
from shared.observability import metric_table as telemetry_metrics
from shared.web.problem_codes import CODES
from tests.docs import error_texts, worked_score
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


WHOLE: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings.as_markdown,
    "docs/metrics.md": telemetry_metrics.as_markdown,
    "docs/flags.md": evaluation.as_markdown,
    "docs/results.md": results.as_markdown,
    "docs/errors.md": error_texts.as_markdown,
}
"""Pages that are generated whole."""

PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/api.md", "codes"): _codes,
    ("docs/api.md", "reasons"): _reasons,
    ("docs/ranking.md", "worked score"): worked_score.as_markdown,
    ("docs/operations.md", "capacity"): _capacity,
    ("docs/operations.md", "half"): _half,
    ("docs/operations.md", "stories"): _story_costs,
    ("docs/decisions/0027-when-to-leave-flex-consumption.md", "hosting"): _hosting,
    ("docs/decisions/0033-gateway-under-a-ddos-plan.md", "entry"): _entry,
    ("docs/operations.md", "requirements"): requirements_met.as_markdown,
}
"""Page and mark → the text between `<!-- mark -->` and `<!-- /mark -->`."""


def with_part(text: str, mark: str, part: str) -> str:
    """Return the text of a page with one part replaced. Raises `ValueError` when its marks are missing."""
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
