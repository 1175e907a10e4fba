"""An app started without flags serves the popular feed until it knows the kill switch."""

from __future__ import annotations

from pathlib import Path

from local.story import story_events
from shared.web.status import KEEP_SECONDS
from tests.served_app import eventually, make_videos, personalized, served


async def test_feed_is_popular_until_the_flags_are_known(tmp_path: Path) -> None:
    async with served(tmp_path, flags=False) as app:
        client = await app.tenant(make_videos(60))
        await client.post(story_events(app.clock.now()))
        await app.folded()
        answer = await client.feed()
        assert (answer.json["mode"], answer.json["reason"]) == ("fallback", "flags_unavailable")
        assert len(answer.ids) == 20
        ready = await app.request("GET", "/ready")
        assert (ready.status, ready.json["dependencies"]["flags"]) == (503, "unavailable")

        app.write_flags(personalized())

        async def is_personalized() -> bool:
            return bool((await client.feed()).json["mode"] == "personalized")

        await eventually(is_personalized)
        app.clock.advance(KEEP_SECONDS)
        assert (await app.request("GET", "/ready")).status == 200
