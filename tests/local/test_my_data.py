"""A user's own files become a learning tenant with a report; its videos and events can be deleted again."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from pathlib import Path

import aiohttp
import pytest

from learning.log import read_json_lines
from local.export import EVENTS_FILE, VIDEOS_FILE, export
from local.importer import hash_user
from local.my_data import prepared
from shared.settings import BadSetting

DAY_MS = 86_400_000
DAYS = 6


def write_files(folder: Path) -> None:
    """Write a log of twenty users for six days: half of them watch fitness, half cooking."""
    draw = random.Random(1)
    themes = ("fitness", "cooking")
    videos = [
        {"video_id": n, "name": f"Clip {n}", "tag": themes[n % 2], "author_id": n % 7, "video_duration": 20_000}
        for n in range(60)
    ]
    shown = [
        {
            "user_id": user,
            "video_id": video,
            "time_ms": day * DAY_MS + draw.randrange(DAY_MS),
            "play_time_ms": 20_000 if video % 2 == user % 2 else 0,
        }
        for day in range(DAYS)
        for user in range(20)
        for video in draw.sample(range(60), 6)
    ]
    for name, rows in (("videos", videos), ("events", shown)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def arguments(folder: Path) -> argparse.Namespace:
    return argparse.Namespace(
        videos=folder / "videos.jsonl", events=folder / "events.jsonl", columns=["title=name"], rating="PG",
        tenant="mine", port=0,
    )  # fmt: skip


async def test_own_files_become_a_feed_with_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_FOLDER", str(tmp_path / "data"))
    write_files(tmp_path)
    async with prepared(arguments(tmp_path)) as (served, key), aiohttp.ClientSession() as http:
        editor = {"X-Tenant-Id": "mine", "X-Api-Key": key}
        async with http.get(f"{served.url}/v1/cms/videos/7", headers=editor) as answer:
            assert (await answer.json())["title"] == "Clip 7"
        viewer = {**editor, "X-User": hash_user("mine", 1)}
        async with http.get(f"{served.url}/v1/feed", headers=viewer) as answer:
            page = await answer.json()
        assert page["mode"] == "personalized"
        assert int(page["items"][0]["videoId"]) % 2 == 1  # cooking, as they always watched
        (report,) = (tmp_path / "data" / "my-data").glob("*/report/report.md")
        assert "lift" in report.read_text()
        async with http.get(f"{served.url}/v1/cms/learning", headers=editor) as answer:
            assert answer.status == 200, await answer.text()
        printed = capfd.readouterr().out
        assert "60 videos in" in printed
        assert key not in printed
        await _check_export(served.app, tmp_path / "out")
        with pytest.raises(BadSetting, match="exists already"):
            async with asyncio.timeout(60), prepared(arguments(tmp_path)):
                raise AssertionError("unreachable")


async def _check_export(app: object, folder: Path) -> None:
    found = await export(app, "mine", folder)  # type: ignore[arg-type]
    log = read_json_lines(folder / EVENTS_FILE, folder / VIDEOS_FILE)
    assert found.videos == 60
    assert len(found.days) in (DAYS, DAYS + 1)  # the log's days begin at any hour
    assert DAYS * 60 < len(log.exposures) <= 20 * DAYS * 6  # an impression without a view counts once
    assert log.videos[0].title.startswith("Clip")
    with pytest.raises(BadSetting, match="not empty"):
        await export(app, "mine", folder)  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="no tenant"):
        await export(app, "other", folder)  # type: ignore[arg-type]
