"""State that a tenant's learning keeps between two nights: one immutable file with a checksum. Pure.

    4 bytes   magic and version
    4 bytes   CRC-32 of all that follows
    4 bytes   length of the JSON that follows
    …         JSON with names and numbers, then the columns as a compressed NumPy archive

It contains no user names: a user is 63 bits of a hash of the archive's pseudonym. The long views and exposures of an
erased user are removed on the next night. Choices and evidence are sums and features that identify nobody.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from learning.evidence import Evidence
from learning.gate import Decision
from learning.learner import Memory, Night
from learning.ranking_metrics import Interval
from learning.rolling import LongViews
from learning.sample_lines import Shown
from learning.samples import Samples
from ranking.model import InvalidModel, LinearModel, parse

_MAGIC = b"LNS1"
_HEADER = struct.Struct("<4sII")
MODEL_NOT_KEPT = Decision(False, "of an earlier night", Interval(0.0, -np.inf, np.inf), 0)
_HALF = ("features",)
"""Columns stored in two bytes per value: features are small numbers, and most of the file."""


class UnreadableState(ValueError):
    """The bytes are no state of this version; the tenant's learning starts again."""


@dataclass(frozen=True, eq=False)
class NightState:
    """`night`: UTC date of the last learned day. `views`: the newest long views of each user. `window`: exposures of
    the last days. `merged`: sample files that were read, by their day. `erased`: erased users who were removed, with
    the time of their erasure, while its notice exists."""

    night: str
    views: LongViews = field(default_factory=LongViews)
    window: Shown = field(default_factory=Shown)
    memory: Memory = field(default_factory=Memory)
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    erased: Mapping[int, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the file. The same state gives the same bytes."""
        columns: dict[str, NDArray[Any]] = {}
        for prefix, part in (("views", self.views), ("window", self.window)):
            columns |= {f"{prefix}.{each.name}": getattr(part, each.name) for each in fields(part)}
        for number, day in enumerate(self.memory.days):
            columns |= {f"day{number}.{name}": value for name, value in _columns_of(day).items()}
        for name, told in self._evidence():
            columns |= {f"{name}{number}": each.resampled for number, each in enumerate(told)}
        meta = {
            "night": self.night,
            "names": [list(day.names) for day in self.memory.days],
            **{name: [[each.requests, each.ours, each.theirs] for each in told] for name, told in self._evidence()},
            "models": _models_of(self.memory.night),
            "merged": {day: list(names) for day, names in sorted(self.merged.items())},
            "erased": {str(user): at for user, at in sorted(self.erased.items())},
        }
        words = orjson.dumps(meta)
        body = words + _packed(columns)
        return _HEADER.pack(_MAGIC, zlib.crc32(body), len(words)) + body

    def _evidence(self) -> list[tuple[str, tuple[Evidence, ...]]]:
        return [("evidence", self.memory.evidence), ("deep", self.memory.deep)]

    @classmethod
    def from_bytes(cls, raw: bytes) -> NightState:
        """Read the file. Raises `UnreadableState`, also for damaged bytes."""
        if len(raw) < _HEADER.size:
            raise UnreadableState("The file is shorter than its header.")
        magic, crc, length = _HEADER.unpack_from(raw)
        body = raw[_HEADER.size :]
        if magic != _MAGIC or zlib.crc32(body) != crc:
            raise UnreadableState("The file is of another version, or its checksum does not match.")
        try:
            meta = orjson.loads(body[:length])
            with np.load(io.BytesIO(body[length:]), allow_pickle=False) as read:
                columns = {name: read[name] for name in read.files}
            days = tuple(
                _samples_of(columns, f"day{number}.", tuple(names)) for number, names in enumerate(meta["names"])
            )
            evidence, deep = (
                tuple(
                    Evidence(int(told[0]), float(told[1]), float(told[2]), columns[f"{name}{number}"])
                    for number, told in enumerate(meta[name])
                )
                for name in ("evidence", "deep")
            )
            return cls(
                str(meta["night"]),
                LongViews(**_part(columns, "views.")),
                Shown(**_part(columns, "window.")),
                Memory(days, evidence, deep, _night_of(meta["models"])),
                {day: tuple(names) for day, names in meta["merged"].items()},
                {int(user): float(at) for user, at in meta["erased"].items()},
            )
        except (KeyError, IndexError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UnreadableState("The file lacks a part that this version needs.") from error


def _columns_of(day: Samples) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {}
    for each in fields(Samples):
        value = getattr(day, each.name)
        if isinstance(value, np.ndarray):
            columns[each.name] = value.astype(np.float16) if each.name in _HALF else value
    return columns


def _samples_of(columns: Mapping[str, NDArray[Any]], prefix: str, names: tuple[str, ...]) -> Samples:
    part: dict[str, Any] = _part(columns, prefix)
    part |= {name: part[name].astype(np.float32) for name in _HALF}
    return Samples(**part, names=names)


def _part(columns: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in columns.items() if name.startswith(prefix)}


def _models_of(night: Night | None) -> dict[str, Any] | None:
    if night is None:
        return None
    return {
        "day": night.day,
        "popularity": night.popularity.to_document(),
        "personal": night.personal.to_document(),
        "admitted": night.decision.personal,
    }


def _night_of(stored: Mapping[str, Any] | None) -> Night | None:
    """Return the models of a night, for the next day to judge; None if one has a feature that is no longer known."""
    if stored is None:
        return None
    try:
        models: list[LinearModel] = [parse(stored[name]) for name in ("popularity", "personal")]
    except InvalidModel:
        return None
    decision = replace(MODEL_NOT_KEPT, personal=bool(stored["admitted"]))
    return Night(int(stored["day"]), models[0], models[1], decision, 0)


def _packed(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Return columns in a format that `np.load` reads. Not written with NumPy, which stores the current time in its
    archives."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, column in columns.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(column), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue(), compresslevel=1)
    return out.getvalue()
