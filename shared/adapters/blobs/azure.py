"""The blob port on Azure Blob Storage, through the asynchronous SDK.

- The SDK waits 15 s before its first retry and minutes in all; here it is three tries within two seconds or so. Every
  call may be repeated: a write replaces the whole blob.
- A blob is read in one request, so that a reader never sees the first half of one version and the second of another.
- A missing container is `BlobsUnavailable`, not an absent blob.
- What the service answers has kinds (`azure_answers.py`). The SDK takes an empty answer for an empty blob and trips
  over a foreign one with whatever error it likes: both are `BlobsUnavailable`. Redirects are not followed.
- Proxy variables of the environment are not asked: looking for them takes a thread, on every request. The service is
  reached through a private endpoint.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient, ExponentialRetry

from shared.adapters.answers import Kind
from shared.adapters.azure_credential import azure_credential
from shared.adapters.blobs.azure_answers import NO_ANSWER, TOO_LARGE, kind_of
from shared.adapters.blobs.port import BLOB_CONTAINERS, BlobInfo, BlobRefused, BlobsUnavailable
from shared.settings import Settings

T = TypeVar("T")
MAX_NAME_LENGTH = 1_024
MAX_CODE_LENGTH = 64
ONE_REQUEST_BYTES = 256 * 1024 * 1024


class AzureBlobs:
    """The blob port. Connects at the first use or at `ready`, whichever comes first.

    Give either `connection_string` (an emulator: missing containers are then made by `ready`) or `endpoint` with
    `credential`, a function that makes a token credential (production). `timeout_seconds` bounds the silence of one
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
    ) -> None:
        if (connection_string is None) == (endpoint is None):
            raise ValueError("give either a connection string or an endpoint")
        if endpoint is not None and credential is None:
            raise ValueError("an endpoint needs a credential")
        self._connection_string, self._endpoint, self._make_credential = connection_string, endpoint, credential
        self._timeout, self._retries = timeout_seconds, retries
        self._service: BlobServiceClient | None = None
        self._credential: Any = None

    @classmethod
    def from_settings(cls, settings: Settings) -> AzureBlobs:
        """As the settings say; nothing connects yet."""
        return cls(
            connection_string=settings.blob_connection_string or None,
            endpoint=settings.blob_endpoint or None,
            credential=azure_credential,
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
        """See the port. Name order is the service's own: by the bytes of the name."""
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
        """See the port. False also when the answer to a first try was lost and the second found it done."""
        try:
            await _answered(self._blob(container, name).delete_blob(), container)
        except _Absent:
            return False
        except _Conflict as conflict:
            raise BlobsUnavailable(str(conflict)) from None
        return True

    async def ready(self) -> None:
        for name in BLOB_CONTAINERS:
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

    def _container(self, container: str) -> ContainerClient:
        _check(container)
        return self._open().get_container_client(container)

    def _blob(self, container: str, name: str) -> BlobClient:
        _check(container)
        segments = name.split("/")
        if len(name) > MAX_NAME_LENGTH or not all(_is_plain(segment) for segment in segments):
            raise ValueError(f"not a blob name: {name!r}. Write it as parts joined by '/', none of them '.' or '..'")
        return self._open().get_blob_client(container, name)


def _check(container: str) -> None:
    if container not in BLOB_CONTAINERS:
        raise ValueError(f"no blob container {container!r}: there are {', '.join(BLOB_CONTAINERS)}")


def _is_plain(segment: str) -> bool:
    return segment not in ("", ".", "..") and segment.isprintable() and "\\" not in segment


class _Absent(Exception):
    """There is no such blob."""


class _Conflict(Exception):
    """The blob is in another state than the call expects."""


async def _answered(call: Awaitable[T], container: str) -> T:
    """The call's result; every failure as an error of the port, or as `_Absent` or `_Conflict`."""
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
    except Exception as error:  # over a cut, a stall or a foreign body the SDK raises whatever it likes
        raise BlobsUnavailable(f"Blob Storage cannot be reached ({type(error).__name__})") from None


def _code_of(error: HttpResponseError) -> str | None:
    """The service's own code of an error, None where something else answered. Only known words get into a log."""
    answered: Any = error.response
    code = answered.headers.get("x-ms-error-code") if answered is not None else None
    return code if code and code.isalnum() and len(code) <= MAX_CODE_LENGTH else None


def _missing(container: str) -> BlobsUnavailable:
    return BlobsUnavailable(f"the blob container {container} does not exist: deploy the infrastructure first")
