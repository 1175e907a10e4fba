"""Confirmed writes survive kill -9, and several processes can share the files."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.bus.port import LOCK_SECONDS, ROLLUP, SIGNALS
from shared.adapters.bus.sqlite import SqliteBus
from shared.adapters.documents.port import USER_ACTIVITY, query_all
from shared.adapters.documents.sqlite import SqliteStore
from tests.contracts.drain import ids
from tests.shared.adapters.crashing import BLOB_BYTES, WRITERS

ROOT = Path(__file__).parents[3]


def start(program: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.shared.adapters.crashing", program, str(folder), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def run_and_kill(program: str, folder: Path, after_lines: int) -> list[str]:
    """Run the program and kill it at work; return every line printed before."""
    with start(program, folder) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after_lines)]
        process.kill()
        lines += process.stdout.readlines()
    said = [line.decode().strip() for line in lines]
    assert len(said) >= after_lines
    assert all(said)
    return said


async def test_every_confirmed_batch_survives_a_kill_and_none_by_half(tmp_path: Path) -> None:
    confirmed: dict[str, int] = {}
    for line in run_and_kill("write_documents", tmp_path, 200):
        user, n = line.split()
        confirmed[user] = int(n)

    store = SqliteStore(tmp_path / "documents.db")
    for user in [f"u{k}" for k in range(WRITERS)]:
        items = {document.id: document.body for document in await query_all(store, USER_ACTIVITY, user)}
        counted = items.pop("signals")["n"]
        assert counted >= confirmed[user]
        assert items.keys() == {f"marker-{n}" for n in range(counted + 1)}
    await store.close()


async def test_every_confirmed_message_survives_a_kill_once_per_subscription(tmp_path: Path) -> None:
    confirmed = run_and_kill("publish", tmp_path, 200)

    bus = SqliteBus(tmp_path / "bus.db")
    signals = ids(await (await bus.receiver(SIGNALS)).receive(100_000, 0))
    rollup: list[str] = []
    while (session := await bus.next_session(ROLLUP, 0)) is not None:
        of_session = ids(await session.receive(100_000, 0))
        numbers = [int(id.split("-")[2]) for id in of_session]
        assert numbers == list(range(len(numbers)))
        rollup += of_session
    await bus.close()

    assert set(confirmed) <= set(signals)
    assert len(set(signals)) == len(signals)
    assert sorted(rollup) == sorted(signals)


async def test_completed_messages_stay_completed_after_a_kill_and_the_rest_return(tmp_path: Path) -> None:
    run_and_kill("publish", tmp_path, 200)
    completed = run_and_kill("consume", tmp_path, 40)

    bus = SqliteBus(tmp_path / "bus.db", lambda: time.time() + LOCK_SECONDS + 1)
    left = ids(await (await bus.receiver(SIGNALS)).receive(100_000, 0))
    published, _ = await bus.depth(ROLLUP)
    await bus.close()

    assert not set(completed) & set(left)
    # A completion can succeed without a confirmation: at most two messages of one batch.
    assert published - len(completed) - 2 <= len(left) <= published - len(completed)


async def test_blob_is_whole_and_no_older_than_confirmed_after_a_kill(tmp_path: Path) -> None:
    confirmed = int(run_and_kill("overwrite", tmp_path, 30)[-1])

    blobs = FolderBlobs(tmp_path / "blobs")
    content = await blobs.read(ARCHIVE, "t1/a")
    names = [blob.name async for blob in blobs.list(ARCHIVE)]

    assert content is not None
    assert content in (bytes([n % 256]) * BLOB_BYTES for n in (confirmed, confirmed + 1))
    assert names == ["t1/a"]


async def test_two_writing_processes_share_one_sequence_and_a_reader_misses_nothing(tmp_path: Path) -> None:
    processes = [start("write_some", tmp_path, f"p{k}") for k in range(2)]
    store = SqliteStore(tmp_path / "documents.db")
    token: str | None = None
    seen: dict[tuple[str, str], int] = {}
    while True:
        ended = all(process.poll() is not None for process in processes)
        changes = await store.changes(USER_ACTIVITY, token, limit=7)
        token = changes.token
        seen.update({(document.partition, document.id): document.body["n"] for document in changes.documents})
        if ended and not changes.more:
            break
        if not changes.more:
            await asyncio.sleep(0.002)
    etags = [line for process in processes for line in process.communicate()[0].split()]
    await store.close()

    assert [process.returncode for process in processes] == [0, 0]
    assert len(etags) == len(set(etags)) == 200
    assert seen == {(f"p{k}", f"v{i}"): 90 + i for k in range(2) for i in range(10)}
