"""Imported past events count once on every backend: embedded, and Azure adapters on our test servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cms.test_history import test_batch_and_past_events_repeated_count_once as the_story
from tests.cms.test_history import test_past_events_of_an_earlier_file_count_once as two_files
from tests.contracts.backends import BLOBS, BUS, DOCUMENTS
from tests.privacy.test_tenant_removal import KINDS
from tests.served_app import App, Backends, served

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    folder: Path = tmp_path_factory.mktemp("history")
    documents, bus, blobs = KINDS[request.param]
    async with AsyncExitStack() as stack:
        on = Backends(
            (await stack.enter_async_context(DOCUMENTS[documents](folder))).port,
            (await stack.enter_async_context(BUS[bus](folder))).port,
            (await stack.enter_async_context(BLOBS[blobs](folder))).port,
        )
        yield await stack.enter_async_context(served(folder, on=on))


async def test_past_events_between_a_batch_and_its_repeat_count_once(app: App) -> None:
    await the_story(app)


async def test_past_events_of_an_earlier_file_count_once(app: App) -> None:
    await two_files(app)
