"""The blob port on Azure Blob Storage, through the asynchronous SDK.

- Retries: three attempts within about two seconds. The SDK would wait 15 s before its first retry and minutes in all.
  Every call can be repeated, because a write replaces the whole blob.
- A blob is read in one request, so a reader never sees parts of two versions.
- A missing container is `BlobsUnavailable`, not an absent blob.
- `azure_answers.py` classifies the service's answers. The SDK reads an empty answer as an empty blob, and raises many
  errors for an answer of another program; both become `BlobsUnavailable`. Redirects are not followed.
- A link is a shared access signature. In production a user delegation key signs it, which the managed identity fetches
  for an hour; in an emulator the account's key does. Permission `c` alone creates a blob and never replaces one. Links
  of production require HTTPS.
- A move is a copy inside the account. The content type is set before, so the copy has it from its start.
- Proxy variables of the environment are ignored: reading them takes a thread on every request, and the service is
  reached through a private endpoint.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob import ContentSettings, generate_blob_sas
from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient, ExponentialRetry

from shared.adapters.answers import Kind
from shared.adapters.azure_credential import azure_credential
from shared.adapters.blobs.azure_answers import NO_ANSWER, TOO_LARGE, kind_of
from shared.adapters.blobs.door_links import BLOCK_BLOB
from shared.adapters.blobs.port import (
    BLOB_CONTAINERS,
    MEDIA_CONTAINERS,
    BlobInfo,
    BlobRefused,
    BlobsUnavailable,
    UploadLink,
)
from shared.settings import Settings

T = TypeVar("T")
MAX_NAME_LENGTH = 1_024
MAX_CODE_LENGTH = 64
BEYOND = 416
"""Status when a range begins behind the blob's end."""
ONE_REQUEST_BYTES = 256 * 1024 * 1024
DELEGATION_SECONDS = 3600.0
"""Life of a user delegation key. A new one is fetched when a link would outlive it."""
LONGEST_LINK_SECONDS = 3600.0
SKEW_SECONDS = 300.0
"""Tolerance for clocks: a key is valid from this long ago, and a link has no start time."""


class AzureBlobs:
    """The blob port. Connects at the first use or at `ready`, whichever comes first.

    Needs either `connection_string` (an emulator; `ready` then creates missing containers) or `endpoint` with
    `credential`, a function that makes a token credential (production). `timeout_seconds`: longest wait for data in one
    request.
    """

    def __init__(
        self,
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Callable[[], Any] | None = None,
        timeout_seconds: float = 20.0,
        retries: int = 2,
        containers: Sequence[str] = BLOB_CONTAINERS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (connection_string is None) == (endpoint is None):
            raise ValueError("give either a connection string or an endpoint")
        if endpoint is not None and credential is None:
            raise ValueError("an endpoint needs a credential")
        self._connection_string, self._endpoint, self._make_credential = connection_string, endpoint, credential
        self._timeout, self._retries = timeout_seconds, retries
        self._containers, self._clock = tuple(containers), clock
        self._service: BlobServiceClient | None = None
        self._credential: Any = None
        self._delegation: Any = None
        self._delegation_until = 0.0

    @classmethod
    def from_settings(cls, settings: Settings) -> AzureBlobs:
        """Build from the settings; nothing connects yet."""
        return cls(
            connection_string=settings.blob_connection_string or None,
            endpoint=settings.blob_endpoint or None,
            credential=azure_credential,
        )

    @classmethod
    def media_from_settings(cls, settings: Settings) -> AzureBlobs:
        """Build the media store from the settings; nothing connects yet."""
        return cls(
            connection_string=settings.media_connection_string or None,
            endpoint=settings.media_endpoint or None,
            credential=azure_credential,
            containers=MEDIA_CONTAINERS,
        )

    async def write(self, container: str, name: str, data: bytes) -> None:
        blob = self._blob(container, name)
        try:
            await _answered(blob.upload_blob(data, overwrite=True, max_concurrency=1), container)
        except _Conflict as conflict:
            if await self.read(container, name) != data:
                raise BlobsUnavailable(str(conflict)) from None
        except _Absent as absent:
            raise BlobsUnavailable(str(absent)) from None

    async def read(self, container: str, name: str) -> bytes | None:
        blob = self._blob(container, name)

        async def download() -> bytes:
            downloader = await blob.download_blob(max_concurrency=1)
            data = await downloader.readall()
            if not downloader.properties.etag or len(data) != downloader.size:
                raise ValueError("the answer is not a blob")
            return data

        try:
            return await _answered(download(), container)
        except _Absent:
            return None
        except _Conflict as conflict:
            raise BlobsUnavailable(str(conflict)) from None

    async def list(self, container: str, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """See the port. The service orders by the bytes of the name."""
        found = self._container(container).list_blobs(name_starts_with=prefix or None).__aiter__()
        while True:
            try:
                blob = await _answered(anext(found), container)
            except StopAsyncIteration:
                return
            except (_Absent, _Conflict) as error:
                raise BlobsUnavailable(str(error)) from None
            yield BlobInfo(blob.name, blob.size, blob.last_modified.timestamp())

    async def delete(self, container: str, name: str) -> bool:
        """See the port. False also when the answer to the first attempt was lost and the second found no blob."""
        try:
            await _answered(self._blob(container, name).delete_blob(), container)
        except _Absent:
            return False
        except _Conflict as conflict:
            raise BlobsUnavailable(str(conflict)) from None
        return True

    async def upload_url(self, container: str, name: str, content_type: str, expires_at: float) -> UploadLink:
        url = await self._link(container, name, expires_at, permission="c")
        return UploadLink("PUT", url, {**BLOCK_BLOB, "Content-Type": content_type})

    async def download_url(self, container: str, name: str, content_type: str, expires_at: float) -> str:
        return await self._link(container, name, expires_at, permission="r", content_type=content_type)

    async def head(self, container: str, name: str) -> BlobInfo | None:
        try:
            found = await _answered(self._blob(container, name).get_blob_properties(), container)
        except _Absent:
            return None
        except _Conflict as conflict:
            raise BlobsUnavailable(str(conflict)) from None
        if not found.etag:
            raise BlobsUnavailable("the answer is not a blob")
        return BlobInfo(name, found.size, found.last_modified.timestamp())

    async def read_range(self, container: str, name: str, start: int, length: int) -> bytes | None:
        blob = self._blob(container, name)

        async def download() -> bytes:
            try:
                downloader = await blob.download_blob(offset=start, length=length, max_concurrency=1)
            except HttpResponseError as error:
                if error.status_code == BEYOND:
                    return b""
                raise
            data = await downloader.readall()
            if not downloader.properties.etag or len(data) > length:
                raise ValueError("the answer is not a blob")
            return data

        try:
            return await _answered(download(), container)
        except _Absent:
            return None
        except _Conflict as conflict:
            raise BlobsUnavailable(str(conflict)) from None

    async def move(self, source: tuple[str, str], target: tuple[str, str], content_type: str) -> bool:
        came, goes = self._blob(*source), self._blob(*target)
        link = await self._link(*source, self._clock() + LONGEST_LINK_SECONDS / 4, permission="r")
        try:
            kind = ContentSettings(content_type=content_type)
            await _answered(came.set_http_headers(content_settings=kind), source[0])
            copied = await _answered(goes.start_copy_from_url(link, requires_sync=True), target[0])
        except _Absent:
            return await self.head(*target) is not None
        except _Conflict as conflict:
            raise BlobsUnavailable(str(conflict)) from None
        if copied.get("copy_status") != "success":
            raise BlobsUnavailable("Blob Storage did not say that the copy is complete")
        await self.delete(*source)
        return True

    async def ready(self) -> None:
        for name in self._containers:
            try:
                if self._connection_string is not None:
                    await _answered(self._make_missing(name), name)
                else:
                    await _answered(self._look_at(name), name)
            except (_Absent, _Conflict) as error:
                raise BlobsUnavailable(str(error)) from None

    async def _make_missing(self, name: str) -> None:
        try:
            await self._look_at(name)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                await self._container(name).create_container()
            await self._look_at(name)

    async def _look_at(self, name: str) -> None:
        properties = await self._container(name).get_container_properties()
        if not properties.etag:
            raise ValueError("the answer is not a container")

    async def close(self) -> None:
        service, self._service = self._service, None
        credential, self._credential = self._credential, None
        if service is not None:
            await service.close()
        if credential is not None:
            await credential.close()

    def _open(self) -> BlobServiceClient:
        if self._service is None:
            waits: dict[str, Any] = {"initial_backoff": 0.2, "increment_base": 1.5, "random_jitter_range": 0.1}
            options: dict[str, Any] = {
                "retry_policy": ExponentialRetry(retry_total=self._retries, **waits),
                "transport": AioHttpTransport(
                    connection_timeout=5.0, read_timeout=self._timeout, use_env_settings=False
                ),
                "max_single_put_size": ONE_REQUEST_BYTES,
                "max_single_get_size": ONE_REQUEST_BYTES,
                "permit_redirects": False,
            }
            if self._connection_string is not None:
                self._service = BlobServiceClient.from_connection_string(self._connection_string, **options)
            else:
                assert self._make_credential is not None
                self._credential = self._make_credential()
                self._service = BlobServiceClient(self._endpoint or "", self._credential, **options)
        return self._service

    async def _link(
        self, container: str, name: str, expires_at: float, *, permission: str, content_type: str | None = None
    ) -> str:
        blob, service = self._blob(container, name), self._open()
        if self._connection_string is not None:
            signed_by: dict[str, Any] = {"account_key": service.credential.account_key}
        else:
            key = await self._delegation_key(expires_at, container)
            signed_by = {"user_delegation_key": key, "protocol": "https"}
        signature = generate_blob_sas(
            str(service.account_name),
            container,
            name,
            permission=permission,
            expiry=datetime.fromtimestamp(expires_at, UTC),
            content_type=content_type,
            **signed_by,
        )
        return f"{blob.url}?{signature}"

    async def _delegation_key(self, expires_at: float, container: str) -> Any:
        now = self._clock()
        if expires_at > now + LONGEST_LINK_SECONDS:
            raise ValueError("a link is good for at most an hour")
        if self._delegation_until < max(expires_at, now):
            until = now + LONGEST_LINK_SECONDS + DELEGATION_SECONDS
            begins, ends = (datetime.fromtimestamp(at, UTC) for at in (now - SKEW_SECONDS, until))
            try:
                self._delegation = await _answered(self._open().get_user_delegation_key(begins, ends), container)
            except (_Absent, _Conflict) as error:
                raise BlobsUnavailable(str(error)) from None
            self._delegation_until = until
        return self._delegation

    def _container(self, container: str) -> ContainerClient:
        self._check(container)
        return self._open().get_container_client(container)

    def _blob(self, container: str, name: str) -> BlobClient:
        self._check(container)
        segments = name.split("/")
        if len(name) > MAX_NAME_LENGTH or not all(_is_plain(segment) for segment in segments):
            raise ValueError(f"not a blob name: {name!r}. Write it as parts joined by '/', none of them '.' or '..'")
        return self._open().get_blob_client(container, name)

    def _check(self, container: str) -> None:
        if container not in self._containers:
            raise ValueError(f"no blob container {container!r}: there are {', '.join(self._containers)}")


def _is_plain(segment: str) -> bool:
    return segment not in ("", ".", "..") and segment.isprintable() and "\\" not in segment


class _Absent(Exception):
    """The blob does not exist."""


class _Conflict(Exception):
    """The blob is in another state than the call expects."""


async def _answered(call: Awaitable[T], container: str) -> T:
    """Return the call's result. Raises every failure as an error of the port, or as `_Absent` or `_Conflict`."""
    try:
        return await call
    except StopAsyncIteration:
        raise
    except HttpResponseError as error:
        status, code = error.status_code or NO_ANSWER, _code_of(error)
        text = f"Blob Storage answered status {status}{f' ({code})' if code else ''}"
        match kind_of(status, code):
            case Kind.ABSENT:
                raise _Absent(text) from None
            case Kind.CONFLICT:
                raise _Conflict(text) from None
            case Kind.REFUSAL:
                raise BlobRefused(text, too_large=status == TOO_LARGE) from None
        if code == "ContainerNotFound":
            raise _missing(container) from None
        raise BlobsUnavailable(text) from None
    except Exception as error:  # for a cut connection, a stall or a foreign body the SDK raises many errors
        raise BlobsUnavailable(f"Blob Storage cannot be reached ({type(error).__name__})") from None


def _code_of(error: HttpResponseError) -> str | None:
    """Return the service's error code; None if another program answered. Only known codes get into a log."""
    answered: Any = error.response
    code = answered.headers.get("x-ms-error-code") if answered is not None else None
    return code if code and code.isalnum() and len(code) <= MAX_CODE_LENGTH else None


def _missing(container: str) -> BlobsUnavailable:
    return BlobsUnavailable(f"the blob container {container} does not exist: deploy the infrastructure first")
