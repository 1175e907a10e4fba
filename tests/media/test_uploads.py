"""An upload from ticket to media on both media stores, refusals, and interrupted calls."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from media.tickets import FINISH_SECONDS, LINK_SECONDS
from media.uploads import Uploads
from shared.adapters.blobs.port import MEDIA, QUARANTINE, BlobsUnavailable, LinkedBlobs, UploadLink
from shared.adapters.documents.port import PEOPLE, StoreUnavailable, query_all
from shared.adapters.documents.sqlite import SqliteStore
from shared.observability.metrics import Telemetry
from shared.web.problems import Problem
from tests.contracts.backends import MEDIA as STORES
from tests.contracts.backends import Rig
from tests.media.files import BAD, GOOD, JPEG, PNG

TENANT, OWNER = "t1", "t1/owner"


class Breaks:
    """A store whose calls fail after a number of calls: before the next one, or after it."""

    def __init__(self, inner: Any, left: list[float], *, after: bool = False) -> None:
        self._inner, self._left, self._after = inner, left, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("read", "write", "head", "read_range", "move", "delete", "upload_url"):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            self._left[0] -= 1
            if self._left[0] == -1 and not self._after:
                raise StoreUnavailable("killed") if isinstance(self._inner, SqliteStore) else BlobsUnavailable("killed")
            done = await found(*arguments, **named)
            if self._left[0] == -1:
                raise StoreUnavailable("killed") if isinstance(self._inner, SqliteStore) else BlobsUnavailable("killed")
            return done

        return call


@pytest.fixture(params=STORES)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig[LinkedBlobs]]:
    async with STORES[request.param](tmp_path) as rig:
        yield rig


@pytest.fixture
async def folder_rig(tmp_path: Path) -> AsyncIterator[Rig[LinkedBlobs]]:
    async with STORES["folder"](tmp_path) as rig:
        yield rig


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "documents.db", lambda: 1_790_000_000.0)
    await store.ready()
    yield store
    await store.close()


async def put(link: UploadLink, body: bytes) -> int:
    async with ClientSession() as web, web.request(link.method, link.url, data=body, headers=link.headers) as answer:
        return answer.status


async def everything(blobs: LinkedBlobs) -> list[tuple[str, str]]:
    return [(where, blob.name) for where in (QUARANTINE, MEDIA) async for blob in blobs.list(where)]


async def code_of(call: Any) -> str:
    with pytest.raises(Problem) as raised:
        await call
    return raised.value.code


async def test_an_upload_becomes_media_of_its_owner_alone(rig: Rig[LinkedBlobs], documents: SqliteStore) -> None:
    uploads, now = Uploads(documents, rig.port, Telemetry(), rig.now), rig.now()
    for kind, body in GOOD.items():
        ticket, link = await uploads.start(TENANT, OWNER, kind, len(body), now)
        assert await code_of(uploads.complete(TENANT, OWNER, ticket.id, now)) == "upload_missing"
        assert await uploads.media(OWNER, ticket.media_key) is None
        assert await put(link, body) == 201
        assert await put(link, b"again") in (403, 409)
        assert await code_of(uploads.complete(TENANT, "t1/another", ticket.id, now)) == "upload_not_found"
        done = await uploads.complete(TENANT, OWNER, ticket.id, now)
        assert await uploads.complete(TENANT, OWNER, ticket.id, now) == done
        found = await uploads.media(OWNER, ticket.media_key)
        assert found is not None
        assert (found.key, found.content_type, found.bytes) == (ticket.media_key, kind, len(body))
        assert await uploads.media("t1/another", ticket.media_key) is None
        url = await uploads.media_url(TENANT, found.key)
        assert url is not None
        async with ClientSession() as web, web.get(url) as answer:
            assert (answer.status, answer.headers["Content-Type"], await answer.read()) == (200, kind, body)
    assert len(await everything(rig.port)) == len(GOOD)
    assert await uploads.forget(TENANT, OWNER) == len(GOOD)
    assert await everything(rig.port) == []


async def test_upload_of_another_type_is_deleted_at_once(rig: Rig[LinkedBlobs], documents: SqliteStore) -> None:
    uploads, now = Uploads(documents, rig.port, Telemetry(), time.time), rig.now()
    wrong = {**BAD, "another kind": PNG, "one byte too large": JPEG + b"x"}
    for body in wrong.values():
        ticket, link = await uploads.start(TENANT, OWNER, "image/jpeg", len(JPEG), now)
        assert await put(link, body) == 201
        for _ in range(2):
            assert await code_of(uploads.complete(TENANT, OWNER, ticket.id, now)) == "media_refused"
        assert await uploads.media(OWNER, ticket.media_key) is None
        assert await everything(rig.port) == []


async def test_expired_ticket_cannot_be_completed(folder_rig: Rig[LinkedBlobs], documents: SqliteStore) -> None:
    rig = folder_rig
    uploads = Uploads(documents, rig.port, Telemetry(), time.time)
    ticket, link = await uploads.start(TENANT, OWNER, "image/jpeg", len(JPEG), rig.now())
    assert await put(link, JPEG) == 201
    await rig.advance(LINK_SECONDS + 1)
    other, late = await uploads.start(TENANT, OWNER, "image/jpeg", len(JPEG), rig.now() - LINK_SECONDS)
    assert await put(late, JPEG) == 403
    await rig.advance(FINISH_SECONDS + 1)
    for each in (ticket, other):
        assert await code_of(uploads.complete(TENANT, OWNER, each.id, rig.now())) == "upload_expired"
    assert await everything(rig.port) == []
    assert await code_of(uploads.complete(TENANT, OWNER, "../../etc/passwd", rig.now())) == "upload_not_found"


async def test_concurrent_completions_complete_once(rig: Rig[LinkedBlobs], documents: SqliteStore) -> None:
    uploads, now = Uploads(documents, rig.port, Telemetry(), time.time), rig.now()
    ticket, link = await uploads.start(TENANT, OWNER, "image/png", len(PNG), now)
    assert await put(link, PNG) == 201
    done = await asyncio.gather(*[uploads.complete(TENANT, OWNER, ticket.id, now) for _ in range(5)])
    assert len(set(done)) == 1
    assert await everything(rig.port) == [(MEDIA, f"{TENANT}/{ticket.media_key}")]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("body", [PNG, BAD["html"]])
async def test_completion_killed_between_any_two_steps_ends_the_same(
    folder_rig: Rig[LinkedBlobs], documents: SqliteStore, after: bool, body: bytes
) -> None:
    rig = folder_rig
    for steps in itertools.count():
        now = rig.now()
        whole = Uploads(documents, rig.port, Telemetry(), time.time)
        ticket, link = await whole.start(TENANT, OWNER, "image/png", len(PNG), now)
        assert await put(link, body) == 201
        left = [float(steps)]
        broken: Any = [Breaks(each, left, after=after) for each in (documents, rig.port)]
        killed = False
        try:
            await Uploads(*broken, Telemetry(), time.time).complete(TENANT, OWNER, ticket.id, now)
        except (StoreUnavailable, BlobsUnavailable):
            killed = True
        except Problem:
            assert body is not PNG
        if body is PNG:
            assert (await whole.complete(TENANT, OWNER, ticket.id, now)).bytes == len(PNG)
            assert await everything(rig.port) == [(MEDIA, f"{TENANT}/{ticket.media_key}")]
        else:
            code = await code_of(whole.complete(TENANT, OWNER, ticket.id, now))
            assert code == "media_refused"
            assert await everything(rig.port) == []
        await whole.forget(TENANT, OWNER)
        await rig.advance(3_601)
        if not killed:
            break
    assert steps >= 5


async def test_unavailable_store_leaves_no_ticket(folder_rig: Rig[LinkedBlobs], documents: SqliteStore) -> None:
    broken: Any = Breaks(folder_rig.port, [0.0])
    with pytest.raises(BlobsUnavailable):
        await Uploads(documents, broken, Telemetry(), time.time).start(TENANT, OWNER, "image/png", 5, folder_rig.now())
    assert await query_all(documents, PEOPLE, OWNER) == []
