"""Contract of every media store: what links permit, and how a blob moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from shared.adapters.blobs.port import MEDIA, QUARANTINE, LinkedBlobs, UploadLink
from tests.contracts.backends import Rig

PICTURE = b"\x89PNG\r\n\x1a\n" + b"x" * 9_000
PLACE = (QUARANTINE, "t1/up 1")
SOON = 900.0


@pytest.fixture
async def web() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def put(web: ClientSession, link: UploadLink, body: bytes) -> int:
    async with web.request(link.method, link.url, data=body, headers=link.headers) as answer:
        return answer.status


async def status(web: ClientSession, method: str, url: str, **named: object) -> int:
    async with web.request(method, url, **named) as answer:  # type: ignore[arg-type]
        return answer.status


async def uploaded(rig: Rig[LinkedBlobs], web: ClientSession, body: bytes = PICTURE) -> None:
    link = await rig.port.upload_url(*PLACE, "text/html", rig.now() + SOON)
    assert await put(web, link, body) == 201


async def test_blob_uploaded_by_a_link_exists_and_can_be_read(media: Rig[LinkedBlobs], web: ClientSession) -> None:
    assert await media.port.head(*PLACE) is None
    assert await media.port.read_range(*PLACE, 0, 10) is None
    await uploaded(media, web)

    found = await media.port.head(*PLACE)
    assert found is not None
    assert (found.name, found.size) == (PLACE[1], len(PICTURE))
    assert await media.port.read(*PLACE) == PICTURE
    assert await media.port.read_range(*PLACE, 0, 8) == PICTURE[:8]
    assert await media.port.read_range(*PLACE, 4, 4_096) == PICTURE[4:4_100]
    assert await media.port.read_range(*PLACE, len(PICTURE) - 2, 50) == b"xx"
    assert await media.port.read_range(*PLACE, len(PICTURE) + 5, 50) == b""


async def test_the_range_of_an_empty_blob_is_empty(media: Rig[LinkedBlobs], web: ClientSession) -> None:
    await media.port.write(*PLACE, b"")
    assert await media.port.read_range(*PLACE, 0, 100) == b""


async def test_upload_link_stores_one_blob_once_and_permits_nothing_else(
    media: Rig[LinkedBlobs], web: ClientSession
) -> None:
    link = await media.port.upload_url(*PLACE, "image/png", media.now() + SOON)
    other = link.url.replace("up%201", "up%202")
    assert other != link.url
    assert await put(web, UploadLink("PUT", other, link.headers), PICTURE) == 403
    for method in ("GET", "DELETE", "HEAD"):
        assert await status(web, method, link.url) in (403, 404, 405)
    assert await put(web, link, PICTURE) == 201
    assert await put(web, link, b"another") in (403, 409)
    assert await status(web, "GET", link.url) == 403
    assert await status(web, "DELETE", link.url) in (403, 405)
    assert await media.port.read(*PLACE) == PICTURE
    assert await media.port.head(QUARANTINE, "t1/up 2") is None


async def test_expired_or_altered_link_is_refused(media: Rig[LinkedBlobs], web: ClientSession) -> None:
    late = await media.port.upload_url(*PLACE, "image/png", media.now() - 5)
    assert await put(web, late, PICTURE) == 403
    good = await media.port.upload_url(*PLACE, "image/png", media.now() + SOON)
    assert await put(web, UploadLink("PUT", good.url.replace("sig=", "sig=AAAA"), good.headers), PICTURE) == 403
    assert await put(web, UploadLink("PUT", good.url.partition("?")[0], good.headers), PICTURE) in (401, 403, 404)
    assert await put(web, UploadLink("PUT", good.url, {}), PICTURE) == 400
    assert await media.port.head(*PLACE) is None


async def test_download_by_a_link_has_the_content_type_of_the_link(media: Rig[LinkedBlobs], web: ClientSession) -> None:
    await uploaded(media, web)
    url = await media.port.download_url(*PLACE, "image/png", media.now() + SOON)
    async with web.get(url) as answer:
        assert (answer.status, answer.headers["Content-Type"], await answer.read()) == (200, "image/png", PICTURE)
    async with web.get(url, headers={"Range": "bytes=0-7"}) as part:
        assert (part.status, await part.read()) == (206, PICTURE[:8])
    other_type = url.replace("image%2Fpng", "text%2Fhtml").replace("image/png", "text/html")
    assert other_type != url
    assert await status(web, "GET", other_type) == 403
    assert await put(web, UploadLink("PUT", url, {"x-ms-blob-type": "BlockBlob"}), b"new") == 403
    gone = await media.port.download_url(*PLACE, "image/png", media.now() - 5)
    assert await status(web, "GET", gone) == 403
    nothing = await media.port.download_url(QUARANTINE, "t1/none", "image/png", media.now() + SOON)
    assert await status(web, "GET", nothing) == 404


async def test_blob_moves_once_and_a_second_move_finds_it_done(media: Rig[LinkedBlobs], web: ClientSession) -> None:
    target = (MEDIA, "t1/key")
    assert await media.port.move(PLACE, target, "image/png") is False
    await uploaded(media, web)
    assert await media.port.move(PLACE, target, "image/png") is True
    assert await media.port.head(*PLACE) is None
    assert await media.port.read(*target) == PICTURE
    assert await media.port.move(PLACE, target, "image/png") is True
    assert await media.port.read(*target) == PICTURE


async def test_concurrent_moves_move_once(media: Rig[LinkedBlobs], web: ClientSession) -> None:
    await uploaded(media, web)
    await asyncio.gather(*[media.port.move(PLACE, (MEDIA, "t1/key"), "image/png") for _ in range(4)])
    assert await media.port.read(MEDIA, "t1/key") == PICTURE
    assert await media.port.head(*PLACE) is None


async def test_names_and_containers_of_a_link_are_checked(media: Rig[LinkedBlobs]) -> None:
    with pytest.raises(ValueError, match="name"):
        await media.port.upload_url(QUARANTINE, "../a", "image/png", media.now() + SOON)
    with pytest.raises(ValueError, match="container"):
        await media.port.download_url("userevents-raw", "a", "image/png", media.now() + SOON)
