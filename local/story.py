"""`python -m local.story` prints a batch of events of a user who completes fitness videos and skips cooking videos."""

from __future__ import annotations

import time
from typing import Any

import orjson


def story_events(now: float) -> list[dict[str, Any]]:
    """Return six fitness views and four cooking skips of the last minutes, as the SDK would send them."""
    rows: list[tuple[str, str, int | None]] = [("video_view", f"vid_fitness_{n}", 26_000) for n in range(2, 8)]
    rows += [("skip", f"vid_cooking_{n}", None) for n in range(2, 6)]
    return [
        {"type": kind, "videoId": video_id, "timestamp": int((now - 300 + 20 * at) * 1000), "watchTimeMs": watch_ms}
        for at, (kind, video_id, watch_ms) in enumerate(rows)
    ]


if __name__ == "__main__":
    print(orjson.dumps({"events": story_events(time.time())}).decode())
