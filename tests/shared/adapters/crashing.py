"""`python -m tests.shared.adapters.crashing` writes until it is killed and prints confirmed writes."""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.bus.port import SIGNALS, OutgoingMessage
from shared.adapters.bus.sqlite import SqliteBus
from shared.adapters.documents.port import USER_ACTIVITY, Create, Upsert
from shared.adapters.documents.sqlite import SqliteStore

WRITERS = 8
BLOB_BYTES = 100_000


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # at once and whole: the kill must leave nothing in a buffer


async def write_documents(folder: Path) -> None:
    """Write batches of users, each with a new marker and a counter of them."""
    store = SqliteStore(folder / "documents.db")

    async def write(user: str) -> None:
        for n in count():
            await store.write(USER_ACTIVITY, user, [Create({"id": f"marker-{n}"}), Upsert({"id": "signals", "n": n})])
            say(f"{user} {n}")

    await asyncio.gather(*[write(f"u{k}") for k in range(WRITERS)])


async def publish(folder: Path) -> None:
    bus = SqliteBus(folder / "bus.db")

    async def write(k: int) -> None:
        for n in count():
            await bus.publish(OutgoingMessage(f"m-{k}-{n}", f"tenant_{k}", b"x" * 1000))
            say(f"m-{k}-{n}")

    await asyncio.gather(*[write(k) for k in range(WRITERS)])


async def consume(folder: Path) -> None:
    """Receive three messages, complete two, repeatedly."""
    bus = SqliteBus(folder / "bus.db")
    receiver = await bus.receiver(SIGNALS)
    while True:
        batch = await receiver.receive(3, 1)
        await receiver.complete(batch[:2])
        for message in batch[:2]:
            say(message.message_id)


async def overwrite(folder: Path) -> None:
    """Overwrite one blob repeatedly, filled with the last byte of its number."""
    blobs = FolderBlobs(folder / "blobs")
    for n in count():
        await blobs.write(ARCHIVE, "t1/a", bytes([n % 256]) * BLOB_BYTES)
        say(str(n))


async def write_some(folder: Path, partition: str) -> None:
    """Write a limited number of documents, to run beside other writers; print their etags."""
    store = SqliteStore(folder / "documents.db")
    for n in range(100):
        (etag,) = await store.write(USER_ACTIVITY, partition, [Upsert({"id": f"v{n % 10}", "n": n})])
        say(str(etag))
    await store.close()


if __name__ == "__main__":
    programs = {f.__name__: f for f in (write_documents, publish, consume, overwrite, write_some)}
    asyncio.run(programs[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:]))
