"""The embedded flag source: a JSON file in Microsoft's feature-flag schema, read again at every `load`.

The file can be edited while the app runs. A file without a list of flags changes nothing: the flags in force stay, and
the error names the place of the fault. One odd flag in the list affects no other (`definition.py`).
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
        """See the port. Compares the content, not the file's time, so a coarse clock cannot hide an edit."""
        try:
            content = await asyncio.to_thread(self._path.read_bytes)
        except OSError as error:
            self._last_content = None
            raise FlagsUnavailable(f"{self._path} cannot be read: {error.strerror}") from None
        if content == self._last_content:
            return None
        self._last_content = None  # set after the content proved valid, so that an error is repeated
        try:
            flags = checked(orjson.loads(content.removeprefix(codecs.BOM_UTF8)))
        except orjson.JSONDecodeError as error:
            raise FlagsUnavailable(f"{self._path} is not JSON: {error}") from None
        except ValueError as error:
            raise FlagsUnavailable(f"{self._path}: {error}") from None
        self._last_content = content
        return flags

    async def close(self) -> None:
        """See the port. Does nothing."""


def checked(document: Any) -> dict[str, Any]:
    """Return the document if it has a list of flags, valid or not. Raises `ValueError` with the place of the fault."""
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
