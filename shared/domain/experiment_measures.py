"""Measures of an experiment, which its report compares between arms."""

from __future__ import annotations

MEASURES: dict[str, str] = {
    "clickThrough": "views per video shown",
    "watchSeconds": "seconds watched per video shown",
    "completion": "videos watched to their end per video shown",
    "approval": "likes, shares and saves per video shown",
    "skip": "skips per video shown",
}
"""Name in the report → meaning."""
