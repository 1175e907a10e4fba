"""Cosmos DB containers as data: partition key, TTL and indexing policy.

Bicep makes the containers in production and a test holds it against this table; `CosmosStore.ready` makes them on
an emulator. Only what is queried is indexed: reads go by id, queries by partition and id prefix in id order, and
the service always indexes `id` by itself while the mode is "consistent". A write then costs about its size.
"""

from __future__ import annotations

from typing import Any

from shared.adapters.documents.port import CONTAINERS, PEOPLE, STORY_ACTIVITY, USER_ACTIVITY, Container

UNINDEXED = (USER_ACTIVITY, STORY_ACTIVITY, PEOPLE)
TTL_PER_ITEM = -1
"""`defaultTtl: -1`: items stay unless they carry a `ttl` of their own."""


def indexing_policy(container: Container) -> dict[str, Any]:
    """The container's indexing policy, in the words of the service.

    What is about one user or one story is read by id, and listed only inside its own small partition: it indexes
    nothing. The others are listed by partition, whose path is not indexed unless named.
    """
    included = [] if container in UNINDEXED else [{"path": f"/{container.partition_field}/?"}]
    return {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": included,
        "excludedPaths": [{"path": "/*"}],
    }


def default_ttl(container: Container) -> int:
    """`defaultTtl` in seconds, or `TTL_PER_ITEM`."""
    return TTL_PER_ITEM if container.default_ttl_seconds is None else container.default_ttl_seconds


LAYOUT: dict[str, dict[str, Any]] = {
    name: {
        "partitionKeyPath": f"/{container.partition_field}",
        "defaultTtl": default_ttl(container),
        "indexingPolicy": indexing_policy(container),
    }
    for name, container in CONTAINERS.items()
}
