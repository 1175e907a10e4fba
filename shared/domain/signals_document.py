"""Converts a user's signals to one small stored document and back, in versions 2 and 3. Pure.

Version 3 has its number in `v`; version 2 has no `v`. Every later version must have one, so that a release that does
not know it leaves the document alone.
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

from shared.domain import signals_v2, signals_v3
from shared.domain.counted_receipts import CountedReceipts
from shared.domain.daily_counts import DailyCounts
from shared.domain.finished_episodes import NONE_FINISHED, FinishedEpisodes
from shared.domain.signals_columns import NewerSignals, UnreadableSignals, is_whole
from shared.domain.user_signals import SIGNALS_ID, SIGNALS_TTL_SECONDS, Signals

VERSIONS = (signals_v2.VERSION, signals_v3.VERSION)
"""Versions that can be read and written."""


def to_document(signals: Signals, version: int = signals_v2.VERSION) -> dict[str, Any]:
    """The stored shape, of one of `VERSIONS`. Lives 90 days after its last write.

    At the caps, its JSON stays within `MAX_DOCUMENT_BYTES`, including the fields that the fold adds: partition, tenant,
    and time of erasure. Fields beside `packed` are unknown to the release before this one, which ignores them and drops
    them when it writes the document.
    """
    if not signals.whole:
        raise ValueError("signals read for a ranking cannot be stored")
    document: dict[str, Any] = {
        "id": SIGNALS_ID,
        "kind": "signals",
        "updatedAt": signals.updated_at,
        "ttl": SIGNALS_TTL_SECONDS,
    }
    if signals.finished.rows:
        document["finished"] = _text(signals.finished.pack())
    if version == signals_v3.VERSION:
        return document | {"v": version, "packed": _text(signals_v3.pack(signals))}
    packed = signals_v2.pack(signals)
    return document | {
        "lastActiveAt": signals.newest_minute * 60,
        "packed": _text(packed),
        "additions": _text(signals_v2.pack_additions(signals, packed)),
        "counted": _text(signals.counted.pack()),
        "dailyCounts": _text(signals.daily_counts.pack()),
    }


def from_document(body: dict[str, Any], *, whole: bool = True) -> Signals | None:
    """Read a stored document; None for the tombstone of an erasure.

    Not `whole`: for a ranking, in a third of the time. Days, identities, counted receipts, and the times of `seen`,
    `dismissed` and `follows` stay empty. Version 2 then has views in place of interest, the 20 newest long views in
    minutes, and neither follows nor progress. Raises `UnreadableSignals`; its subclass `NewerSignals` for a version
    that only a later release knows.
    """
    if body.get("kind") == "erased":
        return None
    version, packed, updated_at = body.get("v", signals_v2.VERSION), body.get("packed"), body.get("updatedAt")
    if isinstance(version, int | float) and version > signals_v3.VERSION:
        raise NewerSignals(f"version {version}")
    if not isinstance(packed, str) or not isinstance(updated_at, int | float):
        raise UnreadableSignals("fields are missing")
    try:
        raw = base64.b64decode(packed, validate=True)
        if raw[0] == signals_v3.VERSION:
            return _with_finished(signals_v3.unpack(raw, float(updated_at), whole), body)
        if raw[0] > signals_v3.VERSION and is_whole(raw):
            raise NewerSignals(f"version {raw[0]}")
        additions = _bytes(body.get("additions")) if whole else b""
        signals = signals_v2.unpack(raw, additions, float(updated_at), whole)
    except (ValueError, TypeError, ArithmeticError, struct.error, IndexError) as error:
        raise error if isinstance(error, UnreadableSignals) else UnreadableSignals(str(error)) from error
    if whole:
        signals.counted = _counted(body.get("counted"), signals.updated_at)
        signals.daily_counts = _daily_counts(body.get("dailyCounts"))
    return _with_finished(signals, body)


def _with_finished(signals: Signals, body: dict[str, Any]) -> Signals:
    """Add the finished episodes to the signals; none if they are missing or damaged."""
    if "finished" in body:
        try:
            signals.finished = FinishedEpisodes.unpack(_bytes(body["finished"]))
        except ValueError:
            signals.finished = NONE_FINISHED
    return signals


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: Any) -> bytes:
    """Decode the bytes of a text; empty if it is missing or damaged."""
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        return b""


def _counted(text: Any, updated_at: float) -> CountedReceipts:
    """Return the counted receipts. If an earlier release dropped them, nothing served before the last fold counts,
    since it can have been counted."""
    try:
        return CountedReceipts.unpack(base64.b64decode(text, validate=True))
    except (TypeError, ValueError):
        return CountedReceipts().closed_until(math.ceil(updated_at))


def _daily_counts(text: Any) -> DailyCounts:
    try:
        return DailyCounts.unpack(_bytes(text))
    except ValueError:
        return DailyCounts()
