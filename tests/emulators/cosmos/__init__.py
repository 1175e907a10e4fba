"""A test server for Cosmos DB's NoSQL API in gateway mode."""

from tests.emulators.cosmos.server import KEY, CosmosServer

__all__ = ["KEY", "CosmosServer"]
