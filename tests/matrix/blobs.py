"""Operations of the blob port on Blob Storage, and the outcome of each response."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from shared.adapters.answers import Kind
from shared.adapters.blobs.azure import AzureBlobs
from shared.adapters.blobs.azure_answers import kind_of
from shared.adapters.blobs.port import ARCHIVE
from tests.emulators import azurite
from tests.emulators.blob_gate import BlobGate
from tests.matrix.answers import BLOB, always
from tests.matrix.outcomes import ABSENT, ANSWERED, OUTAGE, REFUSAL, outcome

ANSWERS = BLOB
Call = Callable[[AzureBlobs], Awaitable[object]]


async def _write(blobs: AzureBlobs) -> object:
    await blobs.write(ARCHIVE, "t/a", b"new")
    return ANSWERED


async def _list(blobs: AzureBlobs) -> object:
    return [blob async for blob in blobs.list(ARCHIVE)]


async def _delete(blobs: AzureBlobs) -> object:
    return await blobs.delete(ARCHIVE, "t/b") or None


async def _ready(blobs: AzureBlobs) -> object:
    await blobs.ready()
    return ANSWERED


OPERATIONS: dict[str, Call] = {
    "write": _write,
    "read": lambda blobs: blobs.read(ARCHIVE, "t/a"),
    "list": _list,
    "delete": _delete,
    "ready": _ready,
}


def expected(operation: str, answer: str) -> set[str]:
    """Return the outcomes that the adapter's table and the operation permit."""
    fault = ANSWERS[answer]
    if fault.body is not None or fault.stall or fault.delay or fault.cut:
        return {OUTAGE}
    match kind_of(fault.status, fault.headers.get("x-ms-error-code")):
        case Kind.REFUSAL:
            return {REFUSAL}
        case Kind.ABSENT:
            return {ABSENT if operation in ("read", "delete") else OUTAGE}
    return {OUTAGE}  # a conflict that a read does not resolve is a conflict too


@contextlib.asynccontextmanager
async def trials() -> AsyncIterator[Callable[[str, str], Awaitable[str]]]:
    """Yield `try_out(operation, answer)`: it returns the outcome of a response, or how the client failed to recover."""
    behind = azurite.running()
    async with BlobGate(behind.port) as gate:
        blobs = AzureBlobs(connection_string=gate.through(behind.account()), timeout_seconds=0.3, retries=0)
        await blobs.ready()

        async def try_out(operation: str, answer: str) -> str:
            for name in ("t/a", "t/b"):
                await blobs.write(ARCHIVE, name, b"old")
            gate.faults.add(always(ANSWERS[answer]))
            came = await outcome(lambda: OPERATIONS[operation](blobs))
            gate.faults.clear()
            if operation == "delete":
                await blobs.write(ARCHIVE, "t/b", b"old")
            after = await outcome(lambda: OPERATIONS[operation](blobs))
            return came if after == ANSWERED else f"{came}, and after mending {after}"

        yield try_out
        await blobs.close()
