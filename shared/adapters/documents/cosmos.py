"""The document port on Cosmos DB, through the asynchronous SDK in gateway mode.

What this module does because of how the SDK behaves, each proven by a test in `tests/emulators/`:

- Writes always go as one transactional batch, a POST that nobody re-sends: the SDK's own retries are off, and the
  HTTP client repeats only idempotent verbs. A write whose answer was lost raises `StoreUnavailable`, never a 409 or
  412 that is its own earlier success. 429 and 449 promise that nothing was written; only these are sent again.
- The SDK forgets the session token of a batch. It is kept here, per partition, so that `read(latest=True)` sees
  every write of this process.
- A 404 means "no such item" only without a sub-status: 1002 is a replica that lags behind the session, 1003 a
  missing container. Both are `StoreUnavailable`.
- An idle change feed yields no page; where it stands is found in the response headers only.
- `timeout=` does not interrupt a request in flight; `read_timeout=` does.
- Proxy variables of the environment are not asked: looking for them takes a thread and a third of a read's CPU, on
  every request. The service is reached through a private endpoint.
- The SDKs' own tracing is off, and said to be so: unless it is said, every call looks for it in the environment and
  among the loaded modules four times, a twentieth of a read's CPU. The service's spans are made elsewhere.
- Endpoint discovery is off: with it, the SDK sends a write again after a 503. The account's own name always leads
  to the write region, also after a failover.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.settings import settings as sdk_settings
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.documents import ConnectionPolicy
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from shared.adapters.azure_credential import azure_credential
from shared.adapters.documents.change_token import Position, pack_positions, unpack_positions
from shared.adapters.documents.cosmos_items import batch_operation, check, document_of, page_query
from shared.adapters.documents.cosmos_layout import default_ttl, indexing_policy
from shared.adapters.documents.port import (
    CONTAINERS,
    FROM_NOW,
    MAX_OPERATIONS,
    Changes,
    Container,
    Document,
    Failure,
    Json,
    Operation,
    Page,
    StoreError,
    StoreUnavailable,
    WriteRejected,
)
from shared.adapters.documents.session_tokens import SessionTokens
from shared.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

OnCall = Callable[[str, int, float, float], None]
"""`on_call(operation, status, request_units, seconds)`, once per HTTP exchange; status 0 means no answer came."""

_EVENTUAL = {"consistencyLevel": "Eventual"}
_FAILURES = {404: Failure.NOT_FOUND, 409: Failure.ALREADY_EXISTS, 412: Failure.CONFLICT}
_NOT_APPLIED = frozenset({429, 449})
"""Statuses that promise the service did nothing: such a request may be sent again, a write too."""
_TRANSIENT = frozenset({0, 408, 410, 500, 502, 503, 504})
"""Statuses (0: no answer) after which a read is worth another try; a write may have happened."""


class CosmosStore:
    """The document port. Connects at the first use or at `ready`, whichever comes first.

    Give either `connection_string` (an emulator: missing databases and containers are then made by `ready`) or
    `endpoint` with `credential`, a function that makes a token credential (production). Timeouts are per HTTP exchange,
    in seconds.
    """

    def __init__(
        self,
        database: str,
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Callable[[], Any] | None = None,
        read_timeout_seconds: float = 2.0,
        write_timeout_seconds: float = 5.0,
        throttle_retries: int = 2,
        throttle_wait_seconds: float = 1.0,
        reopen_after_seconds: float = 1.0,
        on_call: OnCall | None = None,
    ) -> None:
        if (connection_string is None) == (endpoint is None):
            raise ValueError("give either a connection string or an endpoint")
        if endpoint is not None and credential is None:
            raise ValueError("an endpoint needs a credential")
        self._database = database
        self._connection_string, self._endpoint, self._make_credential = connection_string, endpoint, credential
        self._read_timeout, self._write_timeout = read_timeout_seconds, write_timeout_seconds
        self._throttle_retries, self._throttle_wait = throttle_retries, throttle_wait_seconds
        self._reopen_after = reopen_after_seconds
        self._on_call = on_call or (lambda operation, status, request_units, seconds: None)
        self._client: CosmosClient | None = None
        self._credential: Any = None
        self._proxies: dict[str, ContainerProxy] = {}
        self._opening: asyncio.Task[None] | None = None
        self._failed_open_at = float("-inf")
        self._sessions = SessionTokens()

    @classmethod
    def from_settings(cls, settings: Settings, on_call: OnCall | None = None) -> CosmosStore:
        """As the settings say; nothing connects yet."""
        return cls(
            settings.cosmos_database,
            connection_string=settings.cosmos_connection_string or None,
            endpoint=settings.cosmos_endpoint or None,
            credential=azure_credential,
            on_call=on_call,
        )

    # The port

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        proxy = await self._proxy(container)
        asked: dict[str, Any] = {"read_timeout": self._read_timeout}
        if not latest:
            asked["request_options"] = dict(_EVENTUAL)
        elif token := self._sessions.get(container, partition):
            asked["session_token"] = token

        async def send() -> Document | None:
            started = time.perf_counter()
            body = await proxy.read_item(id, partition, **dict(asked))
            self._count("read", 200, body.get_response_headers(), started)
            return document_of(body, partition)

        try:
            return await self._call("read", container, send, repeatable=True)
        except _NotThere:
            return None

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        if not 0 < len(operations) <= MAX_OPERATIONS:
            raise ValueError(f"a batch has 1 to {MAX_OPERATIONS} operations, not {len(operations)}")
        for op in operations:
            check(op)
        proxy = await self._proxy(container)

        async def send() -> list[str | None]:
            started = time.perf_counter()
            answered: Mapping[str, Any] = {}

            def hook(headers: Mapping[str, Any], _: Any) -> None:
                nonlocal answered
                answered = headers

            batch = [batch_operation(op, container, partition) for op in operations]
            try:
                results = await proxy.execute_item_batch(
                    batch, partition, response_hook=hook, read_timeout=self._write_timeout
                )
            except CosmosBatchOperationError as error:
                self._count("write", error.status_code, error.headers, started)
                self._sessions.keep(container, partition, error.headers)
                raise _rejected(error) from None
            self._count("write", 200, answered, started)
            self._sessions.keep(container, partition, answered)
            return [result.get("eTag") for result in results]

        return await self._call("write", container, send, repeatable=False)

    async def query(
        self, container: Container, partition: str, *, id_prefix: str = "", after: str | None = None, limit: int = 200
    ) -> Page:
        proxy = await self._proxy(container)
        query, parameters = page_query(id_prefix, after, limit + 1)

        async def send() -> list[Document]:
            started = time.perf_counter()

            def hook(headers: Mapping[str, Any], _: Any) -> None:
                self._count("query", 200, headers, started)

            asked: dict[str, Any] = {"read_timeout": self._read_timeout, "response_hook": hook}
            if token := self._sessions.get(container, partition):
                asked["session_token"] = token
            found = proxy.query_items(
                query,
                parameters=parameters,
                partition_key=partition,
                max_item_count=limit + 1,
                **asked,
            )
            return [document_of(body, partition) async for body in found]

        documents = await self._call("query", container, send, repeatable=True)
        more = len(documents) > limit
        documents = documents[:limit]
        return Page(documents, documents[-1].id if more else None)

    async def changes(self, container: Container, since: str | None, *, limit: int = 500) -> Changes:
        proxy = await self._proxy(container)
        start = "Now" if since == FROM_NOW else "Beginning"
        positions = unpack_positions(since) if since not in (None, "", FROM_NOW) else None
        if positions is None:
            positions = [Position(feed_range, None) for feed_range in await self._feed_ranges(proxy, container)]
        documents: list[Document] = []
        more = False
        for i, position in enumerate(positions):
            while True:
                room = limit - len(documents)
                if room <= 0:
                    # Only a look at the next change tells whether there is one; the position stays where it is.
                    more = more or bool((await self._change_page(proxy, container, position, start, 1))[0])
                    break
                page, position = await self._change_page(proxy, container, position, start, room)
                positions[i] = position
                documents += page
                if not page:
                    break
            if more:
                break
        return Changes(documents, pack_positions(positions), more)

    async def ready(self) -> None:
        await self._open()
        if self._connection_string is not None:
            await self._call("ready", None, self._make_missing, repeatable=True)
        await asyncio.gather(*(self._proxy(container) for container in CONTAINERS.values()))
        for container in CONTAINERS.values():
            proxy = await self._proxy(container)

            async def read_properties(proxy: ContainerProxy = proxy) -> None:
                await proxy.read(read_timeout=self._read_timeout)

            try:
                await self._call("ready", container, read_properties, repeatable=True)
            except _NotThere:
                raise StoreUnavailable(
                    f"the container {container.name} does not exist in the database {self._database}: "
                    "deploy the infrastructure first"
                ) from None

    async def close(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        client, self._client = self._client, None
        credential, self._credential = self._credential, None
        self._proxies.clear()
        if client is not None:
            await client.close()
        if credential is not None:
            await credential.close()

    # Opening

    async def _proxy(self, container: Container) -> ContainerProxy:
        proxy = self._proxies.get(container.name)
        if proxy is None:
            await self._open()
            assert self._client is not None
            proxy = self._client.get_database_client(self._database).get_container_client(container.name)
            self._proxies[container.name] = proxy
        return proxy

    async def _open(self) -> None:
        """Open the client once, for all who wait. The opening outlives a caller whose time budget ran out.

        After a failure nobody tries again for a second: callers fail at once instead of queueing.
        """
        if self._client is not None:
            return
        if self._opening is None:
            if time.monotonic() - self._failed_open_at < self._reopen_after:
                raise StoreUnavailable("Cosmos DB could not be reached a moment ago", self._reopen_after)
            self._opening = asyncio.create_task(self._open_client())
            self._opening.add_done_callback(_retrieve)
        opening = self._opening
        try:
            await asyncio.shield(opening)
        finally:
            if opening.done() and self._opening is opening:
                self._opening = None

    async def _open_client(self) -> None:
        sdk_settings.tracing_enabled = False
        policy = ConnectionPolicy()
        policy.RetryOptions._max_retry_attempt_count = 0  # `retry_throttle_total=0` counts as not given
        options: dict[str, Any] = {
            "connection_policy": policy,
            "retry_total": 0,
            "retry_connect": 0,
            "retry_read": 0,
            "enable_endpoint_discovery": False,
            "connection_timeout": self._read_timeout,
            "read_timeout": self._read_timeout,
            "enable_compact_utf8_item_writes": True,
            "transport": AioHttpTransport(use_env_settings=False),
        }
        if self._connection_string is not None:
            client = CosmosClient.from_connection_string(self._connection_string, **options)
        else:
            if self._credential is None and self._make_credential is not None:
                self._credential = self._make_credential()
            client = CosmosClient(self._endpoint or "", self._credential, **options)
        try:
            await client.__aenter__()  # without it there are no session tokens
        except BaseException as error:
            await client.close()
            self._failed_open_at = time.monotonic()
            if isinstance(error, (AzureError, ValueError)):
                raise StoreUnavailable(f"Cosmos DB could not be reached ({type(error).__name__})") from error
            raise
        self._client = client

    async def _make_missing(self) -> None:
        assert self._client is not None
        database = await self._client.create_database_if_not_exists(self._database)
        for container in CONTAINERS.values():
            await database.create_container_if_not_exists(
                container.name,
                PartitionKey(f"/{container.partition_field}"),
                indexing_policy=indexing_policy(container),
                default_ttl=default_ttl(container),
            )

    # One exchange

    async def _call(
        self, operation: str, container: Container | None, send: Callable[[], Awaitable[T]], *, repeatable: bool
    ) -> T:
        """Send, and again while that is safe and worth it; every failure leaves as an error of the port."""
        throttled = retried = 0
        waited = 0.0
        while True:
            started = time.perf_counter()
            try:
                return await send()
            except _BatchThrottled as error:
                status, headers = error.status, error.headers
            except CosmosHttpResponseError as error:
                status, headers = error.status_code or 0, error.headers or {}
                self._count(operation, status, headers, started)
                if status == 404 and not error.sub_status:
                    raise _NotThere from None
                if status == 404 and error.sub_status == 1003:
                    status, repeatable = 404, False
                elif 400 <= status < 500 and status not in _NOT_APPLIED | _TRANSIENT and status != 404:
                    raise StoreError(
                        f"Cosmos DB refused {operation}{_on(container)}: status {status}, sub-status {error.sub_status}"
                    ) from None
            except AzureError as error:
                status, headers = 0, {}
                self._count(operation, 0, headers, started)
                log.debug("no answer from Cosmos DB: %s", type(error).__name__)
            retry_after = _retry_after(headers)
            if status in _NOT_APPLIED:
                pause = retry_after if retry_after is not None else 0.05 * 2**throttled
                pause *= 1 + random.random() / 4  # noqa: S311 (spreads retries, guards nothing)
                if throttled < self._throttle_retries and waited + pause <= self._throttle_wait:
                    throttled += 1
                    waited += pause
                    await asyncio.sleep(pause)
                    continue
            elif repeatable and retried == 0:
                retried = 1
                continue
            raise StoreUnavailable(
                f"Cosmos DB did not serve {operation}{_on(container)}: {f'status {status}' if status else 'no answer'}",
                retry_after,
            )

    def _count(self, operation: str, status: int | None, headers: Mapping[str, Any] | None, started: float) -> None:
        charge = float((headers or {}).get("x-ms-request-charge") or 0.0)
        self._on_call(operation, status or 0, charge, time.perf_counter() - started)

    # Change feed

    async def _feed_ranges(self, proxy: ContainerProxy, container: Container) -> list[Json]:
        async def send() -> list[Json]:
            return [feed_range async for feed_range in proxy.read_feed_ranges(force_refresh=True)]

        return await self._call("changes", container, send, repeatable=True)

    async def _change_page(
        self, proxy: ContainerProxy, container: Container, position: Position, start: str, limit: int
    ) -> tuple[list[Document], Position]:
        """The next changes of one feed range and the position after them; none means its end was reached."""

        async def send() -> tuple[list[Document], Position]:
            started = time.perf_counter()
            answered: Mapping[str, Any] = {}

            def hook(headers: Mapping[str, Any], result: Any) -> None:
                nonlocal answered
                answered = headers
                self._count("changes", 200 if result else 304, headers, started)

            asked: dict[str, Any] = {
                "max_item_count": limit,
                "response_hook": hook,
                "read_timeout": self._read_timeout,
            }
            if position.continuation is None:
                asked |= {"feed_range": position.feed_range, "start_time": start}
            else:
                asked |= {"continuation": position.continuation}
            pages = proxy.query_items_change_feed(**asked).by_page()
            documents: list[Document] = []
            try:
                async for body in await anext(pages):
                    documents.append(document_of(body, body[container.partition_field]))
            except StopAsyncIteration:
                pass  # nothing new: the SDK gives no page and no token, only these headers
            return documents, Position(position.feed_range, str(answered["etag"]))

        return await self._call("changes", container, send, repeatable=True)


def _retrieve(task: asyncio.Task[None]) -> None:
    """A failed opening nobody waited for to the end is not an unhandled error: the next caller opens again."""
    if not task.cancelled():
        task.exception()


class _NotThere(Exception):
    """A plain 404."""


class _BatchThrottled(Exception):
    """A batch of which the service did nothing."""

    def __init__(self, status: int, headers: Mapping[str, Any]) -> None:
        self.status, self.headers = status, headers
        super().__init__(str(status))


def _rejected(error: CosmosBatchOperationError) -> Exception:
    """What a refused batch means: the caller's state, the service's throttle, or a request that is wrong."""
    statuses = [int(response["statusCode"]) for response in error.operation_responses or []]
    failures = {i: _FAILURES[status] for i, status in enumerate(statuses) if status in _FAILURES}
    if failures:
        return WriteRejected(failures)
    if error.status_code in _NOT_APPLIED:
        return _BatchThrottled(error.status_code, error.headers or {})
    if error.status_code in _TRANSIENT:
        return StoreUnavailable(f"Cosmos DB did not serve write: status {error.status_code}")
    return StoreError(f"Cosmos DB refused operation {error.error_index} of a batch: status {error.status_code}")


def _retry_after(headers: Mapping[str, Any]) -> float | None:
    milliseconds = headers.get("x-ms-retry-after-ms")
    return None if milliseconds is None else float(milliseconds) / 1000


def _on(container: Container | None) -> str:
    return "" if container is None else f" on {container.name}"
