"""Runs the guided tour line by line through the real app."""

from __future__ import annotations

import pytest

from local.story import story_events
from tests.served_app import Answer, App, eventually, make_videos, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")


def says(answer: Answer, mode: str, reason: str | None) -> bool:
    assert answer.status == 200
    return (answer.json["mode"], answer.json["reason"]) == (mode, reason)


async def test_guided_tour_works_through_the_real_app(app: App) -> None:
    videos = make_videos(60, ("cooking", "fitness", "travel", "music"))
    viewer = await app.tenant(videos)
    neighbor = await app.tenant(videos)
    other_user = viewer.as_user()

    # A new user gets the fallback.
    first = await viewer.feed()
    assert says(first, "fallback", "cold_start")
    assert len(first.ids) == 20

    # A batch of fitness views and cooking skips is accepted and counts within moments.
    posted = await viewer.post(story_events(app.clock.now()))
    assert posted.status == 202
    assert posted.json["accepted"] == 10
    assert posted.json["rejected"] == []
    await app.folded()
    after = await viewer.feed()
    assert says(after, "personalized", None)
    assert after.json["items"][0]["mainTag"] == "fitness"
    assert after.json["items"][0]["score"] > 0
    watched = {event["videoId"] for event in story_events(app.clock.now())}
    assert not watched & set(after.ids), "what was seen does not come again"
    assert after.json["freshness"]["signals"] is not None

    # Other users are not affected.
    assert says(await other_user.feed(), "fallback", "cold_start")
    assert says(await neighbor.as_user(viewer.user).feed(), "fallback", "cold_start")

    # Flipping the kill switch in the flags file takes effect for everybody without a restart.
    app.write_flags(personalized(False))
    await eventually(lambda: _becomes(viewer, "fallback", "kill_switch"))
    assert says(await other_user.feed(), "fallback", "kill_switch")

    # And back on.
    app.write_flags(personalized())
    await eventually(lambda: _becomes(viewer, "personalized", None))
    assert (await viewer.feed()).json["items"][0]["mainTag"] == "fitness"


async def _becomes(client, mode: str, reason: str | None) -> bool:  # type: ignore[no-untyped-def]
    return says(await client.feed(), mode, reason)
