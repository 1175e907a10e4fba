"""The document port on Cosmos DB, through the asynchronous SDK in gateway mode.

What this module does because of how the SDK behaves, each proven by a test in `tests/emulators/`:

- Every write is one transactional batch, a POST that is sent once: the SDK's own retries are off, and the HTTP client
  repeats only idempotent verbs. A write whose answer was lost raises `StoreUnavailable`, never a 409 or 412 caused by
  its own earlier success. 429 and 449 promise that nothing was written; only these are sent again.
- The SDK forgets the session token of a batch. It is kept here, per partition, so that `read(latest=True)` sees
  every write of this process.
- A 404 means "no such item" only without a sub-status and with the service's own body. Sub-status 1002 twice in a row
  can mean that the container was restored: the session token is dropped here and in the SDK, which keeps one for each
  container. Otherwise every read would fail.
- `cosmos_answers.py` classifies the service's answers. For a malformed body the SDK raises many errors, or returns an
  empty page; all become `StoreUnavailable`.
- An idle change feed yields no page; only the response headers have its position.
- `timeout=` does not interrupt a request in flight; `read_timeout=` does. The whole attempt has a time-out too: for an
  empty list of ranges the SDK would ask forever.
- Proxy variables of the environment are ignored: reading them takes a thread and a third of a read's CPU on every
  request, and the service is reached through a private endpoint.
- The SDK's own tracing is switched off explicitly. By default, every call looks for it four times in the environment
  and among the loaded modules, a twentieth of a read's CPU. The service's spans are made elsewhere.
- Endpoint discovery is off: with it, the SDK sends a write again after a 503. The account's own name always leads
  to the write region, also after a failover.

Reads by id can go without the SDK (`cosmos_point_read.py`); after an unusual answer the SDK reads again. Batches can
too (`cosmos_batch_write.py`). The SDK sends a batch again only if the service has certainly not begun with it;
otherwise `StoreUnavailable` is raised, as with the SDK.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from azure.core.pipeline.transport import AioHttpTransport
from azure.core.settings import settings as sdk_settings
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.documents import ConnectionPolicy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
)

from shared.adapters.answers import Kind
from shared.adapters.azure_credential import azure_credential
from shared.adapters.documents.change_token import Position, pack_positions, unpack_positions
from shared.adapters.documents.cosmos_answers import (
    ACTIVITY_ID,
    CONFLICTS,
    CONTAINER_PATH,
    NO_ANSWER,
    NOT_APPLIED,
    STALE_SESSION,
    TOO_LARGE,
    WORTH_A_SECOND_READ,
    NotAnAnswer,
    charge_of,
    checked_page,
    first_refused,
    kind_of,
    refusal_of,
    retry_after_of,
    says_absent,
)
from shared.adapters.documents.cosmos_batch_write import BatchWrites
from shared.adapters.documents.cosmos_items import batch_operation, check, document_of, page_query
from shared.adapters.documents.cosmos_layout import default_ttl, indexing_policy
from shared.adapters.documents.cosmos_point_read import PointReads
from shared.adapters.documents.cosmos_wire import Unusual, Wire
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
    StoreRefused,
    StoreUnavailable,
    WriteRejected,
)
from shared.adapters.documents.session_tokens import SessionTokens
from shared.settings import Settings

T = TypeVar("T")

OnCall = Callable[[str, int, float, float], None]
"""`on_call(operation, status, request_units, seconds)`, once per HTTP exchange; status 0: no answer."""
OnAnswer = Callable[[Mapping[str, Any]], None]
"""Called with the headers of every answer of the service itself."""

LEAN_READ, LEAN_WRITE = "lean_read", "lean_write"
"""Names of the operations in metrics for reads and writes without the SDK."""

_EVENTUAL = {"consistencyLevel": "Eventual"}


ATTEMPT_TIMEOUTS = 5
"""Time-out of an attempt with all its exchanges, in time-outs of one exchange."""


class CosmosStore:
    """The document port. Connects at the first use or at `ready`, whichever comes first.

    Needs either `connection_string` (an emulator; `ready` then creates missing databases and containers) or `endpoint`
    with `credential`, a function that makes a token credential (production). Timeouts are per HTTP exchange, in
    seconds.
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
        on_answer: OnAnswer | None = None,
        point_reads: PointReads | None = None,
        batch_writes: BatchWrites | None = None,
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
        self._on_answer = on_answer or (lambda headers: None)
        self._point_reads, self._batch_writes = point_reads, batch_writes
        self._client: CosmosClient | None = None
        self._credential: Any = None
        self._proxies: dict[str, ContainerProxy] = {}
        self._opening: asyncio.Task[None] | None = None
        self._failed_open_at = float("-inf")
        self._sessions = SessionTokens()

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        on_call: OnCall | None = None,
        on_answer: OnAnswer | None = None,
        lean_reads: Callable[[], bool] = lambda: False,
        lean_writes: Callable[[], bool] = lambda: False,
    ) -> CosmosStore:
        """Build from the settings; nothing connects yet. `lean_reads` decides before each read by id whether it goes
        without the SDK, `lean_writes` before each batch. With a connection string, the SDK does all."""
        wire = None
        if settings.cosmos_endpoint:
            wire = Wire(settings.cosmos_endpoint, settings.cosmos_database, azure_credential)
        regions = settings.cosmos_regions.split(",")
        return cls(
            settings.cosmos_database,
            connection_string=settings.cosmos_connection_string or None,
            endpoint=settings.cosmos_endpoint or None,
            credential=azure_credential,
            on_call=on_call,
            on_answer=on_answer,
            point_reads=PointReads(wire, regions=regions, wanted=lean_reads) if wire else None,
            batch_writes=BatchWrites(wire, wanted=lean_writes) if wire else None,
        )

    # The port

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        if self._point_reads is not None and (endpoint := self._point_reads.endpoint()) is not None:
            with contextlib.suppress(Exception):  # for any unusual answer or header the SDK reads again
                return await self._read_leanly(self._point_reads, endpoint, container, partition, id, latest)
        return await self._read_by_sdk(container, partition, id, latest)

    async def _read_leanly(
        self, reads: PointReads, endpoint: str, container: Container, partition: str, id: str, latest: bool
    ) -> Document | None:
        """Read a document without the SDK. Raises `Unusual`, and other errors for odd headers and items."""
        started = time.perf_counter()
        session = (self._sessions.get(container, partition) or "") if latest else None
        try:
            answer = await reads.read(endpoint, container.name, partition, id, session=session)
        except Unusual as unusual:
            self._count(LEAN_READ, unusual.status, unusual.headers, started)
            raise
        self._count(LEAN_READ, 404 if answer.item is None else 200, answer.headers, started)
        if latest:
            self._sessions.keep(container, partition, answer.headers)
        if answer.item is None:
            return None
        if answer.item.get("id") != id or "_etag" not in answer.item:
            raise NotAnAnswer("the item that was asked for")
        return document_of(answer.item, partition)

    async def _read_by_sdk(self, container: Container, partition: str, id: str, latest: bool) -> Document | None:
        proxy = await self._proxy(container)
        asked: dict[str, Any] = {"read_timeout": self._read_timeout}
        token = self._sessions.get(container, partition) if latest else None
        if token:
            asked["session_token"] = token
        else:  # without a token the SDK searches for its own, which takes a tenth of a fold's CPU
            asked["request_options"] = dict(_EVENTUAL)

        async def send() -> Document | None:
            started = time.perf_counter()
            body = await proxy.read_item(id, partition, **dict(asked))
            self._count("read", 200, body.get_response_headers(), started)
            if latest:  # a query that follows is then not older than this
                self._sessions.keep(container, partition, body.get_response_headers())
            document = document_of(body, partition)
            if document.id != id:
                raise NotAnAnswer("the item that was asked for")
            return document

        try:
            return await self._call("read", container, send, repeatable=True, partition=partition, may_be_absent=True)
        except _NotThere:
            return None

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        if not 0 < len(operations) <= MAX_OPERATIONS:
            raise ValueError(f"a batch has 1 to {MAX_OPERATIONS} operations, not {len(operations)}")
        for op in operations:
            check(op)

        async def send() -> list[str | None]:
            if self._batch_writes is not None and (endpoint := self._batch_writes.endpoint()) is not None:
                try:
                    return await self._write_leanly(self._batch_writes, endpoint, container, partition, operations)
                except Unusual as unusual:
                    if not unusual.untried:
                        raise
            return await self._write_by_sdk(container, partition, operations)

        return await self._call("write", container, send, repeatable=False, partition=partition)

    async def _write_leanly(
        self,
        writes: BatchWrites,
        endpoint: str,
        container: Container,
        partition: str,
        operations: Sequence[Operation],
    ) -> list[str | None]:
        """Write one batch without the SDK. Raises `Unusual`, or the port's error for refused results."""
        started = time.perf_counter()
        try:
            token = self._sessions.get(container, partition)
            answer = await writes.write(endpoint, container, partition, operations, token)
        except Unusual as unusual:
            self._count(LEAN_WRITE, unusual.status, unusual.headers, started)
            if unusual.status in CONFLICTS and ACTIVITY_ID in unusual.headers:
                raise _refused_whole(operations) from None
            raise
        return self._written(LEAN_WRITE, container, partition, answer.results, answer.headers, started)

    async def _write_by_sdk(
        self, container: Container, partition: str, operations: Sequence[Operation]
    ) -> list[str | None]:
        """Write one batch through the SDK, sent once."""
        proxy = await self._proxy(container)
        started = time.perf_counter()
        answered: Mapping[str, Any] = {}

        def hook(headers: Mapping[str, Any], _: Any) -> None:
            nonlocal answered
            answered = headers

        batch = [batch_operation(op, container, partition) for op in operations]
        asked: dict[str, Any] = {"read_timeout": self._write_timeout, "response_hook": hook}
        if token := self._sessions.get(container, partition):
            asked["session_token"] = token  # else the SDK searches for one: a sixth of a batch's CPU
        try:
            results: Sequence[Mapping[str, Any]] = await proxy.execute_item_batch(batch, partition, **asked)
        except CosmosBatchOperationError as error:
            results, answered = error.operation_responses or [], error.headers or {}
        except (CosmosResourceExistsError, CosmosAccessConditionFailedError) as error:
            self._count("write", error.status_code, error.headers, started)
            raise _refused_whole(operations) from None
        if len(results) != len(operations):
            raise NotAnAnswer("a result for each operation")
        return self._written("write", container, partition, results, answered, started)

    def _written(
        self,
        operation: str,
        container: Container,
        partition: str,
        results: Sequence[Mapping[str, Any]],
        headers: Mapping[str, Any],
        started: float,
    ) -> list[str | None]:
        """Return the etags of a written batch. Raises the port's error for a refused one."""
        refused = first_refused([int(result["statusCode"]) for result in results])
        self._count(operation, 200 if refused is None else int(results[refused]["statusCode"]), headers, started)
        self._sessions.keep(container, partition, headers)
        if refused is not None:
            raise refusal_of(results, refused, headers)
        return [result.get("eTag") for result in results]

    async def query(
        self, container: Container, partition: str, *, id_prefix: str = "", after: str | None = None, limit: int = 200
    ) -> Page:
        proxy = await self._proxy(container)
        query, parameters = page_query(id_prefix, after, limit + 1)

        async def send() -> list[Document]:
            started = time.perf_counter()

            def hook(headers: Mapping[str, Any], result: Any) -> None:
                checked_page(result)
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

        documents = await self._call("query", container, send, repeatable=True, partition=partition)
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
        more, passed_over = False, 0
        for i, position in enumerate(positions):
            while True:
                room = limit - len(documents)
                if room <= 0:
                    # Only reading the next change shows whether there is one; the position does not move.
                    more = more or not (await self._change_page(proxy, container, position, start, 1)).is_end
                    break
                page = await self._change_page(proxy, container, position, start, room)
                positions[i] = position = page.position
                documents += page.documents
                passed_over += page.passed_over
                if page.is_end:
                    break
            if more:
                break
        return Changes(documents, pack_positions(positions), more, passed_over)

    async def ready(self) -> None:
        await self._open()
        if self._connection_string is not None:
            await self._call("ready", None, self._make_missing, repeatable=True)
        await asyncio.gather(*(self._proxy(container) for container in CONTAINERS.values()))
        for container in CONTAINERS.values():
            proxy = await self._proxy(container)

            async def read_properties(proxy: ContainerProxy = proxy) -> None:
                properties = await proxy.read(read_timeout=self._read_timeout)
                if properties.get("id") != proxy.id:
                    raise NotAnAnswer("the container that was asked for")

            try:
                await self._call("ready", container, read_properties, repeatable=True, may_be_absent=True)
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
        for lean in (self._point_reads, self._batch_writes):
            if lean is not None:
                await lean.wire.close()
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
        """Open the client once for all waiting callers. It goes on when a caller's time budget ends.

        For a second after a failure, callers fail at once instead of queueing.
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
            if not isinstance(error, Exception):
                raise
            raise StoreUnavailable(f"Cosmos DB could not be reached ({type(error).__name__})") from error
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
        self,
        operation: str,
        container: Container | None,
        send: Callable[[], Awaitable[T]],
        *,
        repeatable: bool,
        partition: str | None = None,
        may_be_absent: bool = False,
    ) -> T:
        """Send a request; repeat it while that is safe and useful. Raises every failure as an error of the port."""
        throttled = retried = 0
        waited = 0.0
        while True:
            started = time.perf_counter()
            trouble = ""
            try:
                async with asyncio.timeout(ATTEMPT_TIMEOUTS * self._read_timeout):
                    return await send()
            except StoreError:
                raise
            except Unusual as error:  # counted already
                status, sub_status, headers = error.status, error.sub_status, error.headers
                trouble = str(error)
            except CosmosHttpResponseError as error:
                status, sub_status, headers = error.status_code or NO_ANSWER, error.sub_status, error.headers or {}
                self._count(operation, status, headers, started)
                kind = kind_of(status, sub_status)
                if kind is Kind.ABSENT and may_be_absent and says_absent(error.http_error_message):
                    raise _NotThere from None
                if kind is Kind.REFUSAL:
                    text = f"Cosmos DB refused {operation}{_on(container)}: status {status}"
                    raise StoreRefused(text, too_large=status == TOO_LARGE) from None
            except Exception as error:  # for a cut connection, a stall or a foreign body the SDK raises many errors
                status, sub_status, headers = NO_ANSWER, None, {}
                self._count(operation, NO_ANSWER, headers, started)
                trouble = type(error).__name__
            retry_after = retry_after_of(headers)
            if status in NOT_APPLIED:
                pause = retry_after if retry_after is not None else 0.05 * 2**throttled
                pause *= 1 + random.random() / 4  # noqa: S311 (spreads retries, guards nothing)
                if throttled < self._throttle_retries and waited + pause <= self._throttle_wait:
                    throttled += 1
                    waited += pause
                    await asyncio.sleep(pause)
                    continue
            elif repeatable and retried == 0 and (status in WORTH_A_SECOND_READ or sub_status == STALE_SESSION):
                retried = 1
                continue
            answer = f"status {status}, sub-status {sub_status or 0}" if status else f"no answer ({trouble})"
            if sub_status == STALE_SESSION and container is not None:
                self._forget_session(container, partition)
            raise StoreUnavailable(f"Cosmos DB did not serve {operation}{_on(container)}: {answer}", retry_after)

    def _forget_session(self, container: Container, partition: str | None) -> None:
        """Drop the tokens of a session that the service does not know: here, and in the SDK.

        The SDK keeps the newest token of every read for the whole container, and sends it when no token is given.
        """
        if partition is not None:
            self._sessions.forget(container, partition)
        session = self._client.client_connection.session if self._client is not None else None
        if session is not None:
            with contextlib.suppress(KeyError):  # no token is kept
                answered = {CONTAINER_PATH: f"dbs/{self._database}/colls/{container.name}"}
                session.clear_session_token(answered)  # type: ignore[no-untyped-call]

    def _count(self, operation: str, status: int | None, headers: Mapping[str, Any] | None, started: float) -> None:
        charge = charge_of(headers or {})
        self._on_call(operation, status or 0, charge, time.perf_counter() - started)
        if headers and charge:  # a program in between answers without a charge
            self._on_answer(headers)

    # Change feed

    async def _feed_ranges(self, proxy: ContainerProxy, container: Container) -> list[Json]:
        async def send() -> list[Json]:
            found = [feed_range async for feed_range in proxy.read_feed_ranges(force_refresh=True)]
            if not found:  # every container has a range; none would look like a container without changes
                raise NotAnAnswer("the ranges of a container")
            return found

        return await self._call("changes", container, send, repeatable=True)

    async def _change_page(
        self, proxy: ContainerProxy, container: Container, position: Position, start: str, limit: int
    ) -> _ChangePage:
        """Return the next changes of one feed range."""

        async def send() -> _ChangePage:
            started = time.perf_counter()
            answered: Mapping[str, Any] = {}

            def hook(headers: Mapping[str, Any], result: Any) -> None:
                nonlocal answered
                answered = headers
                if result:
                    checked_page(result)
                elif ACTIVITY_ID not in headers:  # the SDK reads any empty answer as "no changes"
                    raise NotAnAnswer("one of Cosmos DB")
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
            passed_over = 0
            try:
                async for body in await anext(pages):
                    partition = body.get(container.partition_field)
                    if isinstance(partition, str):
                        documents.append(document_of(body, partition))
                    else:
                        passed_over += 1
            except StopAsyncIteration:
                pass  # nothing new: the SDK gives no page and no token, only these headers
            return _ChangePage(documents, Position(position.feed_range, str(answered["etag"])), passed_over)

        return await self._call("changes", container, send, repeatable=True)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Read a task's error, so that a failed opening without a waiting caller is no unhandled error."""
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class _ChangePage:
    """Changes of one feed range, the position after them, and the number of items without our partition key."""

    documents: list[Document]
    position: Position
    passed_over: int

    @property
    def is_end(self) -> bool:
        return not self.documents and not self.passed_over


class _NotThere(Exception):
    """A plain 404."""


def _refused_whole(operations: Sequence[Operation]) -> WriteRejected:
    """Return the rejection of a batch without results per operation: any operation could be the cause."""
    return WriteRejected(dict.fromkeys(range(len(operations)), Failure.CONFLICT))


def _on(container: Container | None) -> str:
    return "" if container is None else f" on {container.name}"
