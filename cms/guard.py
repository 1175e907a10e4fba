"""The guard of a tenant: a document that makes limits and last-of-its-kind checks hold under concurrent writes.

A write that depends on such a check reads the guard, then reads the documents it checks, and writes the guard back in
the same batch. Of two writes that read the same version one is refused and tries again. The guard copies no data, so it
works from its first write on, whatever was stored before.
"""

from __future__ import annotations

from cms.access.models import MAX_KEYS, MAX_PUBLIC_KEYS, PUBLIC_KEY_PREFIX
from cms.experiments.models import EXPERIMENT_PREFIX, MAX_EXPERIMENTS, MAX_MODELS, MODEL_PREFIX
from cms.feeds.models import MAX_FEEDS
from cms.rules.models import MAX_PLAYLISTS, MAX_RULES, PLAYLIST_PREFIX, RULE_PREFIX
from shared.adapters.documents.port import Create, Document, Operation, Replace
from shared.adapters.tenant_directory import KEY_PREFIX
from shared.domain.auto_model import LEARNED_PREFIX
from shared.domain.feeds import FEED_PREFIX

GUARD_ID = "guard"
LIMITS: dict[str, tuple[int, str]] = {
    KEY_PREFIX: (MAX_KEYS, "keys"),
    PUBLIC_KEY_PREFIX: (MAX_PUBLIC_KEYS, "public keys"),
    RULE_PREFIX: (MAX_RULES, "rules"),
    PLAYLIST_PREFIX: (MAX_PLAYLISTS, "playlists"),
    FEED_PREFIX: (MAX_FEEDS, "feeds"),
    MODEL_PREFIX: (MAX_MODELS, "model versions"),
    EXPERIMENT_PREFIX: (MAX_EXPERIMENTS, "experiments"),
}
"""Id prefix of a kind → how many documents of it a tenant can have, and their name in messages."""
ATTEMPTS = 30
"""How often a write is tried on conflicts. Each conflict means that another write succeeded."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.005, 0.1


def limited_prefix(id: str) -> str | None:
    """Return the id prefix if its kind is limited, else None.

    Model versions of the nightly learning are not limited: it deletes its own old ones, and editors keep their limit.
    """
    if id.startswith(f"{MODEL_PREFIX}{LEARNED_PREFIX}"):
        return None
    prefix = f"{id.partition(':')[0]}:"
    return prefix if prefix in LIMITS else None


def write_guard(guard: Document | None) -> Operation:
    """Build the operation that writes the guard over the version that was read; None: it does not exist yet."""
    if guard is None:
        return Create({"id": GUARD_ID, "kind": GUARD_ID, "writes": 1})
    return Replace({**guard.body, "writes": int(guard.body.get("writes", 0)) + 1}, guard.etag)
