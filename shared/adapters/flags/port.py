"""The flag port: source of feature flags. Both backends use Microsoft's feature-flag schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class FlagsUnavailable(Exception):
    """The source could not be read; readers keep their earlier flags."""


@dataclass(frozen=True, slots=True)
class UnreadableFlag:
    """Placeholder in a list of flags for an unreadable one. `reason`: one of `definition.REASONS`."""

    name: str
    reason: str


class FlagSource(Protocol):
    """The port. `load` returns `{"feature_management": {"feature_flags": [...]}}`, or None without changes."""

    async def load(self) -> dict[str, Any] | None:
        """Return all flags if any changed since the last call, else None.

        Each flag is as stored (an object in the schema, or any other value), or an `UnreadableFlag`. One odd flag never
        makes the others unavailable. Raises only `FlagsUnavailable`: the set cannot be read, or is malformed.
        """
        ...

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        ...
