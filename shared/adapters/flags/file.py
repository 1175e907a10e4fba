"""The embedded flag source: a JSON file in Microsoft's feature-flag schema, read again at every `load`.

Edit it while the app runs. A file that makes no sense changes nothing: the flags in force stay, and the error says
where it is wrong.
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
    """The document itself when it has the schema's shape; else `ValueError` names the first place that has not.

    Stricter than the library that evaluates it, which reads a misspelt switch as "off" or raises at evaluation:
    https://github.com/microsoft/FeatureManagement/blob/main/Schema/FeatureFlag.v2.0.0.schema.json
    """
    _expect(document, dict, "the file")
    section = _expect(document.get("feature_management"), dict, "feature_management")
    flags = _expect(section.get("feature_flags"), list, "feature_management.feature_flags")
    for index, flag in enumerate(flags):
        place = f"feature_flags[{index}]"
        _expect(flag, dict, place)
        if not _expect(flag.get("id"), str, f"{place}.id"):
            raise ValueError(f"{place}.id must not be empty")
        _expect(flag.get("enabled", False), bool, f"{place}.enabled")
        conditions = _expect(flag.get("conditions", {}), dict, f"{place}.conditions")
        if conditions.get("requirement_type", "Any") not in ("Any", "All"):
            raise ValueError(f'{place}.conditions.requirement_type must be "Any" or "All"')
        filters = _expect(conditions.get("client_filters", []), list, f"{place}.conditions.client_filters")
        for number, client_filter in enumerate(filters):
            inner = f"{place}.conditions.client_filters[{number}]"
            _expect(client_filter, dict, inner)
            _expect(client_filter.get("name"), str, f"{inner}.name")
            _expect(client_filter.get("parameters", {}), dict, f"{inner}.parameters")
    result: dict[str, Any] = document
    return result


_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


def _expect(value: Any, kind: type, place: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{place} must be {_KINDS[kind]}")
    return value
