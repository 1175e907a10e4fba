"""Videos of a served page that its app reported events about. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportedVideos:
    """Ids of the videos. `whole`: all archived events of the page were read; otherwise there can be more."""

    ids: frozenset[str]
    whole: bool
