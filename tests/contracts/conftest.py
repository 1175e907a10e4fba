"""One fixture per port, parametrized over its backends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared.adapters.blobs.port import Blobs, LinkedBlobs
from shared.adapters.bus.port import Bus
from shared.adapters.documents.port import DocumentStore
from tests.contracts.backends import BLOBS, BUS, DOCUMENTS, FLAGS, MEDIA, FlagsRig, Rig
from tests.emulators.hurried_loop import HurriedLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the bus suites on a faster loop, because the Service Bus SDK sleeps a second at a time."""
    of_the_bus = item.path.name.startswith("test_bus")
    return {"hurried": HurriedLoop} if of_the_bus else {"plain": asyncio.new_event_loop}


@pytest.fixture(params=DOCUMENTS)
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig[DocumentStore]]:
    async with DOCUMENTS[request.param](tmp_path) as rig:
        yield rig


@pytest.fixture(params=BUS)
async def bus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig[Bus]]:
    async with BUS[request.param](tmp_path) as rig:
        yield rig


@pytest.fixture(params=BLOBS)
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig[Blobs]]:
    async with BLOBS[request.param](tmp_path) as rig:
        yield rig


@pytest.fixture(params=MEDIA)
async def media(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig[LinkedBlobs]]:
    async with MEDIA[request.param](tmp_path) as rig:
        yield rig


@pytest.fixture(params=FLAGS)
async def flags(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FlagsRig]:
    async with FLAGS[request.param](tmp_path) as rig:
        yield rig
