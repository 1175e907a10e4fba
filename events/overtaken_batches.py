"""Batches that the statistics took in from a later copy, while the first one was still on its way. Pure.

A process that stands still for longer than a lock loses its message: another process hands the batch on, and says that
it comes `again`. Once the first process goes on, it hands on its own copy, which says nothing. Such a copy is known by
this list in the shard's document, so that it costs no read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.adapters.documents.port import DAY_SECONDS

KEEP_SECONDS = DAY_SECONDS
"""No process stands still for longer and goes on. After an outage the list is long, and each write carries it."""
KEEP_BATCHES = 4_000
"""The newest of them, at 12 bytes each: what one write takes in."""
_ROW = np.dtype([("name", "<u8"), ("minute", "<u4")])


@dataclass(frozen=True, slots=True)
class OvertakenBatches:
    """Their names with the minute they were taken in, oldest first."""

    rows: NDArray[Any]

    @classmethod
    def from_json(cls, stored: Any) -> OvertakenBatches:
        """Read from the shard's document; none where there are none, or they cannot be read."""
        try:
            return cls(np.frombuffer(base64.b64decode(stored or "", validate=True), _ROW))
        except (TypeError, ValueError, binascii.Error):
            return cls(np.zeros(0, _ROW))

    def to_json(self) -> str:
        """The inverse."""
        return base64.b64encode(self.rows.tobytes()).decode()

    def __len__(self) -> int:
        return len(self.rows)

    def names(self) -> frozenset[int]:
        """Of all of them."""
        return frozenset(self.rows["name"].tolist())

    def with_names(self, names: Sequence[int], now: float) -> OvertakenBatches:
        """The list with more of them, and without those that are too old. `now`: in seconds since the epoch."""
        minute = max(0, int(now // 60))
        kept = self.rows[self.rows["minute"].astype(np.int64) > minute - KEEP_SECONDS // 60]
        added = np.array([(name, minute) for name in names], _ROW)
        return OvertakenBatches(np.concatenate([kept, added])[-KEEP_BATCHES:])
