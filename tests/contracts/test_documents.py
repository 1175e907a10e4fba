"""Contract of every document store: one item, batches, expiry, queries. `test_changes.py` has the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.adapters.documents.port import (
    DAY_SECONDS,
    MAX_OPERATIONS,
    TENANTS,
    USER_ACTIVITY,
    VIDEOS,
    Create,
    Delete,
    Document,
    DocumentStore,
    Failure,
    Operation,
    Replace,
    Upsert,
    WriteRejected,
    query_all,
)
from tests.contracts.backends import Rig

Documents = Rig[DocumentStore]


async def read(rig: Documents, id: str, partition: str = "t1") -> Document | None:
    return await rig.port.read(VIDEOS, partition, id, latest=True)


async def written(rig: Documents, id: str, partition: str = "t1", **fields: Any) -> str:
    """Write an item unconditionally; return its etag."""
    (etag,) = await rig.port.write(VIDEOS, partition, [Upsert({"id": id, **fields})])
    assert etag is not None
    return etag


async def refused(rig: Documents, *operations: Operation, partition: str = "t1") -> dict[int, Failure]:
    """Return the failures of a batch that must be refused."""
    with pytest.raises(WriteRejected) as rejected:
        await rig.port.write(VIDEOS, partition, operations)
    return rejected.value.failures


# One item


async def test_missing_document_reads_as_none(documents: Documents) -> None:
    assert await read(documents, "v1") is None
    assert await documents.port.read(VIDEOS, "t1", "v1") is None


async def test_created_item_reads_back_with_partition_and_etag_and_nothing_else(documents: Documents) -> None:
    body = {"id": "v1", "title": "Fußball ⚽", "tags": ["a", {"b": None}], "n": 1.5, "on": True, "ttl": 3600}
    (etag,) = await documents.port.write(VIDEOS, "t1", [Create(body)])

    found = await read(documents, "v1")

    assert found == Document("t1", "v1", {**body, "tenantId": "t1"}, str(etag))


async def test_store_sets_the_partition_field_and_leaves_the_given_body_unchanged(
    documents: Documents,
) -> None:
    body = {"id": "v1", "tenantId": "somebody else"}
    await documents.port.write(VIDEOS, "t1", [Create(body)])

    found = await read(documents, "v1")

    assert found is not None
    assert found.body["tenantId"] == "t1"
    assert body == {"id": "v1", "tenantId": "somebody else"}
    assert await read(documents, "v1", "somebody else") is None


async def test_mutating_a_read_document_does_not_change_the_stored_one(documents: Documents) -> None:
    await written(documents, "v1", tags=["a"])
    found = await read(documents, "v1")
    assert found is not None
    found.body["tags"].append("b")

    again = await read(documents, "v1")

    assert again is not None
    assert again.body["tags"] == ["a"]


async def test_same_id_is_separate_in_each_partition_and_container(documents: Documents) -> None:
    await written(documents, "v1", "t1", n=1)
    await written(documents, "v1", "t2", n=2)
    await documents.port.write(TENANTS, "t1", [Create({"id": "v1", "n": 3})])
    await documents.port.write(VIDEOS, "t2", [Delete("v1")])

    one, two = await read(documents, "v1", "t1"), await read(documents, "v1", "t2")
    three = await documents.port.read(TENANTS, "t1", "v1", latest=True)

    assert one is not None
    assert one.body["n"] == 1
    assert two is None
    assert three is not None
    assert three.body["n"] == 3


async def test_every_write_changes_the_etag_even_of_an_equal_body(documents: Documents) -> None:
    etags = [await written(documents, "v1", n=1) for _ in range(4)]

    assert len(set(etags)) == 4


async def test_creating_an_existing_item_is_refused_and_leaves_it_unchanged(documents: Documents) -> None:
    etag = await written(documents, "v1", n=1)

    assert await refused(documents, Create({"id": "v1", "n": 2})) == {0: Failure.ALREADY_EXISTS}
    assert await read(documents, "v1") == Document("t1", "v1", {"id": "v1", "n": 1, "tenantId": "t1"}, etag)


async def test_replace_requires_the_latest_etag(documents: Documents) -> None:
    first = await written(documents, "v1", n=1)
    (second,) = await documents.port.write(VIDEOS, "t1", [Replace({"id": "v1", "n": 2}, first)])

    assert await refused(documents, Replace({"id": "v1", "n": 3}, first)) == {0: Failure.CONFLICT}
    found = await read(documents, "v1")
    assert found is not None
    assert (found.body["n"], found.etag) == (2, second)


async def test_replacing_a_missing_item_is_not_found_even_with_a_former_etag(documents: Documents) -> None:
    etag = await written(documents, "v1")
    await documents.port.write(VIDEOS, "t1", [Delete("v1")])

    assert await refused(documents, Replace({"id": "v1"}, etag)) == {0: Failure.NOT_FOUND}


async def test_etag_of_a_deleted_and_recreated_item_is_a_conflict(documents: Documents) -> None:
    old = await written(documents, "v1")
    await documents.port.write(VIDEOS, "t1", [Delete("v1")])
    await documents.port.write(VIDEOS, "t1", [Create({"id": "v1"})])

    assert await refused(documents, Replace({"id": "v1"}, old)) == {0: Failure.CONFLICT}
    assert await refused(documents, Delete("v1", old)) == {0: Failure.CONFLICT}


async def test_delete_checks_the_etag_only_when_one_is_given(documents: Documents) -> None:
    stale = await written(documents, "v1")
    fresh = await written(documents, "v1")
    await written(documents, "v2")

    assert await refused(documents, Delete("v1", stale)) == {0: Failure.CONFLICT}
    assert await documents.port.write(VIDEOS, "t1", [Delete("v1", fresh), Delete("v2")]) == [None, None]
    assert await refused(documents, Delete("v1")) == {0: Failure.NOT_FOUND}
    assert await refused(documents, Delete("v1", fresh)) == {0: Failure.NOT_FOUND}


# Batches


async def test_a_batch_returns_an_etag_per_operation_in_order(documents: Documents) -> None:
    kept = await written(documents, "kept")
    await written(documents, "gone")

    etags = await documents.port.write(
        VIDEOS,
        "t1",
        [Create({"id": "new"}), Replace({"id": "kept"}, kept), Delete("gone"), Upsert({"id": "either"})],
    )

    found = {document.id: document.etag for document in await query_all(documents.port, VIDEOS, "t1")}
    assert etags == [found["new"], found["kept"], None, found["either"]]
    assert set(found) == {"new", "kept", "either"}


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (Create({"id": "taken"}), Failure.ALREADY_EXISTS),
        (Replace({"id": "taken"}, '"no such etag"'), Failure.CONFLICT),
        (Replace({"id": "absent"}, '"no such etag"'), Failure.NOT_FOUND),
        (Delete("absent"), Failure.NOT_FOUND),
    ],
)
async def test_a_batch_with_one_refused_operation_writes_nothing_and_names_it(
    documents: Documents, last: Operation, why: Failure
) -> None:
    await written(documents, "taken", n=1)
    before = await query_all(documents.port, VIDEOS, "t1")

    failures = await refused(documents, Create({"id": "new"}), Upsert({"id": "taken", "n": 2}), last)

    assert failures == {2: why}
    assert await query_all(documents.port, VIDEOS, "t1") == before


async def test_operations_of_a_batch_see_earlier_ones(documents: Documents) -> None:
    await documents.port.write(VIDEOS, "t1", [Create({"id": "v1"}), Delete("v1"), Create({"id": "v1", "n": 2})])

    found = await read(documents, "v1")
    assert found is not None
    assert found.body["n"] == 2
    assert await refused(documents, Create({"id": "v2"}), Create({"id": "v2"})) == {1: Failure.ALREADY_EXISTS}
    assert await read(documents, "v2") is None


async def test_batch_accepts_one_to_a_hundred_operations(documents: Documents) -> None:
    full = [Create({"id": f"v{i}"}) for i in range(MAX_OPERATIONS)]

    assert len(await documents.port.write(VIDEOS, "t1", full)) == MAX_OPERATIONS
    for wrong in ([], [Upsert({"id": f"w{i}"}) for i in range(MAX_OPERATIONS + 1)]):
        with pytest.raises(ValueError, match="100"):
            await documents.port.write(VIDEOS, "t1", wrong)


@pytest.mark.parametrize("id", ["", "a/b", "a\\b", "a?b", "a#b", "x" * 1024, None, 7])
async def test_id_that_some_store_cannot_hold_is_refused_by_all(documents: Documents, id: Any) -> None:
    with pytest.raises(ValueError, match="id"):
        await documents.port.write(VIDEOS, "t1", [Create({"id": id})])


@pytest.mark.parametrize("ttl", [0, -2, 1.5, "60", True])
async def test_invalid_ttl_is_refused(documents: Documents, ttl: Any) -> None:
    with pytest.raises(ValueError, match="ttl"):
        await documents.port.write(VIDEOS, "t1", [Create({"id": "v1", "ttl": ttl})])


# Concurrency


async def test_fifty_concurrent_etag_writers_lose_no_increment(documents: Documents) -> None:
    await written(documents, "counter", n=0)

    async def increment() -> None:
        while True:
            found = await read(documents, "counter")
            assert found is not None
            body = {"id": "counter", "n": found.body["n"] + 1}
            try:
                await documents.port.write(VIDEOS, "t1", [Replace(body, found.etag)])
                return
            except WriteRejected:
                await asyncio.sleep(0)

    await asyncio.gather(*[increment() for _ in range(50)])

    found = await read(documents, "counter")
    assert found is not None
    assert found.body["n"] == 50


async def test_exactly_one_of_many_concurrent_creates_succeeds(documents: Documents) -> None:
    async def create(n: int) -> bool:
        try:
            await documents.port.write(VIDEOS, "t1", [Create({"id": "v1", "n": n}), Upsert({"id": f"won {n}"})])
        except WriteRejected:
            return False
        return True

    won = await asyncio.gather(*[create(n) for n in range(20)])

    assert sum(won) == 1
    items = await query_all(documents.port, VIDEOS, "t1")
    assert [item.id for item in items] == ["v1", f"won {won.index(True)}"]


async def test_another_client_sees_every_confirmed_write_with_the_same_etags(documents: Documents) -> None:
    other = await documents.another()
    etag = await written(documents, "v1", n=1)

    found = await other.read(VIDEOS, "t1", "v1", latest=True)
    assert found is not None
    assert found.etag == etag
    await other.write(VIDEOS, "t1", [Replace({"id": "v1", "n": 2}, etag)])

    assert await refused(documents, Replace({"id": "v1", "n": 3}, etag)) == {0: Failure.CONFLICT}


# Expiry


async def test_item_expires_its_ttl_after_its_last_write(documents: Documents) -> None:
    await written(documents, "v1", ttl=100)
    await documents.advance(90)
    await written(documents, "v1", ttl=100)
    await documents.advance(90)
    assert await read(documents, "v1") is not None

    await documents.advance(20)

    assert await read(documents, "v1") is None
    assert await query_all(documents.port, VIDEOS, "t1") == []


async def test_an_expired_item_counts_as_absent_for_every_operation(documents: Documents) -> None:
    etag = await written(documents, "v1", ttl=100)
    await documents.advance(120)

    assert await refused(documents, Replace({"id": "v1"}, etag)) == {0: Failure.NOT_FOUND}
    assert await refused(documents, Delete("v1")) == {0: Failure.NOT_FOUND}
    assert await refused(documents, Delete("v1", etag)) == {0: Failure.NOT_FOUND}
    await documents.port.write(VIDEOS, "t1", [Create({"id": "v1", "n": 2})])
    found = await read(documents, "v1")
    assert found is not None
    assert found.body["n"] == 2


async def test_container_default_ttl_applies_unless_the_item_has_its_own(documents: Documents) -> None:
    await documents.port.write(
        USER_ACTIVITY,
        "u1",
        [
            Create({"id": "default"}),
            Create({"id": "shorter", "ttl": 14 * DAY_SECONDS}),
            Create({"id": "longer", "ttl": 120 * DAY_SECONDS}),
            Create({"id": "for ever", "ttl": -1}),
        ],
    )

    async def left() -> list[str]:
        return [document.id for document in await query_all(documents.port, USER_ACTIVITY, "u1")]

    assert await left() == ["default", "for ever", "longer", "shorter"]
    await documents.advance(15 * DAY_SECONDS)
    assert await left() == ["default", "for ever", "longer"]
    await documents.advance(76 * DAY_SECONDS)
    assert await left() == ["for ever", "longer"]
    await documents.advance(30 * DAY_SECONDS)
    assert await left() == ["for ever"]


async def test_item_without_any_ttl_never_expires(documents: Documents) -> None:
    await written(documents, "v1", ttl=100)
    await written(documents, "v1")

    await documents.advance(3650 * DAY_SECONDS)

    assert await read(documents, "v1") is not None


# Queries


async def test_query_returns_the_partitions_items_with_the_prefix_in_id_order(documents: Documents) -> None:
    ids = ["m-2", "m-10", "m", "M-1", "n-1", "m-1", "l", "m-é", "m-%", "m_1"]
    for id in ids:
        await written(documents, id)
    await written(documents, "m-0", "t2")

    found = await query_all(documents.port, VIDEOS, "t1", "m-")

    assert [document.id for document in found] == ["m-%", "m-1", "m-10", "m-2", "m-é"]
    assert {document.partition for document in found} == {"t1"}
    assert [d.id for d in await query_all(documents.port, VIDEOS, "t1")] == sorted(ids)
    assert await query_all(documents.port, VIDEOS, "t1", "zz") == []
    assert await query_all(documents.port, VIDEOS, "nobody") == []


@pytest.mark.parametrize("limit", [1, 3, 4, 10, 11])
async def test_pages_add_up_to_the_whole_without_gap_or_repeat(documents: Documents, limit: int) -> None:
    await documents.port.write(VIDEOS, "t1", [Create({"id": f"v{i}"}) for i in range(10)])
    await written(documents, "w")

    found: list[str] = []
    after: str | None = None
    while True:
        page = await documents.port.query(VIDEOS, "t1", id_prefix="v", after=after, limit=limit)
        assert len(page.documents) <= limit
        found += [document.id for document in page.documents]
        after = page.next
        if after is None:
            break

    assert found == [f"v{i}" for i in range(10)]


async def test_item_added_or_removed_between_pages_disturbs_no_other(documents: Documents) -> None:
    await documents.port.write(VIDEOS, "t1", [Create({"id": f"v{i}"}) for i in range(6)])

    first = await documents.port.query(VIDEOS, "t1", limit=3)
    await documents.port.write(VIDEOS, "t1", [Delete("v1"), Delete("v4"), Create({"id": "v0-late"})])
    assert first.next is not None
    rest = await documents.port.query(VIDEOS, "t1", after=first.next, limit=10)

    assert [document.id for document in rest.documents] == ["v3", "v5"]
    assert rest.next is None


# Life


async def test_ready_can_be_called_at_any_time_and_close_twice(documents: Documents) -> None:
    await documents.port.ready()
    await written(documents, "v1")
    await documents.port.ready()
    await documents.port.close()
    await documents.port.close()

    reopened = await documents.another()
    assert await reopened.read(VIDEOS, "t1", "v1", latest=True) is not None
