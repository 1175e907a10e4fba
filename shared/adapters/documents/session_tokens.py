"""Keeps Cosmos DB's session tokens after batches, because the SDK forgets them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from shared.adapters.documents.port import Container


class SessionTokens:
    """Newest session token of each written partition, for a limited number of partitions."""

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._tokens: OrderedDict[tuple[str, str], str] = OrderedDict()

    def get(self, container: Container, partition: str) -> str | None:
        return self._tokens.get((container.name, partition))

    def keep(self, container: Container, partition: str, headers: Mapping[str, Any] | None) -> None:
        token = (headers or {}).get("x-ms-session-token")
        if not token:
            return
        key = (container.name, partition)
        old = self._tokens.get(key)
        if old is None or not _is_older(token, old):
            self._tokens[key] = token
        self._tokens.move_to_end(key)
        if len(self._tokens) > self._capacity:
            self._tokens.popitem(last=False)

    def forget(self, container: Container, partition: str) -> None:
        """Drop the token of a session that the service no longer knows."""
        self._tokens.pop((container.name, partition), None)


def _is_older(token: str, than: str) -> bool:
    """Compare `range:version#lsn…` tokens. If range or version differ, they are not comparable: the new one wins."""
    (range_a, _, vector_a), (range_b, _, vector_b) = token.partition(":"), than.partition(":")
    a, b = vector_a.split("#"), vector_b.split("#")
    if range_a != range_b or a[0] != b[0] or len(a) < 2 or len(b) < 2:
        return False
    return int(a[1]) < int(b[1])
