"""The guard of a tenant: lets limits and last-of-its-kind checks hold when several write at the same time.

The guard is a document. A write that such a check decides reads the guard, then looks at what is stored, and writes the
guard back in the same batch: of two that read the same version one is refused, and looks again. Nothing of what is
stored is repeated in it, so it is right from the first write that makes it, whatever was stored before.
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
"""The beginning of the ids of a kind → how many documents of it a tenant can have, and what they are called."""
ATTEMPTS = 30
"""How often a write is tried while others of the tenant write first; each time one of them is done."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.005, 0.1


def limited_prefix(id: str) -> str | None:
    """The beginning of an id whose kind is limited; None for any other, and for a version that a night learned: nights
    tidy up after themselves, and leave editors their room.
    """
    if id.startswith(f"{MODEL_PREFIX}{LEARNED_PREFIX}"):
        return None
    prefix = f"{id.partition(':')[0]}:"
    return prefix if prefix in LIMITS else None


def write_guard(guard: Document | None) -> Operation:
    """Write the guard over the version that was read, None: there was none."""
    if guard is None:
        return Create({"id": GUARD_ID, "kind": GUARD_ID, "writes": 1})
    return Replace({**guard.body, "writes": int(guard.body.get("writes", 0)) + 1}, guard.etag)
