"""Ports that fail by plan: which calls, how, from when to when.

The kinds are what may come out of a port (`shared/adapters/answers.py`), each with and without the work being done:

    outage      nothing is done
    lost        it is done, and the answer is lost
    conflict    nothing is done: somebody else was first
    resent      it is done, and the answer is that of the same request sent twice
    refusal     nothing is done, ever
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared.adapters.blobs.port import BlobRefused, BlobsUnavailable
from shared.adapters.bus.port import BusRefused, BusUnavailable, LockLost
from shared.adapters.documents.port import Create, Failure, StoreUnavailable, Upsert, WriteRejected
from shared.adapters.flags.port import FlagsUnavailable

OUTAGE, LOST, CONFLICT, RESENT, REFUSAL = "outage", "lost", "conflict", "resent", "refusal"
DOCUMENTS, BUS, RECEIVER, BLOBS, FLAGS = "documents", "bus", "receiver", "blobs", "flags"
CALL_SECONDS = 0.004
"""Duration of a call: other tasks run meanwhile."""

KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    DOCUMENTS: {
        "read": (OUTAGE,),
        "query": (OUTAGE,),
        "changes": (OUTAGE,),
        "write": (OUTAGE, LOST, CONFLICT, RESENT),
    },
    BUS: {
        "publish": (OUTAGE, LOST, REFUSAL),
        "dead_letter": (OUTAGE, LOST),
        "receiver": (OUTAGE, LOST),
        "next_session": (OUTAGE, LOST),
        "peek_dead_letters": (OUTAGE,),
        "depth": (OUTAGE,),
        "oldest": (OUTAGE,),
    },
    RECEIVER: {
        "receive": (OUTAGE, LOST),
        "complete": (OUTAGE, LOST, CONFLICT, RESENT),
        "abandon": (OUTAGE, LOST),
        "renew": (OUTAGE, LOST, CONFLICT),
    },
    BLOBS: {
        "ready": (OUTAGE,),
        "read": (OUTAGE,),
        "list": (OUTAGE,),
        "write": (OUTAGE, LOST, REFUSAL),
    },
    FLAGS: {"load": (OUTAGE,)},
}
"""Possible outcomes by port and operation. A refused document is invalid in itself and so for good: no plan has any.
Only messages of clients are refused, and clients are told."""
UNAVAILABLE = {
    DOCUMENTS: StoreUnavailable,
    BUS: BusUnavailable,
    RECEIVER: BusUnavailable,
    BLOBS: BlobsUnavailable,
    FLAGS: FlagsUnavailable,
}


@dataclass(frozen=True)
class PlannedFault:
    """`kind` is the outcome of `operation` from `begins` to `ends` (seconds). An empty `operation` means all that
    can have this kind; an empty `container` means all of them."""

    port: str
    operation: str
    kind: str
    begins: float
    ends: float
    container: str = ""

    def holds(self, port: str, operation: str, container: str, now: float) -> bool:
        """Return whether it applies to a call."""
        return (
            self.port == port
            and self.begins <= now < self.ends
            and self.operation in ("", operation)
            and self.kind in KINDS[port][operation]
            and self.container in ("", container)
        )


@dataclass
class FaultsByTime:
    """The current plan; `clock` returns seconds as the plan counts them."""

    faults: list[PlannedFault]
    clock: Callable[[], float]
    mended: bool = False
    felt: int = 0

    def around(self, port: str, inner: Any) -> Any:
        """Return the port with its planned faults."""
        return _Planned(self, port, inner)

    def readable_since(self, port: str) -> float | None:
        """Return since when a port has no fault; None while it has one."""
        ends = (
            [0.0]
            if self.mended
            else [0.0] + [f.ends for f in self.faults if f.port == port and f.begins <= self.clock()]
        )
        return max(ends) if max(ends) <= self.clock() or self.mended else None

    def kind_of(self, port: str, operation: str, arguments: tuple[Any, ...]) -> str | None:
        """Return the planned outcome of a call, None without a fault."""
        if self.mended:
            return None
        container = getattr(arguments[0], "name", arguments[0]) if arguments and port in (DOCUMENTS, BLOBS) else ""
        for fault in self.faults:
            if not fault.holds(port, operation, container, self.clock()):
                continue
            if fault.kind == REFUSAL and port == BUS and arguments[0].to is not None:
                continue
            if fault.kind in (CONFLICT, RESENT) and port == DOCUMENTS and _unconditional(arguments):
                continue
            self.felt += 1
            return fault.kind
        return None


class _Planned:
    def __init__(self, plan: FaultsByTime, port: str, inner: Any) -> None:
        self._plan, self._port, self._inner = plan, port, inner

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._inner, name)
        if name not in KINDS[self._port]:
            return inner
        if name == "list":
            return self._listing(inner)

        async def call(*arguments: Any, **options: Any) -> Any:
            found = await self._call(name, lambda: inner(*arguments, **options), arguments)
            return self._plan.around(RECEIVER, found) if name in ("receiver", "next_session") and found else found

        return call

    async def _call(self, name: str, work: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        await asyncio.sleep(CALL_SECONDS)
        kind = self._plan.kind_of(self._port, name, arguments)
        if kind in (None, LOST, RESENT):
            found = await work()
            if kind is None:
                return found
        match kind, self._port:
            case "conflict" | "resent", "documents":
                taken = isinstance(arguments[2][0], Create)
                raise WriteRejected({0: Failure.ALREADY_EXISTS if taken else Failure.CONFLICT})
            case "conflict" | "resent", _:
                raise LockLost("as the plan says")
            case "refusal", port:
                raise (BusRefused if port == BUS else BlobRefused)("as the plan says")
        raise UNAVAILABLE[self._port]("as the plan says")

    def _listing(self, inner: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def listing(*arguments: Any) -> AsyncIterator[Any]:
            async def nothing() -> None: ...

            await self._call("list", nothing, arguments)
            async for each in inner(*arguments):
                yield each

        return listing


def _unconditional(arguments: tuple[Any, ...]) -> bool:
    """Return whether a write can never be in conflict."""
    return all(isinstance(operation, Upsert) for operation in arguments[2])
