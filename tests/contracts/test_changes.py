"""Contract of every document store: `changes`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.adapters.documents.port import (
    FROM_NOW,
    MAX_OPERATIONS,
    TENANTS,
    VIDEOS,
    Create,
    Delete,
    Document,
    DocumentStore,
    Upsert,
    WriteRejected,
)
from tests.contracts.backends import Rig

Documents = Rig[DocumentStore]


async def write(store: DocumentStore, id: str, partition: str = "t1", **fields: Any) -> None:
    await store.write(VIDEOS, partition, [Upsert({"id": id, **fields})])


async def follow(store: DocumentStore, since: str | None, limit: int = 500) -> tuple[list[Document], str]:
    """Return every change up to the end, and the token there. An idle container has an end, so calls are counted."""
    found: list[Document] = []
    token = since
    for _ in range(200):
        changes = await store.changes(VIDEOS, token, limit=limit)
        assert len(changes.documents) < limit + MAX_OPERATIONS  # a change feed can return one batch whole
        found += changes.documents
        token = changes.token
        if not changes.more:
            return found, token
    raise AssertionError("a quiet container never came to its end")


def latest(found: list[Document]) -> dict[tuple[str, str], Document]:
    """Return the last appearance of each item: a store can return one twice."""
    return {(document.partition, document.id): document for document in found}


async def test_an_empty_container_has_no_changes_and_a_token_that_sees_later_ones(
    documents: Documents,
) -> None:
    found, token = await follow(documents.port, None)
    assert found == []

    await write(documents.port, "v1")

    found, token = await follow(documents.port, token)
    assert [document.id for document in found] == ["v1"]


async def test_full_read_shows_each_partitions_items_as_they_read(documents: Documents) -> None:
    for partition in ("t1", "t2", "t3"):
        for id in ("v1", "v2"):
            await write(documents.port, id, partition, owner=partition)
    await documents.port.write(TENANTS, "t1", [Create({"id": "of another container"})])

    found, _ = await follow(documents.port, None)

    assert set(latest(found)) == {(p, id) for p in ("t1", "t2", "t3") for id in ("v1", "v2")}
    for (partition, id), document in latest(found).items():
        assert document == await documents.port.read(VIDEOS, partition, id, latest=True)


async def test_token_shows_only_later_writes(documents: Documents) -> None:
    await write(documents.port, "v1")
    await write(documents.port, "v2")
    _, token = await follow(documents.port, None)

    await write(documents.port, "v3")
    await write(documents.port, "v1", "t2")

    found, token = await follow(documents.port, token)
    assert set(latest(found)) == {("t1", "v3"), ("t2", "v1")}
    for _ in range(3):
        found, token = await follow(documents.port, token)
        assert found == []


async def test_rewritten_item_shows_again_in_its_latest_version(documents: Documents) -> None:
    await write(documents.port, "v1", n=1)
    _, token = await follow(documents.port, None)
    await write(documents.port, "v1", n=2)
    await write(documents.port, "v1", n=3)

    found, _ = await follow(documents.port, token)

    assert latest(found)["t1", "v1"].body["n"] == 3
    since_ever, _ = await follow(documents.port, None)
    assert latest(since_ever)["t1", "v1"].body["n"] == 3


async def test_item_recreated_after_a_delete_shows(documents: Documents) -> None:
    await write(documents.port, "v1", n=1)
    _, token = await follow(documents.port, None)
    await documents.port.write(VIDEOS, "t1", [Delete("v1")])
    await documents.port.write(VIDEOS, "t1", [Create({"id": "v1", "n": 2})])

    found, _ = await follow(documents.port, token)

    assert latest(found)["t1", "v1"].body["n"] == 2


async def test_deletes_do_not_show(documents: Documents) -> None:
    await write(documents.port, "v1")
    await write(documents.port, "v2")
    _, token = await follow(documents.port, None)

    await documents.port.write(VIDEOS, "t1", [Delete("v1")])

    assert (await follow(documents.port, token))[0] == []
    assert set(latest((await follow(documents.port, None))[0])) == {("t1", "v2")}


async def test_expired_items_do_not_show_and_expiry_is_no_change(documents: Documents) -> None:
    _, token = await follow(documents.port, None)
    await write(documents.port, "short", ttl=100)
    await write(documents.port, "long", ttl=1000)
    await documents.advance(200)

    found, token = await follow(documents.port, token)
    assert set(latest(found)) == {("t1", "long")}
    await documents.advance(1000)
    assert (await follow(documents.port, token))[0] == []


async def test_a_refused_batch_does_not_show(documents: Documents) -> None:
    await write(documents.port, "taken")
    _, token = await follow(documents.port, None)

    with pytest.raises(WriteRejected):
        await documents.port.write(VIDEOS, "t1", [Upsert({"id": "new"}), Create({"id": "taken"})])

    assert (await follow(documents.port, token))[0] == []


async def test_from_now_skips_existing_items_and_misses_nothing_after(documents: Documents) -> None:
    await write(documents.port, "before")

    start = await documents.port.changes(VIDEOS, FROM_NOW)
    assert (start.documents, start.more) == ([], False)
    await write(documents.port, "after")

    found, _ = await follow(documents.port, start.token)
    assert set(latest(found)) == {("t1", "after")}


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_small_pages_reach_the_end_and_show_everything(documents: Documents, limit: int) -> None:
    for partition in ("t1", "t2"):
        await documents.port.write(VIDEOS, partition, [Create({"id": f"v{i}"}) for i in range(10)])

    found, token = await follow(documents.port, None, limit)

    assert set(latest(found)) == {(p, f"v{i}") for p in ("t1", "t2") for i in range(10)}
    assert (await follow(documents.port, token, limit))[0] == []


async def test_token_is_valid_for_another_client(documents: Documents) -> None:
    await write(documents.port, "v1")
    _, token = await follow(documents.port, None)
    await write(documents.port, "v2")

    found, _ = await follow(await documents.another(), token)

    assert set(latest(found)) == {("t1", "v2")}


async def test_reader_of_concurrent_writers_misses_nothing(documents: Documents) -> None:
    """Two clients write at once, over and over the same items, while a third follows."""
    writers = [documents.port, await documents.another()]
    follower = await documents.another()
    writing = True
    seen: dict[tuple[str, str], int] = {}

    async def write_all(store: DocumentStore, partition: str) -> None:
        for n in range(40):
            await write(store, f"v{n % 10}", partition, n=n)

    async def keep_following() -> None:
        token, last_round = None, False
        while not last_round:
            last_round = not writing  # known before the read that must return everything
            found, token = await follow(follower, token, limit=3)
            seen.update({key: document.body["n"] for key, document in latest(found).items()})
            await asyncio.sleep(0)

    following = asyncio.create_task(keep_following())
    await asyncio.gather(*[write_all(store, f"t{i}-{j}") for i, store in enumerate(writers) for j in range(3)])
    writing = False
    await following

    partitions = [f"t{i}-{j}" for i in range(2) for j in range(3)]
    assert seen == {(partition, f"v{k}"): 30 + k for partition in partitions for k in range(10)}
