"""Clients get the documented errors and no data is lost while Cosmos DB or Service Bus fail.

Runs the app on the real SDKs, over our test servers with a plan of faults.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from feed.breaker import State
from feed.catalog import Catalogs
from shared.adapters.blobs.port import BlobRefused
from shared.adapters.bus.coalescing import CoalescingWriter
from shared.adapters.bus.port import SUBSCRIPTIONS, TOPIC, BusRefused
from shared.adapters.bus.reconnecting_sender import BUSY_SECONDS
from shared.adapters.documents.port import StoreRefused, StoreUnavailable
from tests.chaos.plans import PLANS, Plan
from tests.cms.editor import VIDEO, new_editor
from tests.emulators.broker_here import broker_of_user_events
from tests.emulators.cosmos import CosmosServer
from tests.emulators.faults import Fault
from tests.parts import new_catalogs
from tests.served_app import App, Client, eventually, make_videos, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGE = "<html><body><h1>502 Bad Gateway</h1></body></html>"
TOO_LARGE = "amqp:link:message-size-exceeded"
SERVER_BUSY = "com.microsoft:server-busy"


@asynccontextmanager
async def served_on(folder: Path, **settings: Any) -> AsyncIterator[App]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    async with served(folder, signing_keys=f"k:{key}", identity_secret=key, **settings) as app:
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cosmos() -> AsyncIterator[CosmosServer]:
    async with CosmosServer(partitions=2) as cosmos:
        yield cosmos


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(cosmos: CosmosServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    async with served_on(
        tmp_path_factory.mktemp("app"),
        document_store="cosmos",
        cosmos_connection_string=cosmos.connection_string,
        signals_budget_ms=10_000.0,
    ) as app:
        yield app


@pytest.fixture(autouse=True)
def _mended(cosmos: CosmosServer) -> Any:
    yield
    cosmos.faults.clear()


def like(app: App, number: int = 1) -> dict[str, Any]:
    return {"type": "like", "videoId": f"vid_fitness_{number}", "timestamp": app.now_ms(number)}


async def known_viewer(app: App) -> Client:
    """A viewer with a personalized feed."""
    client = await app.tenant(make_videos(12))
    assert (await client.post([like(app, number) for number in range(1, 5)])).status == 202
    await app.folded()
    assert (await client.feed()).json["mode"] == "personalized"
    return client


ANSWERS = {
    "403/5302": Fault("read user-activity", status=403, substatus=5302, times=None),
    "403/3": Fault("read user-activity", status=403, substatus=3, times=None),
    "400": Fault("read user-activity", status=400, times=None),
    "413": Fault("read user-activity", status=413, times=None),
    "200 without a body": Fault("read user-activity", status=200, body="", times=None),
    "200 with a proxy's page": Fault("read user-activity", status=200, body=PAGE, content_type="text/html", times=None),
    "404 with a proxy's page": Fault("read user-activity", status=404, body=PAGE, content_type="text/html", times=None),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_any_failed_read_makes_the_feed_fall_back_and_opens_the_breaker(
    app: App, cosmos: CosmosServer, answer: str
) -> None:
    client = await known_viewer(app)
    breaker = app.services.feed.signals.breaker
    cosmos.faults.add(ANSWERS[answer])
    reasons = []
    for _ in range(60):
        feed = await client.feed()
        assert (feed.status, feed.json["mode"]) == (200, "fallback")
        reasons.append(feed.json["reason"])
        if breaker.state is not State.CLOSED:
            break
    assert breaker.state is State.OPEN
    assert set(reasons) == {"signals_unavailable"}
    assert app.counted("feed_requests", client.tenant_id, "fallback", "signals_unavailable") == len(reasons)
    assert (await client.feed()).json["reason"] == "signals_paused"
    cosmos.faults.clear()

    async def personalized() -> bool:
        app.clock.advance(1.0)
        return (await client.feed()).json["mode"] == "personalized"

    await eventually(personalized)


@pytest.mark.parametrize("status", [400, 403])
async def test_failed_catalog_load_is_reported_as_an_outage(app: App, cosmos: CosmosServer, status: int) -> None:
    client = await app.tenant(make_videos(3))
    cosmos.faults.add(Fault(f"query videos {client.tenant_id}", status=status, times=None))
    catalogs: Catalogs = new_catalogs(app.services)
    with pytest.raises(StoreUnavailable):
        await catalogs.get(client.tenant_id)
    await catalogs.close()
    answer = await client.feed()
    assert (answer.status, answer.code) == (503, "unavailable")
    cosmos.faults.clear()
    assert (await client.feed()).status == 200


@pytest.mark.parametrize(("status", "told", "code"), [(413, 413, "too_large_to_store"), (400, 422, "refused_by_store")])
async def test_data_that_can_never_be_stored_gets_its_own_error_code(
    app: App, cosmos: CosmosServer, status: int, told: int, code: str
) -> None:
    editor = await new_editor(app, make_videos(3))
    before = app.counted("store_failures", "create_video")
    cosmos.faults.add(Fault("batch videos", status=status, times=None))
    answer = await editor.post("videos", {"id": "mine", **VIDEO})
    assert (answer.status, answer.code) == (told, code)
    assert "Retry-After" not in answer.headers
    assert app.counted("store_failures", "create_video") == before + 1
    cosmos.faults.clear()
    assert (await editor.post("videos", {"id": "mine", **VIDEO})).status == 201


@pytest.mark.parametrize("error", [StoreRefused("status 400"), BlobRefused("status 400"), BusRefused("a reason")])
async def test_refused_read_is_a_503_with_retry_after(
    app: App, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    editor = await new_editor(app, make_videos(3))

    async def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(app.services.documents._inner, "read", refuse)
    answer = await editor.get("videos/vid_fitness_1")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 10


async def test_moved_write_region_dead_letters_nothing_and_everything_is_folded(app: App, cosmos: CosmosServer) -> None:
    client = await app.tenant(make_videos(12))
    cosmos.faults.add(Fault("batch user-activity", status=403, substatus=3, times=None))
    for number in (1, 2, 3):
        assert (await client.post([like(app, number)])).status == 202
    refused = cosmos.faults.count("batch user-activity")
    await eventually(lambda: _more(cosmos, "batch user-activity", refused + 3))
    bus = app.services.bus
    assert not any([(await bus.depth(subscription))[1] for subscription in SUBSCRIPTIONS])
    cosmos.faults.clear()
    await app.folded()
    assert (await client.signals()).json["events"] == 3
    assert not any([(await bus.depth(subscription))[1] for subscription in SUBSCRIPTIONS])


@pytest.mark.parametrize("plan", [plan for plan in PLANS if plan.server == "cosmos"], ids=lambda plan: plan.name)
async def test_accepted_events_count_once_whatever_cosmos_answers(app: App, cosmos: CosmosServer, plan: Plan) -> None:
    """Injects the faults of `make chaos-azure` one after the other, without kills."""
    client = await app.tenant(make_videos(12))
    page = await client.feed()
    cosmos.faults.add(Fault.from_json({**plan.to_json(), "times": min(plan.fault["times"], 3)}))
    for video in page.ids[:3]:
        event = {**like(app), "videoId": video, "feedRequestId": page.json["feedRequestId"]}
        assert (await client.post([event])).status == 202
        assert (await client.feed()).status == 200
    await app.folded()
    cosmos.faults.clear()
    await app.rolled_up()
    assert (await client.signals()).json["events"] == 3
    bus = app.services.bus
    assert not any([(await bus.depth(subscription))[1] for subscription in SUBSCRIPTIONS])
    table = (await app.services.catalogs.get(client.tenant_id)).stats.table
    assert [table.week(video, app.clock.now())["likes"] for video in page.ids[:3]] == [1, 1, 1]


async def _more(cosmos: CosmosServer, label: str, than: int) -> bool:
    return cosmos.faults.count(label) > than


async def test_restored_container_is_read_again_after_one_failure_without_restart(
    app: App, cosmos: CosmosServer
) -> None:
    """The session token of this process is ahead of the restored container, so it is dropped."""
    client = await known_viewer(app)
    cosmos.container("user-activity").lsn = 1
    answers = [await client.with_key(app.ops_key).get("/v1/debug/user-signals") for _ in range(3)]
    assert answers[-1].status == 200
    assert {answer.status for answer in answers} <= {200, 503}


async def test_foreign_item_does_not_block_a_takedown(app: App, cosmos: CosmosServer) -> None:
    editor = await new_editor(app, make_videos(6))
    assert "vid_fitness_1" in (await editor.client.feed()).ids
    passed_over = app.counted("changes_passed_over", "videos")
    cosmos.container("videos").put_foreign({"id": "replace_with_new_document_id"})
    assert (await editor.post("videos/vid_fitness_1/takedown")).status == 200
    await app.see_content()
    assert "vid_fitness_1" not in (await editor.client.feed()).ids
    assert app.counted("changes_passed_over", "videos") > passed_over
    ages = (await app.request("GET", "/ready")).json["ageSeconds"]
    assert 0 <= ages["content"] < 60


# Service Bus


class Refusing:
    """A bus that always refuses one of the items, alone or among others."""

    def __init__(self, refused: int) -> None:
        self.refused = refused
        self.sent: list[int] = []

    async def send(self, items: list[int]) -> int:
        await asyncio.sleep(0)
        if self.refused in items:
            raise BusRefused("too large", too_large=True)
        self.sent += items
        return len(items)


async def test_one_refused_message_does_not_fail_the_others_of_its_batch() -> None:
    bus = Refusing(7)
    writer = CoalescingWriter(bus.send)
    ended = await asyncio.gather(*(writer.submit(n, 1, 30) for n in range(20)), return_exceptions=True)
    await writer.close()
    assert [n for n, error in enumerate(ended) if error is not None] == [7]
    assert isinstance(ended[7], BusRefused)
    assert sorted(bus.sent) == [n for n in range(20) if n != 7]


async def test_busy_bus_keeps_its_link_and_clients_get_retry_after(tmp_path: Path) -> None:
    with broker_of_user_events() as broker:
        async with served_on(
            tmp_path,
            bus="servicebus",
            servicebus_connection_string=broker.connection_string,
            publish_budget_ms=1_500.0,
        ) as app:
            client = await app.tenant(make_videos(3))
            await app.services.bus.ready()
            broker.faults.requests.clear()
            broker.faults.add(Fault(f"send {TOPIC}", condition=SERVER_BUSY, times=None))
            answers = await asyncio.gather(*(client.post([like(app)]) for _ in range(20)))
            answers.append(await client.post([like(app)]))
            assert {(answer.status, answer.code) for answer in answers} == {(503, "unavailable")}
            assert broker.faults.count(f"open {TOPIC}") == sum(
                f"open {TOPIC}/" in label for label in broker.faults.requests
            ), "no link to send by was opened"
            assert max(int(answer.headers["Retry-After"]) for answer in answers) == BUSY_SECONDS
