"""Counts distinct viewers: exactly up to `MAX_EXACT`, then with a HyperLogLog. Pure.

HyperLogLog: Flajolet, Fusy, Gandouet, Meunier, AofA 2007, with 1,024 registers and a standard error of 3.3 %. Keys are
64 bits of a keyed hash, so they are already evenly distributed.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_EXACT = 5_000
_BITS = 10
_REGISTERS = 1 << _BITS
_ALPHA = 0.7213 / (1 + 1.079 / _REGISTERS)
_KEY_BYTES = 8


@dataclass
class ViewerSketch:
    """A set of keys; above `MAX_EXACT` keys it keeps only HyperLogLog `registers`."""

    keys: set[int] = field(default_factory=set)
    registers: bytearray | None = None

    def add(self, keys: Iterable[int]) -> None:
        """Add people. Adding the same ones again changes nothing."""
        if self.registers is None:
            self.keys.update(keys)
            if len(self.keys) <= MAX_EXACT:
                return
            self.registers, keys = bytearray(_REGISTERS), self.keys
            self.keys = set()
        for key in keys:
            place, rest = key & (_REGISTERS - 1), key >> _BITS
            rank = 64 - _BITS - rest.bit_length() + 1
            self.registers[place] = max(self.registers[place], rank)

    def merge(self, other: ViewerSketch) -> None:
        """Add everybody of another sketch."""
        if other.registers is None:
            self.add(other.keys)
            return
        if self.registers is None:
            mine, self.keys, self.registers = self.keys, set(), bytearray(_REGISTERS)
            self.add(mine)
        self.registers = bytearray(map(max, self.registers, other.registers))

    @property
    def approximate(self) -> bool:
        return self.registers is not None

    def count(self) -> int:
        """Return the number of people; an estimate if `approximate`."""
        if self.registers is None:
            return len(self.keys)
        estimate = _ALPHA * _REGISTERS**2 / math.fsum(2.0**-rank for rank in self.registers)
        empty = self.registers.count(0)
        if estimate <= 2.5 * _REGISTERS and empty:
            estimate = _REGISTERS * math.log(_REGISTERS / empty)
        return round(estimate)

    def to_json(self) -> dict[str, str]:
        """Return the stored shape."""
        if self.registers is not None:
            return {"registers": b64encode(self.registers).decode()}
        return {"keys": b64encode(b"".join(key.to_bytes(_KEY_BYTES, "little") for key in sorted(self.keys))).decode()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ViewerSketch:
        """Parse the stored shape."""
        if "registers" in stored:
            return cls(registers=bytearray(b64decode(stored["registers"])))
        raw = b64decode(stored["keys"])
        return cls({int.from_bytes(raw[at : at + _KEY_BYTES], "little") for at in range(0, len(raw), _KEY_BYTES)})
