"""The document port: the one way anything is stored.

Semantics are those of Cosmos DB, so that every backend obeys one contract suite (`tests/contracts/`):
items live in a container, inside a partition; an atomic batch never spans partitions; every item has an etag
that changes with each write; an item with a `ttl` is gone that many seconds after its last write; and
`changes` yields the latest version of every item written since a token, but never a delete or an expiry.
A record that others must learn is gone is therefore written as a tombstone first.

Errors:

    StoreError
    ├── WriteRejected        the batch was refused whole; says which operation failed and why (caller's state)
    ├── StoreRefused         final, about this request alone: a document that is too large, a query that is wrong
    └── StoreUnavailable     throttled, down or too slow; nothing is known about a write in flight (dependency)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Container:
    """A container's name, the field that holds its partition key, and its default TTL.

    `default_ttl_seconds` is None where items live until deleted; an item's own `ttl` always wins.
    """

    name: str
    partition_field: str
    default_ttl_seconds: int | None = None


DAY_SECONDS = 86_400

TENANTS = Container("tenants", "tenantId")
VIDEOS = Container("videos", "tenantId")
VIDEO_STATS = Container("video-stats", "tenantId")
USER_ACTIVITY = Container("user-activity", "userKey", default_ttl_seconds=90 * DAY_SECONDS)
STORIES = Container("stories", "bucketKey")
STORY_ACTIVITY = Container("story-activity", "storyKey")
PEOPLE = Container("people", "personKey")

CONTAINERS = {c.name: c for c in (TENANTS, VIDEOS, VIDEO_STATS, USER_ACTIVITY, STORIES, STORY_ACTIVITY, PEOPLE)}


@dataclass(frozen=True, slots=True)
class Document:
    """One stored item. `body` holds `id`, the partition field and, where set, `ttl` (seconds); no system fields.

    An empty body means that the stored bytes are damaged: whoever holds the item from before lets go of it.
    """

    partition: str
    id: str
    body: Json
    etag: str


@dataclass(frozen=True, slots=True)
class Create:
    """Write a new item; fails with ALREADY_EXISTS when the id is taken by an item that has not expired."""

    body: Json


@dataclass(frozen=True, slots=True)
class Replace:
    """Overwrite an item whose etag is still `etag`; fails with CONFLICT or NOT_FOUND."""

    body: Json
    etag: str


@dataclass(frozen=True, slots=True)
class Upsert:
    """Write an item whether it exists or not."""

    body: Json


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an item, only while its etag is `etag` when one is given; fails with NOT_FOUND or CONFLICT."""

    id: str
    etag: str | None = None


Operation = Create | Replace | Upsert | Delete
MAX_OPERATIONS = 100


class Failure(StrEnum):
    """Why one operation of a batch was refused."""

    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    NOT_FOUND = "not_found"


class StoreError(Exception):
    """Anything the document port raises on purpose."""


class WriteRejected(StoreError):
    """The batch was refused whole and nothing was written. `failures` maps an operation's index to its reason.

    A backend that re-sends a write after a cut connection may report a failure for its own earlier success:
    look whether the write is there before believing it.
    """

    def __init__(self, failures: dict[int, Failure]) -> None:
        self.failures = failures
        super().__init__(", ".join(f"operation {i}: {reason}" for i, reason in sorted(failures.items())))


class StoreRefused(StoreError):
    """The store will never take this request; the same again is refused again, and others are not concerned.

    `too_large`: because of its size.
    """

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        self.too_large = too_large
        super().__init__(message)


class StoreUnavailable(StoreError):
    """The store did not answer as it should (down, throttled, cut off). A write may or may not have happened."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query, in id order. `next`, the id of its last item, continues it; None when there is no more.

    `unreadable` are ids of items whose stored bytes are damaged: they are left out of `documents`.
    """

    documents: list[Document]
    next: str | None = None
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """Documents written since a token. `token` continues; `more` says that another call would not be empty.

    `passed_over` is how many items were not ours: without the partition key, as other programs write them.
    """

    documents: list[Document] = field(default_factory=list)
    token: str = ""
    more: bool = False
    passed_over: int = 0


FROM_NOW = "now"
"""A token for `changes`: no documents, just the place from which later writes are seen."""


class DocumentStore(Protocol):
    """The port. Every method may raise `StoreUnavailable` or `StoreRefused`; callers give each call a time budget."""

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        """One item, or None when absent or expired.

        `latest=True` sees every write this process has made (session consistency); otherwise the read may be a
        little stale (eventual), which costs half.
        """
        ...

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        """Apply 1 to 100 operations, all or none, in one partition. The partition field is set by the store.

        Returns the new etag per operation (None for a delete). Raises `WriteRejected` when any is refused.
        """
        ...

    async def query(
        self,
        container: Container,
        partition: str,
        *,
        id_prefix: str = "",
        after: str | None = None,
        limit: int = 200,
    ) -> Page:
        """Items of one partition whose id starts with `id_prefix`, in id order; pass `Page.next` as `after`."""
        ...

    async def changes(self, container: Container, since: str | None, *, limit: int = 500) -> Changes:
        """The latest version of every item written since `since` (None: since ever), across partitions.

        Nothing is missed, whatever the clock; an item may come again, but a reader that follows the tokens of a
        quiet container reaches the end. Deletes and expiries do not show.
        """
        ...

    async def ready(self) -> None:
        """Raise `StoreUnavailable` when the store cannot answer; prepares what may be prepared (tables)."""
        ...

    async def close(self) -> None:
        """Let go of connections and files. Safe to call twice."""
        ...


async def query_all(store: DocumentStore, container: Container, partition: str, id_prefix: str = "") -> list[Document]:
    """Every page of `query`, joined."""
    found: list[Document] = []
    after: str | None = None
    while True:
        page = await store.query(container, partition, id_prefix=id_prefix, after=after)
        found += page.documents
        if page.next is None:
            return found
        after = page.next
