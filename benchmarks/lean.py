"""Builds the document store with the flags `lean-reads` and `lean-writes` on, for test servers."""

from __future__ import annotations

from itertools import count

from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_batch_write import BatchWrites
from shared.adapters.documents.cosmos_point_read import PointReads
from shared.adapters.documents.cosmos_wire import Wire
from shared.settings import Settings
from tests.emulators.cosmos.entra import KnownToken

TIMEOUT_SECONDS = 10.0


def lean_cosmos(settings: Settings) -> CosmosStore:
    """Return an unconnected store that works without the SDK, also after a time-out on a busy machine."""
    parts = dict(part.split("=", 1) for part in settings.cosmos_connection_string.split(";") if part)
    hours = count(step=3_600)  # no endpoint rests this long
    wire = Wire(parts["AccountEndpoint"], settings.cosmos_database, KnownToken, clock=lambda: next(hours))
    return CosmosStore(
        settings.cosmos_database,
        connection_string=settings.cosmos_connection_string,
        point_reads=PointReads(wire, timeout_seconds=TIMEOUT_SECONDS),
        batch_writes=BatchWrites(wire, timeout_seconds=TIMEOUT_SECONDS),
    )
