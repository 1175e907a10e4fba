"""The document port: reads and writes of all stored documents.

Semantics are those of Cosmos DB; one contract suite (`tests/contracts/`) tests every backend:

- An item is in a partition of a container. An atomic batch never spans partitions.
- Every item has an etag, which changes with each write.
- An item with a `ttl` expires that many seconds after its last write.
- `changes` yields the latest version of every item written since a token, but no deletes or expiries. A deletion that
  other instances must see is therefore written as a tombstone first.

Errors:

    StoreError
    ├── WriteRejected        the whole batch was refused; names the failed operation and the reason (caller's state)
    ├── StoreRefused         final, about this request alone: a document that is too large, a wrong query
    └── StoreUnavailable     throttled, down or too slow; a write in flight can have happened (dependency)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Container:
    """Name of a container, the field of its partition key, and its default TTL.

    `default_ttl_seconds`: None means that items live until deleted. An item's own `ttl` takes precedence.
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
    """One stored item. `body` has `id`, the partition field and, if set, `ttl` (seconds); no system fields.

    An empty body means that the stored bytes are damaged. Readers then drop their earlier version of the item.
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
    """Remove an item, if its etag is still `etag` (None: any); fails with NOT_FOUND or CONFLICT."""

    id: str
    etag: str | None = None


Operation = Create | Replace | Upsert | Delete
MAX_OPERATIONS = 100


class Failure(StrEnum):
    """Reason why an operation of a batch was refused."""

    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    NOT_FOUND = "not_found"


class StoreError(Exception):
    """Base class of the document port's errors."""


class WriteRejected(StoreError):
    """The whole batch was refused and nothing was written. `failures`: reason by the operation's index.

    A backend that repeats a write after a cut connection can report a failure for its own earlier success. So callers
    must check whether their write is there.
    """

    def __init__(self, failures: dict[int, Failure]) -> None:
        self.failures = failures
        super().__init__(", ".join(f"operation {i}: {reason}" for i, reason in sorted(failures.items())))


class StoreRefused(StoreError):
    """Final refusal of one request: a repeat is refused too. Other requests are not affected.

    `too_large`: whether the reason is its size.
    """

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        self.too_large = too_large
        super().__init__(message)


class StoreUnavailable(StoreError):
    """The store failed to answer: down, throttled or cut off. A write may or may not have happened."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query, in id order. `next`: the last id, from which the next page continues; None at the end.

    `unreadable`: ids of items whose stored bytes are damaged. `documents` does not have them.
    """

    documents: list[Document]
    next: str | None = None
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """Documents written since a token. `token`: for the next call; `more`: that call returns more documents.

    `passed_over`: number of skipped items of other programs, which lack our partition key.
    """

    documents: list[Document] = field(default_factory=list)
    token: str = ""
    more: bool = False
    passed_over: int = 0


FROM_NOW = "now"
"""Token for `changes` that returns no documents, only a token from which later writes are seen."""


class DocumentStore(Protocol):
    """The port. Every method can raise `StoreUnavailable` or `StoreRefused`; callers limit the time of each call."""

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        """Return one item, or None when absent or expired.

        `latest=True` sees every write of this process (session consistency). Otherwise the read can be slightly stale
        (eventual consistency), at half the cost.
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
        """Return items of one partition whose id starts with `id_prefix`, in id order; pass `Page.next` as `after`."""
        ...

    async def changes(self, container: Container, since: str | None, *, limit: int = 500) -> Changes:
        """Return the latest version of every item written since `since` (None: from the start), in all partitions.

        Nothing is missed, whatever the clock. An item can come again, but a reader of a quiet container reaches the
        end. Deletes and expiries do not show.
        """
        ...

    async def ready(self) -> None:
        """Raise `StoreUnavailable` when the store cannot answer. Creates tables where the backend needs them."""
        ...

    async def close(self) -> None:
        """Close connections and files. Safe to call twice."""
        ...


async def query_all(store: DocumentStore, container: Container, partition: str, id_prefix: str = "") -> list[Document]:
    """Return the documents of all pages of `query`."""
    found: list[Document] = []
    after: str | None = None
    while True:
        page = await store.query(container, partition, id_prefix=id_prefix, after=after)
        found += page.documents
        if page.next is None:
            return found
        after = page.next
