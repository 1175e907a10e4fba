"""Examples of the lists page get the responses shown, on embedded backends and on Azure adapters."""

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
async def test_every_lists_example_gets_the_documented_response(tmp_path: Path, kind: str) -> None:
    documents, bus, blobs = KINDS[kind]
    async with AsyncExitStack() as stack:
        on = Backends(
            (await stack.enter_async_context(DOCUMENTS[documents](tmp_path))).port,
            (await stack.enter_async_context(BUS[bus](tmp_path))).port,
            (await stack.enter_async_context(BLOBS[blobs](tmp_path))).port,
        )
        async with served(tmp_path, on=on) as app:
            assert await seed_demo(app.services)
            assert await replay(pages()["docs/lists.md"], app) == 12
