"""Writes a change of a document together with its audit entry in one atomic batch: neither exists alone.

An entry lives in the container and partition of what it speaks of, because a batch cannot span two. Its id sorts after
every video's, newest first, so that loading a catalog can stop before the entries and listing them needs no index.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from shared.adapters.documents.port import (
    DAY_SECONDS,
    Container,
    Create,
    Document,
    DocumentStore,
    Failure,
    Json,
    Operation,
    Replace,
    WriteRejected,
)
from shared.domain.records import AFTER_VIDEOS
from shared.web.problems import Problem

AUDIT_PREFIX = f"{AFTER_VIDEOS}audit:"
AUDIT_TTL_SECONDS = 90 * DAY_SECONDS
TOMBSTONE_TTL_SECONDS = 30 * DAY_SECONDS
"""How long readers may be away and still learn that something is gone."""
MAX_KEPT_BYTES = 100_000
"""A body larger than this is not copied into its entry, which then cannot be taken back by it."""
_NEWEST = 10**14 - 1


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, when (seconds since the epoch), and why, if they say."""

    who: str
    at: float
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one document: `before` is what is stored (a tombstone counts as nothing), `after` what shall be.

    `kind` and `name` say in the audit what it was about; `action` what was done. `after` None takes the document
    away.
    """

    container: Container
    tenant_id: str
    kind: str
    name: str
    action: str
    before: Document | None
    after: Json | None


class Overtaken(Problem):
    """Somebody else wrote first: who decides again, on what is stored now, may succeed."""


def without_tombstone(document: Document | None) -> Document | None:
    """A stored document, None for a tombstone."""
    return None if document is None or document.body.get("deleted") else document


async def apply_change(
    documents: DocumentStore, change: Change, author: Author, also: Sequence[Operation] = ()
) -> str | None:
    """Write the change, its audit entry and what belongs to it, all or nothing. The new etag, None when taken away.

    Raises a `Problem`: 412 when somebody else was first, 409 when the name is taken.
    """
    before = change.before
    body = change.after if change.after is not None else _tombstone(before)
    first: Operation = Create(body) if before is None else Replace(body, before.etag)
    operations = [first, *also, Create(audit_entry(change, author))]
    try:
        etags = await documents.write(change.container, change.tenant_id, operations)
    except WriteRejected as refusal:
        raise _problem(refusal, change) from refusal
    return etags[0] if change.after is not None else None


def etag_mismatch() -> Problem:
    """412: what the change is based on is no longer what is stored."""
    return Problem(
        412, "stale_etag", "Somebody else saved a change first. Read the newest version, then repeat your change."
    )


def already_exists(kind: str) -> Problem:
    """409: the id is taken."""
    return Problem(409, "already_exists", f"A {kind} with this id already exists. Choose another id.")


def not_found(kind: str) -> Problem:
    """404."""
    return Problem(404, "not_found", f"There is no {kind} with this id.")


def audit_entry(change: Change, author: Author, count: int | None = None) -> Json:
    """Who did what to which, when and why, with the document before and after. `count`: rows of a bulk change."""
    moment = _NEWEST - int(author.at * 1000)
    before = without_tombstone(change.before)
    shown_before, shown_after = kept_body(before.body if before else None), kept_body(change.after)
    return {
        "id": f"{AUDIT_PREFIX}{moment:014d}{secrets.token_hex(4)}",
        "kind": "audit",
        "at": author.at,
        "who": author.who,
        "why": author.why,
        "action": change.action,
        "resource": change.kind,
        "name": change.name,
        "documentId": (change.after or (before.body if before else {})).get("id"),
        "before": shown_before,
        "after": shown_after,
        "whole": (before is None or shown_before is not None) and (change.after is None or shown_after is not None),
        "count": count,
        "ttl": AUDIT_TTL_SECONDS,
    }


def kept_body(body: Json | None) -> Json | None:
    """A body as an entry keeps it: without secrets' hashes and the partition, and only while it is small."""
    if body is None:
        return None
    kept = {name: value for name, value in body.items() if name not in ("hash", "tenantId", "ttl")}
    return kept if len(orjson.dumps(kept)) <= MAX_KEPT_BYTES else None


def _tombstone(before: Document | None) -> Json:
    assert before is not None
    kept = {name: before.body[name] for name in ("id", "kind", *_NAMES) if name in before.body}
    return {**kept, "deleted": True, "ttl": TOMBSTONE_TTL_SECONDS}


_NAMES = ("ruleId", "playlistId", "feedId", "version", "experimentId", "keyId", "jobId")
"""Fields by which readers know a document, and which its tombstone therefore keeps."""


def _problem(refusal: WriteRejected, change: Change) -> Problem:
    failure = refusal.failures.get(0)
    if failure is Failure.ALREADY_EXISTS:
        return already_exists(change.kind)
    if failure is Failure.NOT_FOUND:
        return not_found(change.kind)
    stale = etag_mismatch()
    return Overtaken(stale.status, stale.code, stale.detail)
