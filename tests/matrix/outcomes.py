"""One word for each outcome of a port operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.adapters.blobs.port import BlobRefused, BlobsUnavailable
from shared.adapters.bus.port import BusRefused, BusUnavailable, LockLost
from shared.adapters.documents.port import StoreRefused, StoreUnavailable, WriteRejected
from shared.adapters.flags.key_values import Changed
from shared.adapters.flags.port import FlagsUnavailable

OUTAGE, REFUSAL, CONFLICT, ABSENT, ANSWERED = "outage", "refusal", "conflict", "absent", "answered"

_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (StoreUnavailable, OUTAGE),
    (BlobsUnavailable, OUTAGE),
    (BusUnavailable, OUTAGE),
    (FlagsUnavailable, OUTAGE),
    (StoreRefused, REFUSAL),
    (BlobRefused, REFUSAL),
    (BusRefused, REFUSAL),
    (WriteRejected, CONFLICT),
    (LockLost, CONFLICT),
    (Changed, CONFLICT),
)


async def outcome(call: Callable[[], Awaitable[object]]) -> str:
    """Return the outcome of a port call; an error that no port may raise is named."""
    try:
        found = await call()
    except Exception as error:
        named = [name for kind, name in _ERRORS if isinstance(error, kind)]
        return named[0] if named else f"leaked {type(error).__name__}: {error}"
    return ABSENT if found is None else ANSWERED
