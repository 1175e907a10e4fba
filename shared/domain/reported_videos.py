"""Videos of a served page that its app reported events about. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportedVideos:
    """The ids. `whole`: everything that is archived of the page was read; otherwise there may be more."""

    ids: frozenset[str]
    whole: bool
