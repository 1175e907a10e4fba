"""The document store as with the flags `lean-reads` and `lean-writes` on, against test servers."""

from __future__ import annotations

from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_batch_write import BatchWrites
from shared.adapters.documents.cosmos_point_read import PointReads
from shared.adapters.documents.cosmos_wire import Wire
from shared.settings import Settings
from tests.emulators.cosmos.entra import KnownToken


def lean_cosmos(settings: Settings) -> CosmosStore:
    """A store whose reads by id and batches go without the SDK; unconnected."""
    parts = dict(part.split("=", 1) for part in settings.cosmos_connection_string.split(";") if part)
    wire = Wire(parts["AccountEndpoint"], settings.cosmos_database, KnownToken)
    return CosmosStore(
        settings.cosmos_database,
        connection_string=settings.cosmos_connection_string,
        point_reads=PointReads(wire),
        batch_writes=BatchWrites(wire),
    )
