"""The Blob Storage adapter keeps its promises when the service misbehaves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from shared.adapters.blobs.azure import AzureBlobs
from shared.adapters.blobs.port import ARCHIVE, BlobsUnavailable
from tests.emulators import azurite
from tests.emulators.blob_gate import BlobGate
from tests.emulators.clock import MovableClock
from tests.emulators.faults import BEFORE, Fault, FaultPlan, wait
from tests.emulators.http import HttpServer, cut


class Broken(HttpServer):
    """A Blob Storage that always fails, as its fault says."""

    def __init__(self) -> None:
        super().__init__(FaultPlan(MovableClock()))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.take(f"{request.method} {request.path}")
        await wait(fault)
        return cut(request) if fault.cut == BEFORE else web.Response(status=fault.status)

    @property
    def connection_string(self) -> str:
        return f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=AAAA;BlobEndpoint={self.url}/a;"


@pytest.fixture
async def broken() -> AsyncIterator[Broken]:
    async with Broken() as server:
        yield server


@pytest.mark.parametrize(
    "fault", [Fault(status=503, times=None), Fault(cut=BEFORE, times=None), Fault(delay=5, status=200, times=None)]
)
async def test_a_service_that_stays_broken_is_unavailable_after_two_tries(broken, fault):
    broken.faults.add(fault)
    blobs = AzureBlobs(connection_string=broken.connection_string, retries=1, timeout_seconds=0.2)
    with pytest.raises(BlobsUnavailable):
        await blobs.write(ARCHIVE, "t/a", b"x")
    # The HTTP client repeats a PUT of its own when a connection it reused is cut.
    assert len(broken.faults.requests) in ((2, 3, 4) if fault.cut else (2,))
    await blobs.close()


async def test_refusal_is_not_retried_and_shows_no_key(broken):
    broken.faults.add(Fault(status=403, times=None))
    blobs = AzureBlobs(connection_string=broken.connection_string)
    with pytest.raises(BlobsUnavailable, match="403") as raised:
        await blobs.read(ARCHIVE, "t/a")
    assert "AAAA" not in str(raised.value)
    assert len(broken.faults.requests) == 1
    await blobs.close()


async def test_missing_container_is_not_taken_for_a_missing_blob():
    blobs = AzureBlobs(connection_string=azurite.running().account())
    for call in (blobs.read(ARCHIVE, "t/a"), blobs.write(ARCHIVE, "t/a", b"x"), blobs.delete(ARCHIVE, "t/a")):
        with pytest.raises(BlobsUnavailable, match="deploy the infrastructure"):
            await call
    with pytest.raises(BlobsUnavailable, match="deploy the infrastructure"):
        _ = [blob async for blob in blobs.list(ARCHIVE)]
    await blobs.ready()
    assert await blobs.read(ARCHIVE, "t/a") is None
    await blobs.close()


@pytest.mark.parametrize("status", [200, 204, 206])
async def test_response_that_is_no_part_of_a_blob_is_an_outage(status):
    """A proxy answers a ranged download with a page, nothing, or the whole blob instead of 206."""
    async with BlobGate(azurite.running().port) as gate:
        blobs = AzureBlobs(connection_string=gate.through(azurite.running().account()), retries=0, timeout_seconds=0.5)
        await blobs.ready()
        await blobs.write(ARCHIVE, "t/a", b"content")
        for body in ("", "<html>not the blob</html>"):
            gate.faults.add(Fault("GET", status=status, body=body, content_type="text/html", times=None))
            with pytest.raises(BlobsUnavailable):
                await blobs.read(ARCHIVE, "t/a")
            gate.faults.clear()
        assert await blobs.read(ARCHIVE, "t/a") == b"content"
        await blobs.close()


async def test_proxy_settings_of_the_environment_are_ignored(broken, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("no_proxy", raising=False)
    broken.faults.add(Fault(status=403, times=None))
    blobs = AzureBlobs(connection_string=broken.connection_string)
    with pytest.raises(BlobsUnavailable, match="403"):
        await blobs.read(ARCHIVE, "t/a")
    await blobs.close()


async def test_nothing_connects_before_the_first_use(broken):
    blobs = AzureBlobs(connection_string=broken.connection_string)
    assert broken.faults.requests == []
    await blobs.close()
    await blobs.close()


def test_store_without_credentials_is_refused():
    with pytest.raises(ValueError, match="either"):
        AzureBlobs()
