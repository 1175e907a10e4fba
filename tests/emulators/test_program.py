"""The test servers as a program, controlled over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from shared.adapters.blobs.azure import AzureBlobs
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.bus.servicebus import ServiceBusBus
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.port import TENANTS, Create, StoreUnavailable
from shared.adapters.flags.app_configuration import FlagStore
from shared.settings import Settings
from tests.emulators.azurite import needs_azurite
from tests.emulators.broker_here import broker_of_user_events

ROOT = Path(__file__).resolve().parents[2]


async def test_another_process_controls_faults_and_clock_of_the_servers():
    broker_of_user_events()
    needs_azurite()
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.emulators", "--json", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        told = json.loads(await asyncio.wait_for(program.stdout.readline(), 180))
        settings = Settings.from_environment({**os.environ, **told["settings"]})
        store, bus, blobs = (kind.from_settings(settings) for kind in (CosmosStore, ServiceBusBus, AzureBlobs))
        for each in (store, bus, blobs):
            await each.ready()
        await store.write(TENANTS, "t", [Create({"id": "short", "ttl": 60})])
        await blobs.write(ARCHIVE, "t/a", b"x")
        with FlagStore.from_settings(settings) as flags:
            assert await asyncio.to_thread(flags.seed, [{"id": "f", "enabled": True}]) == ["f"]
        async with aiohttp.ClientSession(told["control"]) as control:
            await control.post("/faults/cosmos", json={"match": "read", "status": 503, "times": 2})
            with pytest.raises(StoreUnavailable):
                await store.read(TENANTS, "t", "short")
            assert await store.read(TENANTS, "t", "short")
            await control.post("/clock", json={"advance": 61})
            assert await store.read(TENANTS, "t", "short") is None
            async with control.get("/requests/servicebus") as answer:
                assert "open user-events" in await answer.json()
            async with control.post("/faults/cosmos", json={"nonsense": 1}) as answer:
                assert answer.status == 400
                assert "nonsense" in (await answer.json())["error"]
        for each in (store, bus, blobs):
            await each.close()
    finally:
        program.terminate()
        assert await asyncio.wait_for(program.wait(), 120) == 0
