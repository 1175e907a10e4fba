"""Heartbeats of a play count once; starts, stalls and failures are separate; malformed ones are refused one by one."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cms.videos.daily_figures import read_days
from events.archive import from_lines
from events.schema import REJECTIONS
from ranking.stats import STATS_PREFIX, StatsTable, merged
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.documents.port import VIDEO_STATS, query_all
from tests.served_app import App, Client, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


def heartbeat(app: App, video: str, position_ms: int, **fields: Any) -> dict[str, Any]:
    began = app.now_ms(600)
    return {
        "type": "progress",
        "videoId": video,
        "timestamp": began + position_ms,
        "playId": "play-1",
        "startedAt": began,
        "positionMs": position_ms,
        **fields,
    }


async def figures(client: Client, video: str) -> dict[str, int]:
    """Return a video's counts of today and yesterday after the roll-up: a play can have begun before midnight."""
    app = client.app
    await app.folded()
    await app.rolled_up()
    today = datetime.fromtimestamp(app.clock.now(), UTC).date()
    days = await read_days(app.documents, client.tenant_id, today - timedelta(days=1), today)
    found: Counter[str] = Counter()
    for day in days.values():
        found.update(day.of(video))
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_heartbeats_in_any_order_count_one_view_at_their_furthest_position(app: App, seed: int) -> None:
    draw = random.Random(seed)
    client = await app.tenant(make_videos(20))
    page = (await client.feed(limit=5)).json
    video, quoted = page["items"][0]["videoId"], page["feedRequestId"]
    sent = [heartbeat(app, video, at, feedRequestId=quoted) for at in (5_000, 10_000, 15_000, 20_000)]
    end = {"type": "video_view", "watchTimeMs": 23_000, "positionMs": None}
    sent.append({**heartbeat(app, video, 23_000, feedRequestId=quoted), **end})
    again = [{**each, "eventId": f"again-{number}"} for number, each in enumerate(sent)]
    sent += [*sent, *again]
    draw.shuffle(sent)
    while sent:
        batch, sent = sent[: draw.randint(1, 4)], sent[4:]
        assert (await client.post(batch)).json["rejected"] == []
    final = heartbeat(app, video, 23_000, feedRequestId=quoted)
    await client.post([final])
    found = await figures(client, video)
    assert (found["views"], found["watchMs"]) == (1, 23_000)
    stored = await query_all(app.documents, VIDEO_STATS, client.tenant_id, STATS_PREFIX)
    week = merged(StatsTable.unpack(str(each.body["packed"])) for each in stored if "packed" in each.body)
    assert week.week(video, app.clock.now())["avgWatchMs"] == 23_000
    signals = (await client.signals()).json
    assert (signals["totalViewsLast7d"], signals["totalWatchTimeLast7dMs"]) == (1, 23_000)


async def test_starts_stalls_and_failures_are_counted_per_video_and_are_no_action(app: App) -> None:
    client = await app.tenant(make_videos(20))
    page = (await client.feed(limit=5)).json
    video, quoted = page["items"][0]["videoId"], page["feedRequestId"]
    kinds = ("start", "stall", "stall", "playback_error")
    events = [
        {"type": kind, "videoId": video, "timestamp": app.now_ms(60) + n, "feedRequestId": quoted, "playId": "p"}
        for n, kind in enumerate(kinds)
    ]
    assert (await client.post(events)).json["accepted"] == 4
    found = await figures(client, video)
    assert (found["starts"], found["stalls"], found["playbackErrors"], found["views"]) == (1, 1, 1, 0)
    assert (await client.signals()).json["events"] == 0
    assert app.counted("playback_events", client.tenant_id, "playback_error") == 1


async def test_without_consent_the_final_view_counts_and_heartbeats_do_not(app: App) -> None:
    client = await app.tenant(make_videos(20))
    off = {"X-Personalization": "off"}
    page = (await client.feed(off, limit=5)).json
    video, quoted = page["items"][0]["videoId"], page["feedRequestId"]
    end = {"type": "video_view", "watchTimeMs": 12_000, "positionMs": None}
    await client.post([heartbeat(app, video, 10_000, feedRequestId=quoted, sessionId="s")], off)
    await client.post([{**heartbeat(app, video, 12_000, feedRequestId=quoted), **end}], off)
    found = await figures(client, video)
    assert (found["views"], found["watchMs"]) == (1, 12_000)
    lines = await archived(client)
    assert [line["session"] for line in lines] == [None, None]


async def archived(client: Client) -> list[dict[str, Any]]:
    blobs = client.app.services.blobs
    names = [blob.name async for blob in blobs.list(ARCHIVE, f"{client.tenant_id}/")]
    return [line for name in names for line in from_lines(await blobs.read(ARCHIVE, name) or b"")]


async def test_a_session_is_archived_as_a_hash_that_differs_between_users(app: App) -> None:
    client = await app.tenant(make_videos(5))
    other = client.as_user()
    for each in (client, client, other):
        await each.post([heartbeat(app, "vid_travel_3", 1_000 + len(each.user), sessionId="session-1")])
        event = {"type": "like", "videoId": "vid_travel_3", "timestamp": app.now_ms(9), "sessionId": "session-1"}
        await each.post([event])
    await app.folded()
    await app.rolled_up()
    sessions = [line["session"] for line in await archived(client)]
    assert len(set(sessions)) == 2
    assert all(len(session) == 16 for session in sessions)
    assert "session-1" not in sessions


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"playId": None}, "missing_play"),
        ({"startedAt": None}, "missing_play"),
        ({"positionMs": None}, "missing_play"),
        ({"playId": ""}, "invalid_play_id"),
        ({"playId": "me@example.org"}, "invalid_play_id"),
        ({"playId": "x" * 65}, "invalid_play_id"),
        ({"positionMs": -1}, "invalid_position"),
        ({"positionMs": 86_400_001}, "invalid_position"),
        ({"positionMs": "far"}, "invalid_position"),
        ({"startedAt": "yesterday"}, "invalid_started_at"),
        ({"startedAt": 1_795_000_000}, "invalid_started_at"),
        ({"sessionId": "a b"}, "invalid_session_id"),
        ({"type": "video_view", "watchTimeMs": 1_000, "startedAt": None}, "missing_play"),
    ],
)
async def test_malformed_heartbeat_is_refused_alone(app: App, change: dict[str, Any], code: str) -> None:
    client = await app.tenant(make_videos(3))
    good = heartbeat(app, "vid_travel_3", 1_000)
    answer = await client.post([{**good, **change}, good])
    assert answer.json["accepted"] == 1
    assert [(each["index"], each["code"]) for each in answer.json["rejected"]] == [(0, code)]
    assert answer.json["rejected"][0]["message"] == REJECTIONS[code]


async def test_heartbeats_accept_numbers_and_times_as_other_events_do(app: App) -> None:
    client = await app.tenant(make_videos(3))
    good = heartbeat(app, "vid_travel_3", 1_000)
    spelled = {"positionMs": "1000", "startedAt": str(good["startedAt"]), "timestamp": str(good["timestamp"])}
    iso = datetime.fromtimestamp(good["startedAt"] / 1000, UTC).isoformat()
    answer = await client.post([{**good, **spelled}, {**good, "startedAt": iso}, {**good, "startedAt": app.now_ms()}])
    assert answer.json["rejected"] == []
