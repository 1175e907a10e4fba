"""Examples of the feeds page get the responses shown, on embedded backends and on Azure adapters."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from local.demo import seed_demo
from tests.contracts.backends import BLOBS, BUS, DOCUMENTS
from tests.docs.pages import pages
from tests.docs.replay import replay
from tests.served_app import Backends, served

KINDS = {"embedded": ("sqlite", "sqlite", "folder"), "azure adapters": ("cosmos", "servicebus", "azure")}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_feeds_example_gets_the_documented_response(kind: str, tmp_path: Path) -> None:
    documents, bus, blobs = KINDS[kind]
    async with AsyncExitStack() as stack:
        on = Backends(
            (await stack.enter_async_context(DOCUMENTS[documents](tmp_path))).port,
            (await stack.enter_async_context(BUS[bus](tmp_path))).port,
            (await stack.enter_async_context(BLOBS[blobs](tmp_path))).port,
        )
        app = await stack.enter_async_context(served(tmp_path, on=on))
        assert await seed_demo(app.services)
        assert await replay(pages()["docs/feeds.md"], app) > 12
