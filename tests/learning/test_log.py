"""Archived events as exposures: each view is one, and each play reported by heartbeats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learning.log import propensity_of, read_json_lines
from tests.served_app import make_video


def line(kind: str, at: int, watch_ms: float | None = None, key: int | None = None) -> dict[str, Any]:
    play = None if key is None else {"key": key, "startedAt": 1_000_000, "countedMs": None}
    return {"user": "u", "type": kind, "videoId": "v", "timestamp": at, "watchTimeMs": watch_ms, "play": play}


def test_play_reported_by_heartbeats_is_one_exposure_at_its_furthest(tmp_path: Path) -> None:
    lines = [
        line("impression", 1_000_000),
        line("start", 1_000_000),
        line("progress", 1_010_000, 10_000.0, key=1),
        line("progress", 1_020_000, 20_000.0, key=1),
        line("video_view", 1_025_000, 25_000.0, key=1),
        line("progress", 1_060_000, 10_000.0, key=2),
        line("video_view", 1_090_000, 3_000.0),
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "videos.jsonl").write_text(json.dumps(make_video("v").to_document()))
    read = read_json_lines(tmp_path / "events.jsonl", tmp_path / "videos.jsonl").exposures
    assert read.watch_ms.tolist() == [25_000.0, 10_000.0, 3_000.0]
    assert read.long.tolist() == [True, False, False]


def test_play_is_dated_by_its_start(tmp_path: Path) -> None:
    late = line("progress", 1_060_000, 60_000.0, key=1)
    (tmp_path / "events.jsonl").write_text(json.dumps(late))
    (tmp_path / "videos.jsonl").write_text(json.dumps(make_video("v").to_document()))
    read = read_json_lines(tmp_path / "events.jsonl", tmp_path / "videos.jsonl").exposures
    assert read.time.tolist() == [1_000.0]


def test_event_in_the_exploration_slot_has_its_propensity(tmp_path: Path) -> None:
    receipt = {"exploredRank": 5, "propensity": 0.004}
    lines = [
        {**line("impression", 1_000_000), "rankPosition": 5, "request": receipt},
        {**line("video_view", 1_005_000, 20_000.0), "rankPosition": 5, "request": receipt},
        {**line("impression", 1_000_000), "videoId": "other", "rankPosition": 6, "request": receipt},
        {**line("impression", 1_000_000), "videoId": "third", "rankPosition": 5, "request": None},
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    videos = [make_video(name).to_document() for name in ("v", "other", "third")]
    (tmp_path / "videos.jsonl").write_text("\n".join(map(json.dumps, videos)))
    log = read_json_lines(tmp_path / "events.jsonl", tmp_path / "videos.jsonl")
    found = {
        log.videos[video].id: chance
        for video, chance in zip(log.exposures.video.tolist(), log.exposures.propensity.tolist(), strict=True)
    }
    assert found == {"v": 0.004, "other": 0.0, "third": 0.0}


@pytest.mark.parametrize("chance", [None, True, "0.5", 0.0, -0.1, 1.5, float("nan")])
def test_invalid_propensity_is_ignored(chance: object) -> None:
    event = {"rankPosition": 5, "request": {"exploredRank": 5, "propensity": chance}}
    assert propensity_of(event) == 0.0
