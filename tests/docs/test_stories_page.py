"""Examples of the stories page get the responses shown, on embedded backends and on Azure adapters."""

from __future__ import annotations

import json
import logging
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from local.demo import seed_demo
from shared.adapters.documents.port import STORY_ACTIVITY
from stories.counts import COUNTS_ID, totals
from tests.contracts.backends import BLOBS, BUS, DOCUMENTS
from tests.docs.pages import pages
from tests.docs.replay import replay
from tests.served_app import App, Backends, served
from tests.stories.social import stories_on

KINDS = {"embedded": ("sqlite", "sqlite", "folder"), "azure adapters": ("cosmos", "servicebus", "azure")}


async def sums(app: App) -> list[list[int]]:
    """Return the views and reactions of every story."""
    changed = (await app.services.documents.changes(STORY_ACTIVITY, None)).documents
    return [totals(each.body["days"]) for each in changed if each.id == COUNTS_ID]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_stories_example_gets_the_documented_response(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    documents, bus, blobs = KINDS[kind]
    async with AsyncExitStack() as stack:
        on = Backends(
            (await stack.enter_async_context(DOCUMENTS[documents](tmp_path))).port,
            (await stack.enter_async_context(BUS[bus](tmp_path))).port,
            (await stack.enter_async_context(BLOBS[blobs](tmp_path))).port,
        )
        async with served(tmp_path, on=on) as app:
            assert await seed_demo(app.services)
            await stories_on(app)
            assert await replay(pages()["docs/stories.md"], app) == 34
            await app.services.social.count()
            assert [1, 0, 0, 0, 0, 0, 1] in await sums(app)
            assert app.counted("story_views", "tenant_1") == 1
            with caplog.at_level(logging.INFO, "feed.stories"):
                app.clock.advance(24 * 3_600 + 1)
                await app.host.run_timer("run_jobs")
            lines = [json.loads(r.getMessage()) for r in caplog.records if '"story_expired"' in r.getMessage()]
            assert [each["lateMax"] < 3_600 for each in lines if each["count"] == 1] == [True], "once, by whichever run"
