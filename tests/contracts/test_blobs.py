"""Contract of every blob store."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.blobs.port import ARCHIVE, TABLES, Blobs
from tests.contracts.backends import Rig


async def names(rig: Rig[Blobs], prefix: str = "", container: str = ARCHIVE) -> list[str]:
    return [blob.name async for blob in rig.port.list(container, prefix)]


async def test_missing_blob_reads_as_none(blobs: Rig[Blobs]) -> None:
    assert await blobs.port.read(ARCHIVE, "t1/2026/11/20/12/7.jsonl.gz") is None
    assert await names(blobs) == []


@pytest.mark.parametrize("content", [b"", b"\x00\xff\r\n", b"x" * 3_000_000])
async def test_a_blob_reads_back_byte_by_byte(blobs: Rig[Blobs], content: bytes) -> None:
    await blobs.port.write(ARCHIVE, "t1/2026/11/20/12/7.jsonl.gz", content)

    assert await blobs.port.read(ARCHIVE, "t1/2026/11/20/12/7.jsonl.gz") == content


async def test_write_replaces_the_previous_content(blobs: Rig[Blobs]) -> None:
    await blobs.port.write(TABLES, "t1/table", b"long content")
    await blobs.port.write(TABLES, "t1/table", b"short")

    assert await blobs.port.read(TABLES, "t1/table") == b"short"
    assert await names(blobs, container=TABLES) == ["t1/table"]


async def test_containers_are_separate(blobs: Rig[Blobs]) -> None:
    await blobs.port.write(ARCHIVE, "same", b"archive")
    await blobs.port.write(TABLES, "same", b"table")

    assert await blobs.port.read(ARCHIVE, "same") == b"archive"
    assert await blobs.port.delete(TABLES, "same") is True
    assert await blobs.port.read(ARCHIVE, "same") == b"archive"


async def test_delete_reports_whether_the_blob_existed(blobs: Rig[Blobs]) -> None:
    await blobs.port.write(ARCHIVE, "t1/a", b"1")
    await blobs.port.write(ARCHIVE, "t1/b", b"2")

    assert await blobs.port.delete(ARCHIVE, "t1/a") is True
    assert await blobs.port.delete(ARCHIVE, "t1/a") is False
    assert await blobs.port.delete(ARCHIVE, "t2/nobody/ever") is False
    assert await blobs.port.read(ARCHIVE, "t1/a") is None
    assert await names(blobs) == ["t1/b"]


async def test_list_returns_blobs_with_the_prefix_in_name_order(blobs: Rig[Blobs]) -> None:
    written = ["t1/2026/11/20/12/9", "t1/2026/11/20/12/10", "t1/2026/11/20/12-x", "t1-b/1", "t1/2026/12/1", "t10/1"]
    for name in written:
        await blobs.port.write(ARCHIVE, name, b"x")

    assert await names(blobs) == sorted(written)
    assert await names(blobs, "t1/") == sorted(n for n in written if n.startswith("t1/"))
    assert await names(blobs, "t1/2026/11/20/12") == [
        "t1/2026/11/20/12-x",
        "t1/2026/11/20/12/10",
        "t1/2026/11/20/12/9",
    ]
    assert await names(blobs, "t1/2026/11/20/12/1") == ["t1/2026/11/20/12/10"]
    assert await names(blobs, "t1") == sorted(written)
    for of_none in ("t2", "t1/2026/12/10", "t1/2026/12/1/"):
        assert await names(blobs, of_none) == []
    assert await names(blobs, "../") == []


async def test_list_returns_size_and_time_of_the_last_write(blobs: Rig[Blobs]) -> None:
    await blobs.port.write(ARCHIVE, "t1/a", b"12345")

    (blob,) = [blob async for blob in blobs.port.list(ARCHIVE)]

    assert (blob.name, blob.size) == ("t1/a", 5)
    assert abs(blob.modified_at - blobs.now()) < 5


async def test_listing_continues_while_listed_blobs_are_deleted(blobs: Rig[Blobs]) -> None:
    for n in range(30):
        await blobs.port.write(ARCHIVE, f"t{n % 3}/{n:02}", b"x")

    seen = []
    async for blob in blobs.port.list(ARCHIVE):
        seen.append(blob.name)
        await blobs.port.delete(ARCHIVE, blob.name)

    assert seen == sorted(f"t{n % 3}/{n:02}" for n in range(30))
    assert await names(blobs) == []


async def test_reader_sees_one_whole_version_of_a_blob(blobs: Rig[Blobs]) -> None:
    other = await blobs.another()
    contents = [bytes([n]) * 200_000 for n in range(4)]
    await blobs.port.write(ARCHIVE, "t1/a", contents[0])
    writing = True

    async def read() -> int:
        reads = 0
        while writing or not reads:
            assert await other.read(ARCHIVE, "t1/a") in contents
            reads += 1
        return reads

    reading = asyncio.create_task(read())
    for _ in range(3):
        await asyncio.gather(*[blobs.port.write(ARCHIVE, "t1/a", content) for content in contents])
    writing = False

    assert await reading


async def test_concurrent_writes_and_deletes_in_one_folder_succeed(blobs: Rig[Blobs]) -> None:
    async def come_and_go(n: int) -> None:
        for _ in range(5):
            await blobs.port.write(ARCHIVE, f"t1/2026/11/{n}", b"x")
            assert await blobs.port.delete(ARCHIVE, f"t1/2026/11/{n}") is True
        await blobs.port.write(ARCHIVE, f"t1/2026/11/{n}", b"x")

    await asyncio.gather(*[come_and_go(n) for n in range(8)])

    assert await names(blobs) == [f"t1/2026/11/{n}" for n in range(8)]


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "..", "../a", "a/../../b", "a/./b", "a\\b", "a\x00b", "a\nb", "x" * 1025]
)
async def test_a_name_that_is_no_plain_path_is_refused(blobs: Rig[Blobs], name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        await blobs.port.write(ARCHIVE, name, b"x")
    with pytest.raises(ValueError, match="name"):
        await blobs.port.read(ARCHIVE, name)
    with pytest.raises(ValueError, match="name"):
        await blobs.port.delete(ARCHIVE, name)


async def test_unknown_container_is_refused(blobs: Rig[Blobs]) -> None:
    with pytest.raises(ValueError, match="container"):
        await blobs.port.write("../elsewhere", "a", b"x")
    with pytest.raises(ValueError, match="container"):
        await names(blobs, container="..")


# The names of one set have one depth, since a folder cannot be a file as well.
NAMES = st.lists(st.sampled_from(["a", "a-", "a.b", "b", "ab", "é"]), min_size=3, max_size=3).map("/".join)


@given(
    steps=st.lists(st.tuples(NAMES, st.one_of(st.none(), st.binary(max_size=4))), max_size=15),
    prefix=st.one_of(st.text(alphabet="ab-./é", max_size=4), NAMES, NAMES.map(lambda name: name[:-1])),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
async def test_a_container_behaves_like_a_dictionary(
    blobs: Rig[Blobs], steps: list[tuple[str, bytes | None]], prefix: str
) -> None:
    model: dict[str, bytes] = {}
    for name, content in steps:
        if content is None:
            assert await blobs.port.delete(ARCHIVE, name) is (model.pop(name, None) is not None)
        else:
            await blobs.port.write(ARCHIVE, name, content)
            model[name] = content

    assert await names(blobs, prefix) == sorted(name for name in model if name.startswith(prefix))
    for name, content in model.items():
        assert await blobs.port.read(ARCHIVE, name) == content
    for name in model:
        await blobs.port.delete(ARCHIVE, name)
    assert await names(blobs) == []


async def test_ready_and_close_can_be_called_at_any_time(blobs: Rig[Blobs]) -> None:
    await blobs.port.ready()
    await blobs.port.write(ARCHIVE, "t1/a", b"x")
    await blobs.port.ready()
    assert await names(blobs) == ["t1/a"]
    await blobs.port.close()
    await blobs.port.close()

    assert await (await blobs.another()).read(ARCHIVE, "t1/a") == b"x"
