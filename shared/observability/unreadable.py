"""Tracks stored documents that cannot be read: a log line for each one found, and one when none of its kind is left.

Such a document is left out; everything else is served. Logs and metrics name only its kind, because ids are values
that a caller sent.
"""

from __future__ import annotations

import logging
from typing import Protocol

from shared.observability.logs import log_event

log = logging.getLogger("feed.documents")

MAX_KNOWN = 10_000


class Counters(Protocol):
    """Counter of documents, as `Telemetry` has it."""

    def count(self, name: str, *labels: str) -> None: ...


class UnreadableDocuments:
    """Documents that one process has found unreadable and has not read successfully since."""

    def __init__(self, telemetry: Counters) -> None:
        self._telemetry = telemetry
        self._known: dict[str, set[tuple[str, str]]] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def found(self, kind: str, partition: str, id: str) -> None:
        """Record an unreadable document. It is counted and logged once, until it can be read again."""
        known = self._known.setdefault(kind, set())
        if (partition, id) in known or len(known) >= MAX_KNOWN:
            return
        known.add((partition, id))
        self._telemetry.count("unreadable_documents", kind)
        log_event(log, logging.ERROR, "document_unreadable", kind=kind)

    def readable(self, kind: str, partition: str, id: str) -> None:
        """Record that a document can be read, or is gone. Costs one look-up while all are readable."""
        known = self._known.get(kind)
        if known is None or (partition, id) not in known:
            return
        known.discard((partition, id))
        if not known:
            del self._known[kind]
            log_event(log, logging.WARNING, "documents_readable_again", always=True, kind=kind)

    def counts(self) -> dict[str, int]:
        """Return the number of unreadable documents by kind; empty when there are none."""
        return {kind: len(known) for kind, known in sorted(self._known.items())}
