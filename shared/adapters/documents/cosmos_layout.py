"""Lists the Cosmos DB containers with partition key, TTL and indexing policy.

Bicep creates them in production, and a test compares both; `CosmosStore.ready` creates them on an emulator. Only fields
of queries are indexed. Reads go by id, queries by partition and id prefix in id order, and the service always indexes
`id` while the mode is "consistent". So the cost of a write depends on its size alone.
"""

from __future__ import annotations

from typing import Any

from shared.adapters.documents.port import CONTAINERS, PEOPLE, STORY_ACTIVITY, USER_ACTIVITY, Container

UNINDEXED = (USER_ACTIVITY, STORY_ACTIVITY, PEOPLE)
TTL_PER_ITEM = -1
"""`defaultTtl: -1`: only items with a `ttl` of their own expire."""


def indexing_policy(container: Container) -> dict[str, Any]:
    """Return the container's indexing policy in the service's format.

    Containers whose documents belong to one user or story index nothing: they are read by id, or listed inside their
    own small partition. The others are listed by partition, whose path must be named to be indexed.
    """
    included = [] if container in UNINDEXED else [{"path": f"/{container.partition_field}/?"}]
    return {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": included,
        "excludedPaths": [{"path": "/*"}],
    }


def default_ttl(container: Container) -> int:
    """Return `defaultTtl` in seconds, or `TTL_PER_ITEM`."""
    return TTL_PER_ITEM if container.default_ttl_seconds is None else container.default_ttl_seconds


LAYOUT: dict[str, dict[str, Any]] = {
    name: {
        "partitionKeyPath": f"/{container.partition_field}",
        "defaultTtl": default_ttl(container),
        "indexingPolicy": indexing_policy(container),
    }
    for name, container in CONTAINERS.items()
}
