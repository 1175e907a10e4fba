"""In-memory cache with a budget in bytes for all tenants and a largest share for each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ENTRY_BYTES = 200
"""Bytes of an entry besides its value: key and table entries."""


class TenantCache(Generic[K, V]):
    """Values by tenant and key; the least recently used are evicted.

    A tenant has at most `share` of the budget. When the budget is full, tenants above an equal part lose values first.
    So a tenant that asks for ever new keys evicts only its own values. A value larger than a share is not cached.
    """

    def __init__(self, budget_bytes: int, *, share: float = 0.25) -> None:
        self._budget_bytes = budget_bytes
        self._share_bytes = int(budget_bytes * share)
        self._entries: dict[str, OrderedDict[K, tuple[V, int]]] = {}
        self._held: dict[str, int] = {}
        self.held_bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def held_by(self, tenant_id: str) -> int:
        """Return the bytes of a tenant's values."""
        return self._held.get(tenant_id, 0)

    def get(self, tenant_id: str, key: K) -> V | None:
        """Return the value, None without one."""
        entries = self._entries.get(tenant_id)
        found = entries.get(key) if entries is not None else None
        if entries is None or found is None:
            return None
        entries.move_to_end(key)
        return found[0]

    def get_all(self, tenant_id: str, keys: Iterable[K]) -> dict[K, V]:
        """Return the cached values by key."""
        entries = self._entries.get(tenant_id)
        found: dict[K, V] = {}
        if entries is None:
            return found
        for key in keys:
            entry = entries.get(key)
            if entry is not None:
                entries.move_to_end(key)
                found[key] = entry[0]
        return found

    def put(self, tenant_id: str, key: K, value: V, size_bytes: int = 0) -> None:
        """Cache a value of `size_bytes`, in place of one with the same key."""
        self.drop(tenant_id, key)
        size_bytes += ENTRY_BYTES
        if size_bytes > self._share_bytes:
            return
        self._entries.setdefault(tenant_id, OrderedDict())[key] = (value, size_bytes)
        self._add(tenant_id, size_bytes)
        while self._held[tenant_id] > self._share_bytes:
            self._drop_oldest(tenant_id)
        while self.held_bytes > self._budget_bytes:
            over = self._held[tenant_id] * len(self._held) > self._budget_bytes
            self._drop_oldest(tenant_id if over else max(self._held, key=self._held.__getitem__))

    def oldest(self, tenant_id: str) -> tuple[K, V] | None:
        """Return a tenant's least recently used key and value; None without any."""
        entries = self._entries.get(tenant_id)
        if not entries:
            return None
        key = next(iter(entries))
        return key, entries[key][0]

    def drop(self, tenant_id: str, key: K) -> None:
        """Remove a value, if it is cached."""
        entries = self._entries.get(tenant_id)
        found = entries.pop(key, None) if entries is not None else None
        if found is not None:
            self._add(tenant_id, -found[1])

    def _drop_oldest(self, tenant_id: str) -> None:
        _, (_, size_bytes) = self._entries[tenant_id].popitem(last=False)
        self._add(tenant_id, -size_bytes)

    def _add(self, tenant_id: str, size_bytes: int) -> None:
        self.held_bytes += size_bytes
        held = self._held.get(tenant_id, 0) + size_bytes
        if held:
            self._held[tenant_id] = held
        else:
            self._held.pop(tenant_id, None)
            self._entries.pop(tenant_id, None)
