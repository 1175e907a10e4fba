"""Compares the watch time of the holdout and the other users by day, and takes a losing model back. Pure.

`holdout_day` computes a day's figures from the sample's lines, which have every user of the holdout and a hashed share
of the others. `with_holdout_day` adds them to the tenant's state. `judge` gives the verdict for the days on which a
personal model was served, and `take_back` applies it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from events.archive import counted_before_ms, counts, is_live
from learning.holdout import HoldoutDay, Verdict, WatchedDay, holdout_verdict
from ranking.watching import counted_watch_time
from shared.domain.auto_model import MAX_HOLDOUT_DAYS, MAX_TAKEN_BACK, REST_NIGHTS, AutoModel
from shared.domain.event_types import PROGRESS, VIDEO_VIEW
from shared.domain.formats import is_number
from shared.domain.holdout_users import in_holdout


def holdout_day(
    lines: Iterable[Mapping[str, Any]], tenant_id: str, durations: Mapping[str, float] | None = None
) -> HoldoutDay:
    """Return the watch time per user of a day, from lines of the archive or of the sample.

    A user with an event that counts was active. Watch time counts as in statistics. `durations` of videos in seconds,
    if known. One number per user is in memory, so pass a sample if there are many.
    """
    durations = durations or {}
    watched: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        user = line.get("user")
        if not user or not is_live(line) or not counts(line):
            continue
        seconds = 0.0
        if line["type"] in (VIDEO_VIEW, PROGRESS):
            duration = durations.get(line["videoId"], 0.0)
            seconds = counted_watch_time(line.get("watchTimeMs"), duration) / 1000
            seconds -= counted_watch_time(counted_before_ms(line), duration) / 1000
        watched[user] += seconds
    groups: tuple[list[float], list[float]] = ([], [])
    for user, seconds in watched.items():
        groups[in_holdout(user, tenant_id)].append(max(0.0, seconds))
    return HoldoutDay(model=_watched(groups[0]), holdout=_watched(groups[1]))


def _watched(seconds: Sequence[float]) -> WatchedDay:
    return WatchedDay(len(seconds), sum(seconds), sum(each * each for each in seconds))


def with_holdout_day(auto: AutoModel, day: str, personal: str | None, figures: HoldoutDay) -> AutoModel:
    """Return the state with a day's figures. Those of the same day are replaced, so a night can be repeated.

    `day` is a UTC date; `personal` is the version that the other users were served, None if they were served the same
    as the holdout.
    """
    entry = {"day": day, "personal": personal, "model": _entry(figures.model), "holdout": _entry(figures.holdout)}
    kept = [each for each in auto.holdout_days if each.get("day") != day]
    days = sorted([*kept, entry], key=lambda each: str(each.get("day")))
    return replace(auto, holdout_days=tuple(days[-MAX_HOLDOUT_DAYS:]))


def _entry(watched: WatchedDay) -> list[float]:
    return [watched.users, round(watched.seconds, 3), round(watched.squares, 3)]


def judged_days(auto: AutoModel) -> list[HoldoutDay]:
    """Return the newest days without a gap on which a personal model was served, since the last take-back.

    Each night gives a new version of the model, so the days are of several versions. An unreadable entry ends the days.
    """
    days: list[HoldoutDay] = []
    for entry in reversed(auto.holdout_days):
        model, holdout = watched_of(entry.get("model")), watched_of(entry.get("holdout"))
        taken_back = auto.taken_back_on is not None and str(entry.get("day")) <= auto.taken_back_on
        if taken_back or not entry.get("personal") or model is None or holdout is None:
            break
        days.append(HoldoutDay(model, holdout))
    return days[::-1]


def watched_of(entry: object) -> WatchedDay | None:
    """Return a group's stored day; None if it cannot be read."""
    if not isinstance(entry, list) or len(entry) != 3 or not all(is_number(each) and each >= 0 for each in entry):
        return None
    return WatchedDay(int(entry[0]), float(entry[1]), float(entry[2]))


def judge(auto: AutoModel) -> Verdict:
    """Judge the served model by the holdout's watch time."""
    return holdout_verdict(judged_days(auto))


def take_back(auto: AutoModel, verdict: Verdict) -> AutoModel:
    """Return the state without its personal model if the verdict says so, or if one was taken back a few nights ago;
    else the same state. Fitted popularity is then served to all users."""
    if auto.personal is None:
        return auto
    if verdict.take_back:
        taken_back = (auto.personal, *(each for each in auto.taken_back if each != auto.personal))[:MAX_TAKEN_BACK]
        why = f"taken back: {verdict.why}"
        return replace(auto, personal=None, suggested=None, why=why, taken_back=taken_back, taken_back_on=auto.night)
    if auto.rests(auto.night):
        why = f"a model was taken back on {auto.taken_back_on}: none is promoted for {REST_NIGHTS} nights"
        return replace(auto, personal=None, why=why)
    return auto
