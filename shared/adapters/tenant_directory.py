"""Tenant directory: every tenant's configuration, keys, rules and models in memory, kept current by the change feed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shared.adapters.documents.port import TENANTS, Document, DocumentStore, Upsert
from shared.domain.auto_model import AUTO_MODEL_ID, AutoModel
from shared.domain.feeds import NamedFeed
from shared.domain.formats import KEY_HASH, is_number
from shared.domain.keys import Identity
from shared.domain.records import Experiment, Tenant
from shared.domain.removal_receipt import REMOVAL_ID, Removal
from shared.domain.rules import NO_RULES, Editorial, Rule, playlist_videos
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.tenants")

PLATFORM = "_platform"
"""Tenant of the operators: its keys with scope `ops` are valid for every tenant."""
CONFIGURATION_ID = "configuration"
KEY_PREFIX = "key:"
SCOPES = ("sdk", "cms", "privacy", "ops")

ONBOARDING_ID = "onboarding"
KINDS = (
    "configuration", "key", "rule", "playlist", "model", "experiment", "user-token-key", "import", "import-job",
    "history-job", ONBOARDING_ID, AUTO_MODEL_ID, "feed",
)  # fmt: skip
"""Kinds of documents in memory. An id is the kind, followed by `:` and a name where a tenant has several."""
CREDENTIALS = ("key", "user-token-key")
"""Credential documents fail closed: one that cannot be parsed is dropped. Others keep their last good version."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored API key, as a hash. `expires_at` (seconds since the epoch): end of a rotated key's overlap.

    Keys with the same name belong to one holder: the key in use and its successor.
    """

    id: str
    name: str
    hash: str
    scopes: frozenset[str]
    expires_at: float | None = None
    created_at: float = 0.0
    created_by: str = ""

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> ApiKey:
        """Read a stored key. Raises `ValueError` unless it has exactly the written form: credentials fail closed."""
        scopes, expires_at, created_at = body.get("scopes"), body.get("expiresAt"), body.get("createdAt", 0.0)
        if not (
            all(isinstance(body.get(name, ""), str) for name in ("id", "name", "createdBy"))
            and isinstance(body.get("hash"), str)
            and KEY_HASH.matches(body["hash"])
            and isinstance(scopes, list)
            and all(isinstance(scope, str) for scope in scopes)
            and (expires_at is None or is_number(expires_at))
            and is_number(created_at)
        ):
            raise ValueError("this is no key as it is stored")
        return cls(
            id=body["id"],
            name=body.get("name", ""),
            hash=body["hash"],
            scopes=frozenset(scope for scope in scopes if scope in SCOPES),
            expires_at=expires_at,
            created_at=float(created_at),
            created_by=body.get("createdBy", ""),
        )

    def active(self, now: float) -> bool:
        """Whether the key has not expired at `now` (seconds since the epoch)."""
        return self.expires_at is None or now < self.expires_at

    def to_document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": "key",
            "name": self.name,
            "hash": self.hash,
            "scopes": sorted(self.scopes),
            "expiresAt": self.expires_at,
            "createdAt": self.created_at,
            "createdBy": self.created_by,
        }


NOTHING: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Entry:
    """Documents of one tenant, by id."""

    tenant: Tenant | None = None
    keys: dict[str, ApiKey] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    playlists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    feeds: dict[str, NamedFeed] = field(default_factory=dict)
    models: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    user_token_keys: dict[str, str] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)
    awaited: frozenset[str] = NOTHING
    removal: Removal | None = None
    removal_etag: str = ""
    auto_model: AutoModel | None = None
    editorial: Editorial = NO_RULES

    def apply(self, document: Document) -> str | None:
        """Store the current version of a document, or remove it for a tombstone. Return the kind of an unreadable one.

        The id alone decides the kind, so that no document can replace one of another kind.
        """
        kind, _, name = document.id.partition(":")
        if kind not in KINDS or (self.removal is not None and not self.removal.is_done):
            return None
        try:
            if document.body.get("kind") != kind:
                raise ValueError("the document is of another kind than its id")
            self._read(kind, name, document)
        except Exception:  # a fault in a body affects this document alone
            if kind in CREDENTIALS:
                self._forget(kind, name, document.id)
            return kind
        return None

    def _read(self, kind: str, name: str, document: Document) -> None:
        body, id = document.body, document.id
        gone = bool(body.get("deleted"))
        match kind:
            case "configuration":
                self.tenant = None if gone else Tenant.from_document({**body, "tenantId": document.partition})
            case "key":
                _put(self.keys, id, None if gone else ApiKey.from_document({**body, "id": id}))
            case "rule":
                _put(self.rules, id, None if gone else Rule.from_document(body))
                self.editorial = Editorial.of(self.rules, self.playlists)
            case "playlist":
                _put(self.playlists, name, None if gone else playlist_videos(body))
                self.editorial = Editorial.of(self.rules, self.playlists)
            case "feed":
                _put(self.feeds, name, None if gone else NamedFeed.from_document({**body, "feedId": name}))
            case "model":
                _put(self.models, name, None if gone else body)
            case "experiment":
                _put(self.experiments, id, None if gone else Experiment.from_document(body))
            case "user-token-key":
                _put(self.user_token_keys, name, None if gone else _pem(body))
            case "import" | "import-job" | "history-job":
                (self.jobs.discard if gone or body.get("state") == "done" else self.jobs.add)(id)
            case "onboarding":
                awaited = [what for what in ("firstFeedAt", "firstEventAt") if not is_number(body.get(what))]
                self.awaited = NOTHING if gone else frozenset(awaited)
            case "auto-model":
                self.auto_model = None if gone else AutoModel.from_document(body)
                if self.auto_model is None and not gone:
                    raise ValueError("it names no night")  # no earlier version is kept: it can be withdrawn by now

    def _forget(self, kind: str, name: str, id: str) -> None:
        if kind == "key":
            self.keys.pop(id, None)
        else:
            self.user_token_keys.pop(name, None)


Value = TypeVar("Value")


def _put(table: dict[str, Value], id: str, value: Value | None) -> None:
    if value is None:
        table.pop(id, None)
    else:
        table[id] = value


def _pem(body: Mapping[str, Any]) -> str:
    pem = body["publicKey"]
    if not isinstance(pem, str):
        raise ValueError("a public key is text")
    return pem


class TenantDirectory:
    """All tenants (about 120, each with a few documents), pulled by `refresh` and read from memory."""

    def __init__(self, documents: DocumentStore, telemetry: Telemetry | None = None) -> None:
        self._documents = documents
        self._telemetry = telemetry or Telemetry()
        self._entries: dict[str, _Entry] = {}
        self._token: str | None = None
        self.loaded = False
        """Whether a refresh has ever completed."""
        self.version = 0
        """Changes with every applied document."""
        self.on_removal: Callable[[str], None] = lambda tenant_id: None
        """Called with the id of a tenant that is being removed, so that other data of it in memory is dropped."""

    async def refresh(self) -> None:
        """Pull the changes since the last call. Raises `StoreUnavailable`.

        An unreadable document is counted and skipped, so that it does not block the changes of other tenants.
        """
        while True:
            changes = await self._documents.changes(TENANTS, self._token)
            for document in changes.documents:
                self._apply(document)
            self._token = changes.token
            if not changes.more:
                self.loaded = True
                return

    def _apply(self, document: Document) -> None:
        self.version += 1
        if document.id == REMOVAL_ID:
            self._take_removal(document)
            return
        unreadable = self._entries.setdefault(document.partition, _Entry()).apply(document)
        if unreadable is not None:
            self._telemetry.unreadable.found(unreadable, document.partition, document.id)
        elif self._telemetry.unreadable:
            self._telemetry.unreadable.readable(document.id.partition(":")[0], document.partition, document.id)

    def _take_removal(self, document: Document) -> None:
        """Drop the tenant, once for each version of its removal: after the last one it can be created again."""
        known = self._entries.get(document.partition)
        if known is None or known.removal_etag != document.etag:
            removal = Removal.from_document(document.body)
            self._entries[document.partition] = _Entry(removal=removal, removal_etag=document.etag)
            self.on_removal(document.partition)

    def drops(self, tenant_id: str, accepted_at: float) -> bool:
        """Whether data accepted at that time (seconds since the epoch) belongs to a tenant removed since."""
        entry = self._entries.get(tenant_id)
        return entry is not None and entry.removal is not None and accepted_at <= entry.removal.dropped_until

    def waiting_removals(self) -> list[str]:
        """Return the ids of tenants that are being removed."""
        return [id for id, entry in self._entries.items() if entry.removal is not None and not entry.removal.is_done]

    def get(self, tenant_id: str) -> Tenant | None:
        """Return a tenant's configuration, None for an unknown tenant."""
        entry = self._entries.get(tenant_id)
        return entry.tenant if entry else None

    def ids(self) -> list[str]:
        """Return every tenant's id except the operators'."""
        return [id for id, entry in self._entries.items() if entry.tenant is not None and id != PLATFORM]

    def editorial(self, tenant_id: str) -> Editorial:
        """Return a tenant's rules and playlists; the same object until one of them changes."""
        entry = self._entries.get(tenant_id)
        return entry.editorial if entry else NO_RULES

    def feeds(self, tenant_id: str) -> list[NamedFeed]:
        """Return every named feed of the tenant, unordered."""
        entry = self._entries.get(tenant_id)
        return list(entry.feeds.values()) if entry else []

    def feed(self, tenant_id: str, id: str) -> NamedFeed | None:
        """Return a named feed of the tenant, switched on or off; the same object until it changes."""
        entry = self._entries.get(tenant_id)
        return entry.feeds.get(id) if entry else None

    def model(self, tenant_id: str, version: str) -> Mapping[str, Any] | None:
        """Return a stored model version of the tenant, in the file format."""
        entry = self._entries.get(tenant_id)
        return entry.models.get(version) if entry else None

    def auto_model(self, tenant_id: str) -> AutoModel | None:
        """Return the tenant's `auto-model`; the same object until it changes."""
        entry = self._entries.get(tenant_id)
        return entry.auto_model if entry else None

    def experiment(self, tenant_id: str) -> Experiment | None:
        """Return the tenant's running experiment."""
        entry = self._entries.get(tenant_id)
        return next((each for each in entry.experiments.values() if each.running), None) if entry else None

    def user_token_keys(self, tenant_id: str) -> Mapping[str, str]:
        """Return the tenant's public keys for user tokens: key id → PEM."""
        entry = self._entries.get(tenant_id)
        return entry.user_token_keys if entry else {}

    def waiting_jobs(self, prefixes: tuple[str, ...]) -> dict[str, list[str]]:
        """Return the document ids of unfinished jobs, by tenant. Only ids that begin with one of `prefixes`."""
        found = {
            tenant_id: [id for id in sorted(entry.jobs) if id.startswith(prefixes)]
            for tenant_id, entry in self._entries.items()
        }
        return {tenant_id: ids for tenant_id, ids in found.items() if ids}

    def awaited(self, tenant_id: str) -> frozenset[str]:
        """Return the fields of the tenant's onboarding document that have no time yet."""
        entry = self._entries.get(tenant_id)
        return entry.awaited if entry else NOTHING

    def keys(self, tenant_id: str) -> Mapping[str, ApiKey]:
        """Return the tenant's API keys by document id, expired ones included."""
        entry = self._entries.get(tenant_id)
        return entry.keys if entry else {}


async def save_tenant(documents: DocumentStore, tenant: Tenant) -> None:
    """Write a tenant's configuration."""
    await documents.write(TENANTS, tenant.id, [Upsert(tenant.to_document())])


async def save_key(
    documents: DocumentStore, identity: Identity, tenant_id: str, name: str, key: str, scopes: frozenset[str]
) -> ApiKey:
    """Store a key's hash under a name; the key itself is never stored."""
    stored = ApiKey(f"{KEY_PREFIX}{name}", name, identity.api_key_hash(key), scopes)
    await documents.write(TENANTS, tenant_id, [Upsert(stored.to_document())])
    return stored
