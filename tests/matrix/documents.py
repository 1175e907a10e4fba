"""Operations of the document port on Cosmos DB, and the outcome of each response."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

from shared.adapters.answers import Kind
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_answers import kind_of
from shared.adapters.documents.cosmos_batch_write import BatchWrites
from shared.adapters.documents.cosmos_point_read import PointReads
from shared.adapters.documents.cosmos_wire import Wire
from shared.adapters.documents.port import TENANTS, Create, Upsert
from tests.emulators.cosmos import CosmosServer
from tests.matrix.answers import COSMOS, always
from tests.matrix.outcomes import ABSENT, ANSWERED, CONFLICT, OUTAGE, REFUSAL, outcome

ANSWERS = COSMOS
Call = Callable[[CosmosStore, str | None], Awaitable[object]]


async def _ready(store: CosmosStore, _: str | None) -> object:
    await store.ready()
    return ANSWERED


OPERATIONS: dict[str, Call] = {
    "read": lambda store, _: store.read(TENANTS, "t", "a"),
    "read latest": lambda store, _: store.read(TENANTS, "t", "a", latest=True),
    "write": lambda store, _: store.write(TENANTS, "t", [Upsert({"id": "a", "n": 2}), Upsert({"id": "b"})]),
    "query": lambda store, _: store.query(TENANTS, "t"),
    "first changes": lambda store, _: store.changes(TENANTS, None),
    "next changes": lambda store, token: store.changes(TENANTS, token),
    "ready": _ready,
}
LEAN = {"lean read", "lean read latest", "lean write"}
OPERATIONS |= {name: OPERATIONS[name.removeprefix("lean ")] for name in sorted(LEAN)}
"""The same reads and writes without the SDK; their outcomes must be the same."""


def expected(operation: str, answer: str) -> set[str]:
    """Return the outcomes that the adapter's table and the operation permit."""
    fault = ANSWERS[answer]
    if answer in ("418", "204", "206 empty") or fault.body is not None or fault.stall or fault.delay or fault.cut:
        return {OUTAGE}
    match kind_of(fault.status, fault.substatus or None):
        case Kind.REFUSAL:
            return {REFUSAL}
        case Kind.CONFLICT:  # reads cannot conflict: there it is an invalid response
            return {CONFLICT if operation.removeprefix("lean ") == "write" else OUTAGE}
        case Kind.ABSENT:  # a whole container or batch is never absent
            return {ABSENT if operation.removeprefix("lean ") in ("read", "read latest") else OUTAGE}
    return {OUTAGE}


@contextlib.asynccontextmanager
async def trials() -> AsyncIterator[Callable[[str, str], Awaitable[str]]]:
    """Yield `try_out(operation, answer)`: it returns the outcome of a response, or how the client failed to recover."""
    async with CosmosServer(partitions=2) as server:
        opened: list[CosmosStore] = []

        def connect(**lean: Any) -> CosmosStore:
            opened.append(
                CosmosStore(
                    "video",
                    connection_string=server.connection_string,
                    read_timeout_seconds=0.15,
                    write_timeout_seconds=0.15,
                    throttle_wait_seconds=0.05,
                    reopen_after_seconds=0.0,
                    **lean,
                )
            )
            return opened[-1]

        store = connect()
        hours = count(step=3_600)  # no endpoint is skipped so long
        wire = Wire(server.url, "video", server.entra.credential, clock=lambda: next(hours))
        lean = connect(
            point_reads=PointReads(wire, timeout_seconds=0.15), batch_writes=BatchWrites(wire, timeout_seconds=0.15)
        )
        await store.ready()
        await lean.ready()
        await store.write(TENANTS, "t", [Create({"id": "a"})])

        async def try_out(operation: str, answer: str) -> str:
            token = (await store.changes(TENANTS, None)).token
            asked = lean if operation in LEAN else store
            server.faults.add(always(ANSWERS[answer]))
            came = await outcome(lambda: OPERATIONS[operation](asked, token))
            server.faults.clear()
            after = await outcome(lambda: OPERATIONS[operation](asked, token))
            return came if after == ANSWERED else f"{came}, and after mending {after}"

        yield try_out
        for each in opened:
            await each.close()
