"""The archive's events as exposures: each view is one, and each play told by heartbeats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from learning.log import read_json_lines
from tests.served_app import make_video


def line(kind: str, at: int, watch_ms: float | None = None, key: int | None = None) -> dict[str, Any]:
    play = None if key is None else {"key": key, "startedAt": 1_000_000, "countedMs": None}
    return {"user": "u", "type": kind, "videoId": "v", "timestamp": at, "watchTimeMs": watch_ms, "play": play}


def test_a_play_told_by_heartbeats_is_one_exposure_with_its_furthest(tmp_path: Path) -> None:
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
