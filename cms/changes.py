"""Writes a change of a document and its audit entry in one atomic batch, so neither exists without the other.

An entry is stored in the container and partition of its document, because a batch cannot span two. Its id sorts after
the ids of all videos, newest first. So loading a catalog stops before the entries, and listing them needs no index.
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
"""How long a reader can be offline and still learn of a deletion."""
MAX_KEPT_BYTES = 100_000
"""A larger body is not copied into its entry, so that change cannot be reverted."""
_NEWEST = 10**14 - 1


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a change: name of the key, time in seconds since the epoch, and the reason if one was given."""

    who: str
    at: float
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one document.

    `before`: the stored document, a tombstone included; `after`: the new body, None to delete. `kind`, `name` and
    `action` describe the change in the audit.
    """

    container: Container
    tenant_id: str
    kind: str
    name: str
    action: str
    before: Document | None
    after: Json | None


class Overtaken(Problem):
    """Write conflict. Deciding again on the document as stored now can succeed."""


def without_tombstone(document: Document | None) -> Document | None:
    """Return a stored document, or None if it is a tombstone."""
    return None if document is None or document.body.get("deleted") else document


async def apply_change(
    documents: DocumentStore, change: Change, author: Author, also: Sequence[Operation] = ()
) -> str | None:
    """Write a change, its audit entry and the operations `also` in one batch; return the new ETag, None if deleted.

    Raises a `Problem`: 412 on a write conflict, 409 if the id is taken.
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
    """Build a 412: the stored document is no longer the version that the change is based on."""
    return Problem(
        412, "stale_etag", "Somebody else saved a change first. Read the newest version, then repeat your change."
    )


def already_exists(kind: str) -> Problem:
    """Build a 409: the id is taken."""
    return Problem(409, "already_exists", f"A {kind} with this id already exists. Choose another id.")


def not_found(kind: str) -> Problem:
    """Build a 404 for a missing document of a kind."""
    return Problem(404, "not_found", f"There is no {kind} with this id.")


def audit_entry(change: Change, author: Author, count: int | None = None) -> Json:
    """Build an audit entry: who, what, when and why, with the document before and after. `count`: rows of an import."""
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
    """Return the body that an entry stores: without key hashes and partition; None above `MAX_KEPT_BYTES`."""
    if body is None:
        return None
    kept = {name: value for name, value in body.items() if name not in ("hash", "tenantId", "ttl")}
    return kept if len(orjson.dumps(kept)) <= MAX_KEPT_BYTES else None


def _tombstone(before: Document | None) -> Json:
    assert before is not None
    kept = {name: before.body[name] for name in ("id", "kind", *_NAMES) if name in before.body}
    return {**kept, "deleted": True, "ttl": TOMBSTONE_TTL_SECONDS}


_NAMES = ("ruleId", "playlistId", "feedId", "version", "experimentId", "keyId", "jobId")
"""Fields that identify a document to readers; its tombstone keeps them."""


def _problem(refusal: WriteRejected, change: Change) -> Problem:
    failure = refusal.failures.get(0)
    if failure is Failure.ALREADY_EXISTS:
        return already_exists(change.kind)
    if failure is Failure.NOT_FOUND:
        return not_found(change.kind)
    stale = etag_mismatch()
    return Overtaken(stale.status, stale.code, stale.detail)
