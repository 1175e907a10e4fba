"""Packs a reader's position in each range of a change feed into one string, the change token."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Position:
    """Position in one feed range; `continuation` None is its beginning."""

    feed_range: dict[str, Any]
    continuation: str | None


def pack_positions(positions: list[Position]) -> str:
    """Return an opaque string. A continuation contains its feed range, so the range is stored only without one."""
    return base64.urlsafe_b64encode(
        orjson.dumps([p.feed_range if p.continuation is None else p.continuation for p in positions])
    ).decode()


def unpack_positions(token: str) -> list[Position]:
    """Return the positions of a token. Raises `ValueError` for a string that `pack_positions` did not make."""
    try:
        packed = orjson.loads(base64.urlsafe_b64decode(token.encode()))
        if not isinstance(packed, list) or not packed:
            raise ValueError("no positions")
        return [Position({}, p) if isinstance(p, str) else Position(dict(p), None) for p in packed]
    except (ValueError, TypeError, binascii.Error) as error:
        raise ValueError("not a change token of this store") from error
