"""The flag port: where flags come from. Both sources speak Microsoft's feature-flag schema."""

from __future__ import annotations

from typing import Any, Protocol


class FlagsUnavailable(Exception):
    """The source could not be read; whoever holds earlier flags keeps them."""


class FlagSource(Protocol):
    """The port: `load` answers `{"feature_management": {"feature_flags": [...]}}`, or None when nothing changed."""

    async def load(self) -> dict[str, Any] | None:
        """The whole set of flags when it is new or changed since the last call, else None.

        Raises `FlagsUnavailable`, and nothing else, when it cannot be read or makes no sense.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Safe to call twice."""
        ...
