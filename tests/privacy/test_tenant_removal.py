"""Removal of a tenant deletes it from every store and leaves other tenants unchanged.

Runs on the embedded backends and on the Azure adapters against our test servers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from events.batch import Batch, encode
from events.schema import Event
from privacy.tenant_removal import LEASE_SECONDS, TenantRemovals
from shared.adapters.blobs.port import BLOB_CONTAINERS
from shared.adapters.bus.port import ROLLUP, SUBSCRIPTIONS, OutgoingMessage
from shared.adapters.documents.port import (
    CONTAINERS,
    PEOPLE,
    STORIES,
    STORY_ACTIVITY,
    TENANTS,
    Container,
    Create,
    DocumentStore,
    Operation,
    query_all,
)
from shared.adapters.tenant_directory import PLATFORM
from shared.domain.removal_receipt import GRACE_SECONDS
from tests.cms.editor import RULE, VIDEO, Editor
from tests.contracts.backends import BLOBS, BUS, DOCUMENTS
from tests.served_app import App, Backends, Client, eventually, new_user, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
KINDS = {"embedded": ("sqlite", "sqlite", "folder"), "azure adapters": ("cosmos", "servicebus", "azure")}
MODEL = {"type": "linear", "version": "v1", "weights": {"quality": 2}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    folder: Path = tmp_path_factory.mktemp("removal")
    documents, bus, blobs = KINDS[request.param]
    async with AsyncExitStack() as stack:
        on = Backends(
            (await stack.enter_async_context(DOCUMENTS[documents](folder))).port,
            (await stack.enter_async_context(BUS[bus](folder))).port,
            (await stack.enter_async_context(BLOBS[blobs](folder))).port,
        )
        app = await stack.enter_async_context(served(folder, on=on))
        for timed in (app.services.imports, app.services.removals):  # run when a test says so
            await stack.enter_async_context(timed._running)
        yield app


@dataclass
class Used:
    """A tenant that has something in every store."""

    app: App
    client: Client
    editor: Editor

    @property
    def id(self) -> str:
        return self.client.tenant_id

    @property
    def operator(self) -> Editor:
        return self.editor.with_key(self.app.ops_key)

    async def removal(self) -> Any:
        return (await self.operator.get(f"tenants/{self.id}/removal")).json

    async def left(self) -> dict[str, int]:
        """Return where the tenant's name or users still occur, in every store, with counts."""
        services = self.app.services
        users = {self.client.user_key, f"erasures.{self.id}"}
        found: dict[str, int] = {}
        for container in CONTAINERS.values():
            for partition, id, body in await everything(services.documents, container):
                if partition.partition("/")[0] == self.id or partition in users or body.get("tenantId") == self.id:
                    where = f"{container.name}: {id}" if container is TENANTS else container.name
                    found[where] = found.get(where, 0) + 1
        for name in BLOB_CONTAINERS:
            if blobs := [each.name async for each in services.blobs.list(name) if self.id in each.name]:
                found[name] = len(blobs)
        for subscription in SUBSCRIPTIONS:
            letters = await services.bus.peek_dead_letters(subscription, 200)
            if dead := [letter for letter in letters if self.id.encode() in letter.message.body]:
                found[f"dead letters of {subscription}"] = len(dead)
        return found


async def everything(documents: DocumentStore, container: Container) -> list[tuple[str, str, dict[str, Any]]]:
    token, found = None, {}
    while True:
        changes = await documents.changes(container, token)
        for each in changes.documents:
            found[each.partition, each.id] = each.body
        token = changes.token
        if not changes.more:
            break
    there = [(key, body) for key, body in found.items() if await documents.read(container, *key, latest=True)]
    return [(*key, body) for key, body in there]


async def create(app: App, tenant_id: str) -> Used:
    ops = Editor(app, Client(app, tenant_id, "", ""), app.ops_key)
    made = await ops.post("tenants", {"tenantId": tenant_id, "maturityPolicy": "PG"})
    assert made.status == 201
    app.secrets |= {made.json["key"], made.json["appKey"]}
    client = Client(app, tenant_id, made.json["appKey"], new_user())
    return Used(app, client, Editor(app, client, made.json["key"]))


def batch_of(used: Used, accepted_at: float, user_key: str = "") -> Batch:
    event = Event(
        type="video_view", video_id="vid_0", at_ms=int(accepted_at * 1000), watch_ms=9000, identity=int(accepted_at)
    )
    return Batch(
        id=f"{int(accepted_at * 1e6):032x}",
        tenant_id=used.id,
        user_key=user_key or used.client.user_key,
        accepted_at=accepted_at,
        events=(event,),
        requests=(),
        trusted=True,
        consented=True,
        trace_id="0" * 32,
    )


async def used(app: App, tenant_id: str) -> Used:
    """Create a tenant and leave something of it in every store."""
    made = await create(app, tenant_id)
    editor, client = made.editor, made.client
    videos = [{"id": f"vid_{n}", **VIDEO} for n in range(8)]
    assert (await editor.post("imports", {"videos": videos})).status == 200
    for path, body in (("rules", {"id": "more", **RULE}), ("models", MODEL)):
        assert (await editor.post(path, body)).status == 201
    assert (await editor.post("playlists", {"id": "list", "name": "A list", "videoIds": ["vid_1"]})).status == 201
    assert (await editor.post("feeds", {"id": "kitchen", "title": "A feed"})).status == 201
    large = b"\n".join(orjson.dumps({"id": f"new_{n}", **VIDEO}) for n in range(1001))
    queued = await editor.call("POST", "imports", large, {"Content-Type": "application/x-ndjson"})
    assert queued.status == 202
    past = {"user": client.user, "type": "like", "videoId": "vid_1", "timestamp": app.now_ms(86_400)}
    asked = (await editor.post("history", {"events": [past]})).json
    await app.services.tenants.refresh()

    async def is_done() -> bool:
        await app.services.history.run()
        return bool((await editor.get(f"history/{asked['id']}")).json["state"] == "done")

    await eventually(is_done)
    for each, sent in ((client, {}), (client.as_user(), {}), (client.as_user(), {"X-Personalization": "off"})):
        page = (await each.feed(sent)).json
        receipt = {"feedRequestId": page["feedRequestId"]}
        views = [
            {
                "type": "video_view",
                "videoId": item["videoId"],
                "timestamp": app.now_ms(),
                "watchTimeMs": 30_000,
                **receipt,
            }
            for item in page["items"]
        ]
        assert (await each.post(views, sent)).json["accepted"] == 8
    await app.folded()
    await app.rolled_up()
    await app.services.table_builder.build(tenant_id)
    erased = {"X-Tenant-Id": tenant_id, "X-Api-Key": app.ops_key, "X-User": client.as_user().user}
    assert (await app.request("POST", "/v1/privacy/erase", erased)).status == 200
    for container in (STORIES, STORY_ACTIVITY, PEOPLE):
        await app.documents.write(container, f"{tenant_id}/one", [Create({"id": "a"}), Create({"id": "b"})])
    for subscription in SUBSCRIPTIONS:
        letter = OutgoingMessage(f"dead-{tenant_id}", f"{tenant_id}#0", encode(batch_of(made, app.clock.now())))
        await app.services.bus.dead_letter(subscription, letter, "failed")
    return made


class Killed(BaseException):
    """The process died; nothing catches this."""


class DyingDocuments:
    """A store whose process dies at a write, before or after it is applied."""

    def __init__(self, inner: DocumentStore, writes: int, after: bool) -> None:
        self._inner, self._writes, self._after = inner, writes, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> Any:
        self._writes -= 1
        if self._writes < 0:
            if self._after:
                await self._inner.write(container, partition, operations)
            raise Killed
        return await self._inner.write(container, partition, operations)


def new_worker(app: App, documents: Any = None) -> TenantRemovals:
    """A worker as in another process."""
    services = app.services
    return TenantRemovals(
        documents=documents or services.documents,
        blobs=services.blobs,
        bus=services.bus,
        tenants=services.tenants,
        tenants_refresher=services.tenants_refresher,
        telemetry=services.telemetry,
        clock=app.clock.now,
    )


async def removed_by_workers_that_die(app: App) -> int:
    """Run one worker after another, each dying a write later; return how many died before the removal was done."""
    services = app.services
    for died in range(200):
        worker = new_worker(app, DyingDocuments(services.documents, 1 + died // 2, after=bool(died % 2)))
        try:
            if await worker.run():
                return died
        except Killed:
            pass
        await services.tenants.refresh()
        if not services.tenants.waiting_removals():
            return died
        app.clock.advance(LEASE_SECONDS + 1)
    raise AssertionError("the removal never ended")


async def test_only_the_receipt_of_a_removed_tenant_remains(app: App) -> None:
    gone, stays = await used(app, "gone"), await used(app, "stays")
    before, neighbor = await gone.left(), await stays.left()
    assert {where.partition(":")[0] for where in before} == {
        *CONTAINERS, *BLOB_CONTAINERS, *(f"dead letters of {name}" for name in SUBSCRIPTIONS),
    }  # fmt: skip

    assert (await gone.operator.post("tenants/gone/removal", {"confirm": "stays"})).status == 422
    assert (await gone.editor.post("tenants/gone/removal", {"confirm": "gone"})).status == 401
    assert (await gone.operator.post("tenants/nobody/removal", {"confirm": "nobody"})).status == 404
    asked = await gone.operator.post("tenants/gone/removal", {"confirm": "gone", "reason": "they left"})
    assert (asked.status, asked.json["state"]) == (202, "stopping")
    assert (await gone.client.feed()).status == 401, "its keys stop at once"
    assert (await gone.operator.post("tenants/gone/removal", {"confirm": "gone"})).json == asked.json
    again = await gone.operator.post("tenants", {"tenantId": "gone"})
    assert (again.status, again.code) == (409, "being_removed")

    assert await new_worker(app).run() == 0, "not before every instance knows"
    app.clock.advance(GRACE_SECONDS + 1)
    assert await removed_by_workers_that_die(app) > 10
    assert await gone.left() == {"tenants: removal": 1}
    assert await stays.left() == neighbor
    assert (await stays.client.feed()).status == 200

    receipt = await gone.removal()
    assert receipt["state"] == "done"
    assert receipt["requestedAt"] < receipt["doneAt"]
    platform = {"X-Tenant-Id": PLATFORM, "X-Api-Key": app.ops_key}
    audit = (await app.request("GET", "/v1/cms/audit", platform)).json["entries"]
    assert [(each["name"], each["action"], each["why"]) for each in audit] == [("gone", "remove", "they left")]


async def test_the_receipt_counts_what_was_removed(app: App) -> None:
    counted = await used(app, "counted")
    there = await counted.left()
    await counted.operator.post("tenants/counted/removal", {"confirm": "counted"})
    app.clock.advance(GRACE_SECONDS + 1)
    assert await new_worker(app).run() == 1
    removed = (await counted.removal())["removed"]
    assert set(removed) == {*CONTAINERS, *BLOB_CONTAINERS, "deadLetters"}
    assert {name: removed[name] for name in BLOB_CONTAINERS} == {name: there[name] for name in BLOB_CONTAINERS}
    assert (removed["videos"], removed["video-stats"]) == (there["videos"], there["video-stats"])
    assert removed["deadLetters"] == len(SUBSCRIPTIONS)
    assert removed["user-activity"] >= there["user-activity"]


async def test_later_messages_of_a_removed_tenant_are_dropped_and_counted(app: App) -> None:
    gone = Used(app, Client(app, "gone", "", new_user()), Editor(app, Client(app, "gone", "", ""), ""))
    late = batch_of(gone, app.clock.now() - 3600)
    assert await app.services.signals_consumer.handle(encode(late)) == "removed_tenant"
    await app.services.bus.publish(OutgoingMessage("late", "gone#0", encode(late), ROLLUP))

    async def dropped() -> bool:
        await app.rolled_up()
        return app.counted("batches_rolled_up", "removed_tenant") == 1

    await eventually(dropped)
    assert await gone.left() == {"tenants: removal": 1}


async def test_tenant_id_can_be_reused_after_the_receipt(app: App) -> None:
    before = await create(app, "gone")
    assert (await before.client.feed()).ids == []
    new = batch_of(before, app.clock.now())
    old = replace(batch_of(before, app.clock.now() - 3600.5), id="1" * 32)
    assert await app.services.signals_consumer.handle(encode(old)) == "removed_tenant"
    assert await app.services.signals_consumer.handle(encode(new)) == "folded"
    assert (await before.client.feed()).status == 200
    await app.folded()
    assert len(await query_all(app.documents, TENANTS, "gone")) > 4
