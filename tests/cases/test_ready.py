"""`/ready` needs no key: frequent calls are cheap, and changes show within seconds."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import azure.functions as func
import orjson

from shared.adapters.documents.port import TENANTS
from shared.web.status import KEEP_SECONDS, ReadinessApi
from tests.emulators.clock import MovableClock
from tests.faulty_documents import Trouble
from tests.served_app import served


class Asked:
    """Readiness over two dependencies that count their calls."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.rounds: Counter[str] = Counter()
        self.up = True
        self.clock_right = True
        self.api = ReadinessApi(
            {"documents": self.documents, "bus": self.bus},
            {},
            self.clock.elapsed,
            lambda: {"clock": "ready" if self.clock_right else "unavailable"},
        )

    async def documents(self) -> bool:
        self.rounds["documents"] += 1
        await asyncio.sleep(0.01)
        return self.up

    async def bus(self) -> None:
        self.rounds["bus"] += 1

    async def ask(self) -> Any:
        answer = await self.api.get_ready(func.HttpRequest(method="GET", url="/ready", body=b""))
        return orjson.loads(answer.get_body())


async def test_concurrent_readiness_calls_ask_each_dependency_once() -> None:
    asked = Asked()
    answers = await asyncio.gather(*(asked.ask() for _ in range(50)))
    assert {answer["status"] for answer in answers} == {"ready"}
    assert asked.rounds == {"documents": 1, "bus": 1}


async def test_successive_readiness_calls_ask_again_only_after_seconds() -> None:
    asked = Asked()
    for number in range(1, 4):
        for _ in range(20):
            await asked.ask()
        assert asked.rounds["documents"] == number
        asked.clock.advance(KEEP_SECONDS)


async def test_readiness_shows_outages_within_seconds_and_local_state_at_once() -> None:
    asked = Asked()
    assert (await asked.ask())["status"] == "ready"
    asked.up = False
    asked.clock.advance(KEEP_SECONDS)
    assert (await asked.ask())["dependencies"]["documents"] == "unavailable"
    asked.up = True
    asked.clock.advance(KEEP_SECONDS)
    assert (await asked.ask())["status"] == "ready"
    asked.clock_right = False
    assert (await asked.ask())["dependencies"] == {"documents": "ready", "bus": "ready", "clock": "unavailable"}
    assert KEEP_SECONDS <= 5


async def test_cancelled_readiness_call_does_not_cancel_the_others() -> None:
    asked = Asked()
    impatient = asyncio.create_task(asked.ask())
    patient = asyncio.create_task(asked.ask())
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient)["status"] == "ready"
    assert asked.rounds["documents"] == 1


async def test_fifty_anonymous_readiness_calls_cost_one_store_read(tmp_path: Path) -> None:
    async with served(tmp_path, content_refresh_seconds=30.0, flags_refresh_seconds=30.0) as app:
        app.clock.advance(KEEP_SECONDS)
        before = app.documents.reads
        answers = await asyncio.gather(*(app.request("GET", "/ready") for _ in range(50)))
        assert {answer.status for answer in answers} == {200}
        assert app.documents.reads - before <= 5, "one round"
        with app.documents.in_trouble(Trouble(frozenset({TENANTS.name}), reads_fail=True)):
            app.clock.advance(KEEP_SECONDS)
            answer = await app.request("GET", "/ready")
            assert (answer.status, answer.json["dependencies"]["tenants"]) == (503, "unavailable")
        app.clock.advance(KEEP_SECONDS)
        assert (await app.request("GET", "/ready")).status == 200
