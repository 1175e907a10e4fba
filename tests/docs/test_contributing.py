"""CONTRIBUTING.md sends nobody to a file or a name that is not there, and draws the arrows that are checked."""

from __future__ import annotations

import re

import pytest

from ranking.stats import StatEvent, StatsTable
from shared.domain.event_types import EVENT_TYPES
from tests.docs.pages import ROOT, pages
from tests.test_house import ARROWS

PAGE = pages()["CONTRIBUTING.md"]
PATH = re.compile(r"(?:[\w.-]+/)*[\w.-]+\.(?:py|md|json|bicep|txt|yml|toml)")
NAME = re.compile(r"\.?(_?[A-Z][A-Z_]{2,}|_\w+|[a-z]+_[a-z_]+|Viewer|View|FeedApi|StaticFeatures|UserFeatures|Problem)")
PLACES = (
    "a-ranking-feature",
    "a-filter",
    "an-event-type",
    "a-backend",
    "a-setting",
    "a-metric",
    "a-problem-code",
    "an-endpoint",
    "a-cms-resource",
)


@pytest.mark.parametrize("place", PLACES)
def test_every_step_names_existing_files_and_names_in_them(place: str) -> None:
    steps = [passage for passage in PAGE.section(place) if re.match(r"\d\. ", passage.text)]
    assert steps, "no step"
    wrong = []
    for step in steps:
        codes = re.findall(r"`([^`]+)`", step.text)
        files = [code for code in codes if PATH.fullmatch(code)]
        wrong += [f"{step.place}: there is no {file}" for file in files if not (ROOT / file).exists()]
        text = "".join((ROOT / file).read_text(encoding="utf-8") for file in files if (ROOT / file).exists())
        names = [found[1] for code in codes if (found := NAME.fullmatch(code))]
        wrong += [f"{step.place}: {name} is in none of {files}" for name in names if name not in text]
    assert wrong == []


def test_import_diagram_equals_the_checked_arrows() -> None:
    (drawn,) = [block.text for block in PAGE.blocks if block.place.section == "who-may-import-whom"]
    arrows: dict[str, set[str]] = {}
    for source, targets in re.findall(r"^\s*(\w+) --(?: [^>]*? --)?> (.+)$", drawn, re.MULTILINE):
        arrows.setdefault(source, set()).update(targets.split(" & "))

    def node(target: str) -> str:
        """A package as it is drawn; a single module of one as its package."""
        return (target if target in ARROWS else target.partition(".")[0]).replace(".", "_")

    assert arrows == {node(package): set(map(node, targets)) for package, targets in ARROWS.items() if targets}


def test_every_event_type_is_known_to_the_statistics() -> None:
    """Else a message with it would come back for ever."""
    events: list[StatEvent] = [("vid_1", 1_790_000_000.0, name, 1_000.0, 30.0) for name in EVENT_TYPES]
    StatsTable().add(events)
