"""The flag port: where flags come from. Both sources speak Microsoft's feature-flag schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class FlagsUnavailable(Exception):
    """The source could not be read; whoever holds earlier flags keeps them."""


@dataclass(frozen=True, slots=True)
class UnreadableFlag:
    """Stands in a list of flags for one that the source could not read. `reason` is one of `definition.REASONS`."""

    name: str
    reason: str


class FlagSource(Protocol):
    """The port: `load` answers `{"feature_management": {"feature_flags": [...]}}`, or None when nothing changed."""

    async def load(self) -> dict[str, Any] | None:
        """The whole set of flags when it is new or changed since the last call, else None.

        Each flag is as it is stored: an object in the schema, whatever else somebody put there, or an
        `UnreadableFlag`. One odd flag never makes the set unavailable. Raises `FlagsUnavailable`, and nothing else,
        when the set cannot be read or makes no sense.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Safe to call twice."""
        ...
