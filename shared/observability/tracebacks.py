"""Formats tracebacks for the log: places, never values."""

from __future__ import annotations

import traceback

_FRAMES_KEPT = 30


def traceback_without_values(error: BaseException) -> str:
    """Return types and lines of an exception and its causes.

    Messages are left out because they quote values: pydantic prints the input, a KeyError the key. That can be a
    header, a body or a user.
    """
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__, -_FRAMES_KEPT))
        parts.append(f"{frames}{type(current).__module__}.{type(current).__qualname__}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused by\n".join(parts)
