"""The embedded flag source: a JSON file in Microsoft's feature-flag schema, read again at every `load`.

Edit it while the app runs. A file that holds no list of flags changes nothing: the flags in force stay, and the error
says where it is wrong. One odd flag in the list harms no other (`definition.py`).
"""

from __future__ import annotations

import asyncio
import codecs
from pathlib import Path
from typing import Any

import orjson

from shared.adapters.flags.port import FlagsUnavailable


class FileFlags:
    """`FlagSource` over the file `path`."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._last_content: bytes | None = None

    async def load(self) -> dict[str, Any] | None:
        """See the port. What counts as changed is the content: no clock, however coarse, can hide an edit."""
        try:
            content = await asyncio.to_thread(self._path.read_bytes)
        except OSError as error:
            self._last_content = None
            raise FlagsUnavailable(f"{self._path} cannot be read: {error.strerror}") from None
        if content == self._last_content:
            return None
        self._last_content = None  # until it has proven to make sense, so that the error is repeated
        try:
            flags = checked(orjson.loads(content.removeprefix(codecs.BOM_UTF8)))
        except orjson.JSONDecodeError as error:
            raise FlagsUnavailable(f"{self._path} is not JSON: {error}") from None
        except ValueError as error:
            raise FlagsUnavailable(f"{self._path}: {error}") from None
        self._last_content = content
        return flags

    async def close(self) -> None:
        """See the port: there is nothing to let go of."""


def checked(document: Any) -> dict[str, Any]:
    """The document itself when it holds a list of flags, whatever those are; else `ValueError` names the place."""
    _expect(document, dict, "the file")
    section = _expect(document.get("feature_management"), dict, "feature_management")
    _expect(section.get("feature_flags"), list, "feature_management.feature_flags")
    result: dict[str, Any] = document
    return result


_KINDS: dict[type, str] = {dict: "an object", list: "a list"}


def _expect(value: Any, kind: type, place: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{place} must be {_KINDS[kind]}")
    return value
