"""An endless view, such as a phone left playing, does not dominate the average."""

from __future__ import annotations

import numpy as np

from events.archive import counts
from events.experiment_statistics import Outcomes
from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from ranking.stats import StatsTable
from shared.domain.event_types import UNLIKE, VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Arm, Experiment
from shared.domain.user_signals import WATCH_MS

NOW = 1_795_000_000.0
EIGHT_HOURS_MS = 8 * 3_600_000.0
FACTS = {"v": Facts("c", (), "", 50.0)}


def average_of(views_ms: list[float]) -> int:
    table = StatsTable()
    table.add([("v", NOW, VIDEO_VIEW, watch_ms, 50.0) for watch_ms in views_ms])
    return table.week("v", NOW)["avgWatchMs"]


def test_view_of_eight_hours_does_not_dominate_the_average() -> None:
    assert average_of([31_000.0] * 18) == 31_000
    assert average_of([31_000.0] * 18 + [EIGHT_HOURS_MS]) < 40_000


def test_repeated_views_of_a_video_count_in_full() -> None:
    assert average_of([120_000.0] * 18) == 120_000


def test_watch_time_of_a_user_is_capped_by_the_video_length() -> None:
    view = Event(VIDEO_VIEW, "v", int(NOW * 1000), fingerprint("one"), EIGHT_HOURS_MS)
    signals = fold(None, [view], FACTS, 14.0, NOW)
    assert signals.daily["watch_ms"].sum() == 150_000.0
    assert signals.categories.values[0, WATCH_MS] == np.float32(150_000.0)


def test_experiment_report_caps_archived_watch_time_by_the_video_length() -> None:
    experiment = Experiment("e", "e", (Arm(1, "a", 50.0), Arm(2, "b", 50.0)), "running", started_at=0.0)
    outcomes = Outcomes(experiment)
    request = {"servedAt": int(NOW * 1000), "arm": 1}
    line = {"user": "u", "type": VIDEO_VIEW, "videoId": "v", "request": request, "watchTimeMs": EIGHT_HOURS_MS}
    outcomes.add([line, line | {"counted": False}], {"v": 50.0})
    assert outcomes.users["u"].watched_ms == 150_000.0
    assert outcomes.users["u"].views == 1


def test_older_archive_line_counts_by_its_feed_request() -> None:
    assert [counts({"request": request}) for request in (None, {})] == [False, True]
    assert not counts({"request": {}, "counted": False})
    assert counts({"request": None, "counted": True})


def test_weekly_likes_are_never_below_zero() -> None:
    table = StatsTable()
    table.add([("v", NOW, UNLIKE, 0.0, 50.0)] * 500)
    assert table.week("v", NOW)["likes"] == 0
