"""User actions change the next feed within seconds of the 202, for as long as documented."""

from __future__ import annotations

import pytest

from local.story import story_events
from shared.observability.metrics import render_prometheus
from tests.faulty_documents import Trouble
from tests.served_app import App, Client, eventually, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86_400.0
FRESH_SECONDS = 10.0


async def dislike(client: Client, *videos: str) -> None:
    rows = [{"type": "not_interested", "videoId": video, "timestamp": client.app.now_ms()} for video in videos]
    assert (await client.post(rows)).json["accepted"] == len(videos)


async def everything(client: Client) -> set[str]:
    """Return every video a user can reach by paging."""
    return {id for page in await client.walk(limit=50) for id in page.ids}


async def test_events_change_the_next_feed_within_ten_seconds_of_their_202(app: App) -> None:
    client = await app.tenant(make_videos(60, ("cooking", "fitness", "travel")))
    assert (await client.feed()).json["reason"] == "cold_start"
    assert (await client.post(story_events(app.clock.now()))).status == 202

    async def personal() -> bool:
        answer = await client.feed()
        return bool(answer.json["mode"] == "personalized" and answer.json["items"][0]["mainTag"] == "fitness")

    await eventually(personal, FRESH_SECONDS)


async def test_fold_delay_is_measured_for_each_message(app: App) -> None:
    def measured() -> float:
        lines = [line for line in render_prometheus(app.services.telemetry).splitlines() if "fold_lag_ms_count" in line]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    client = await app.tenant(make_videos(9))
    before = measured()
    for ago in (10, 20, 30):
        await client.post(story_events(app.clock.now() - ago * 60))
    await app.folded()
    assert measured() == before + 3


async def test_disliked_video_leaves_a_personal_feed_within_ten_seconds(app: App) -> None:
    client = await app.tenant(make_videos(60, ("cooking", "fitness", "travel")))
    await client.post(story_events(app.clock.now()))
    await app.folded()
    first = (await client.feed()).ids[0]
    await dislike(client, first)

    async def gone() -> bool:
        return first not in await everything(client)

    await eventually(gone, FRESH_SECONDS)


async def test_only_dislike_of_a_new_user_is_respected(app: App) -> None:
    client = await app.tenant(make_videos(30))
    first = (await client.feed()).ids[0]
    await dislike(client, first)
    await app.folded()
    answer = await client.feed()
    assert answer.json["reason"] == "cold_start"
    assert first not in await everything(client)


async def test_dislike_is_respected_in_the_middle_of_paging(app: App) -> None:
    client = await app.tenant(make_videos(60, ("cooking", "fitness", "travel")))
    await client.post(story_events(app.clock.now()))
    await app.folded()
    page = await client.feed(limit=5)
    rest = await everything(client) - set(page.ids)
    disliked = sorted(rest)[0]
    await dislike(client, disliked)
    await app.folded()
    served = list(page.ids)
    while page.json["nextCursor"] is not None:
        page = await client.feed(limit=5, cursor=page.json["nextCursor"])
        served += page.ids
    assert disliked not in served


async def test_dislike_lasts_90_days_and_outlives_a_thousand_other_videos(app: App) -> None:
    videos = [f"vid_fitness_{n}" for n in range(1, 1_101)]
    client = await app.tenant(make_videos(1_100, ("fitness",)))
    disliked = videos[0]
    await dislike(client, disliked)
    for start in range(1, 1_001, 100):
        rows = [
            {"type": "impression", "videoId": video, "timestamp": app.now_ms() + number}
            for number, video in enumerate(videos[start : start + 100])
        ]
        assert (await client.post(rows)).json["accepted"] == 100
    await app.folded()
    assert disliked not in await everything(client), "the ring of seen videos has moved on"
    await app.rolled_up()
    app.clock.advance(88 * DAY)
    await client.post(story_events(app.clock.now()))
    await app.folded()
    await app.rolled_up()
    assert disliked not in await everything(client)
    app.clock.advance(3 * DAY)
    await client.post(story_events(app.clock.now()))
    await app.folded()
    assert disliked in await everything(client), "after 90 days it is forgotten"


async def test_ten_minute_store_outage_dead_letters_nothing_and_recovers_by_itself(app: App) -> None:
    clients = [await app.tenant(make_videos(9), count_anonymous_events=True) for _ in range(3)]
    dead = {name: await app.services.bus.peek_dead_letters(name, 100) for name in ("signals", "rollup")}
    with app.documents.in_trouble(Trouble(reads_fail=True, writes_fail=True)):
        # A clock jump costs each waiting message a delivery, because no lock is renewed within it.
        for minutes in (5, 6):
            for client in clients:
                for number in range(5):
                    assert (await client.post(story_events(app.clock.now() - 1_000 - number))).status == 202
            await app.host.run_timer("roll_up")
            app.clock.advance(60 * minutes)
    await app.folded()
    await app.rolled_up()
    for client in clients:
        assert (await client.signals()).json["events"] == 100
    for name, before in dead.items():
        assert await app.services.bus.peek_dead_letters(name, 100) == before
        assert (await app.services.bus.depth(name))[0] == 0
