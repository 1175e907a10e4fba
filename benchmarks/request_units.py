"""What Cosmos DB charges, in request units, by the size of a document: the table that sizes the deployment."""

from __future__ import annotations

from infra.capacity import read_units, write_units

__all__ = ["read_units", "write_units"]
