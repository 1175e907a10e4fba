"""Operations of the flag port on App Configuration, and the outcome of each response."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared.adapters.answers import Kind
from shared.adapters.flags.app_configuration import AppConfigurationFlags, FlagStore
from shared.adapters.flags.app_configuration_answers import kind_of
from shared.adapters.flags.key_values import CONTENT_TYPE, KEY_PREFIX, KeyValues
from tests.emulators.appconfig import AppConfigurationServer
from tests.matrix.answers import FLAGS, always
from tests.matrix.outcomes import ABSENT, ANSWERED, CONFLICT, OUTAGE, outcome

ANSWERS = FLAGS
NAME = "personalized-feed"
KEY = KEY_PREFIX + NAME
FIELDS = {"value": json.dumps({"id": NAME, "enabled": True}), "content_type": CONTENT_TYPE}
TIMEOUT_SECONDS = 0.3


@dataclass(slots=True)
class Prepared:
    """A client that has read nothing, one that has read each page, and the operators' tools."""

    server: AppConfigurationServer
    fresh: AppConfigurationFlags
    known: KeyValues
    store: FlagStore

    def write(self) -> object:
        etag = self.server.items[KEY]["etag"]
        self.known.put(KEY, FIELDS, etag=etag)
        return ANSWERED

    def delete(self) -> object:
        self.known.delete(KEY)
        return ANSWERED

    def seed(self) -> object:
        return self.store.seed([{"id": "another", "enabled": False}]) or ANSWERED


def _blocking(work: Callable[[Prepared], Any]) -> Callable[[Prepared], Awaitable[object]]:
    return lambda prepared: asyncio.to_thread(work, prepared)


OPERATIONS: dict[str, Callable[[Prepared], Awaitable[object]]] = {
    "load": lambda prepared: prepared.fresh.load(),
    "list again by etag": _blocking(lambda prepared: prepared.known.flags()),
    "read one": _blocking(lambda prepared: prepared.known.get(KEY)),
    "write": _blocking(Prepared.write),
    "delete": _blocking(Prepared.delete),
    "switch": _blocking(lambda prepared: prepared.store.switch(NAME, False) or ANSWERED),
    "seed": _blocking(Prepared.seed),
}


def expected(operation: str, answer: str) -> set[str]:
    """Return the outcomes that the adapter's table and the operation permit. The port has no refusals of its own."""
    fault = ANSWERS[answer]
    if answer == "304" and operation == "list again by etag":
        return {ANSWERED}
    if answer == "204" and operation == "delete":
        return {ANSWERED}
    if fault.body is not None or fault.stall or fault.delay or fault.cut:
        return {OUTAGE}
    match kind_of(fault.status):
        case Kind.CONFLICT if operation == "write":
            return {CONFLICT}
        case Kind.ABSENT if operation == "read one":
            return {ABSENT}
    return {OUTAGE}  # the tools report a change in between on each attempt as a conflict too


@contextlib.asynccontextmanager
async def trials() -> AsyncIterator[Callable[[str, str], Awaitable[str]]]:
    """Yield `try_out(operation, answer)`: it returns the outcome of a response, or how the client failed to recover."""
    async with AppConfigurationServer() as server:
        address = {"connection_string": server.connection_string, "timeout_seconds": TIMEOUT_SECONDS}
        known = KeyValues(**address, retries=0)  # type: ignore[arg-type]
        store = FlagStore(**address, retries=0)  # type: ignore[arg-type]

        async def try_out(operation: str, answer: str) -> str:
            server.clear()
            server.put_flag({"id": NAME, "enabled": True})
            await asyncio.to_thread(known.flags)
            prepared = Prepared(server, AppConfigurationFlags(**address), known, store)  # type: ignore[arg-type]
            server.faults.add(always(ANSWERS[answer]))
            came = await outcome(lambda: OPERATIONS[operation](prepared))
            server.faults.clear()
            if KEY not in server.items:
                server.put_flag({"id": NAME, "enabled": True})
            after = await outcome(lambda: OPERATIONS[operation](prepared))
            await prepared.fresh.close()
            return came if after == ANSWERED else f"{came}, and after mending {after}"

        yield try_out
        store.close()
        known.close()
