"""Batches whose later copy was counted while the first copy was still on its way. Pure.

A process that stalls for longer than a lock loses its message. Another process then publishes the batch with the flag
`again`. When the first process continues, it publishes its own copy without that flag. This list in the shard's
document recognizes such a copy without a read.
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
"""No process stalls for longer and then continues. After an outage the list is long, and each write carries it."""
KEEP_BATCHES = 4_000
"""Limit of kept names, newest first, at 12 bytes each: as many as one write takes."""
_ROW = np.dtype([("name", "<u8"), ("minute", "<u4")])


@dataclass(frozen=True, slots=True)
class OvertakenBatches:
    """The names of these batches with the minute they were counted, oldest first."""

    rows: NDArray[Any]

    @classmethod
    def from_json(cls, stored: Any) -> OvertakenBatches:
        """Read the list from the shard's document; empty if there is none or it cannot be read."""
        try:
            return cls(np.frombuffer(base64.b64decode(stored or "", validate=True), _ROW))
        except (TypeError, ValueError, binascii.Error):
            return cls(np.zeros(0, _ROW))

    def to_json(self) -> str:
        """Return the stored form: the inverse of `from_json`."""
        return base64.b64encode(self.rows.tobytes()).decode()

    def __len__(self) -> int:
        return len(self.rows)

    def names(self) -> frozenset[int]:
        """Return the names of all batches."""
        return frozenset(self.rows["name"].tolist())

    def with_names(self, names: Sequence[int], now: float) -> OvertakenBatches:
        """Return the list with more names and without those that are too old. `now` is in seconds since the epoch."""
        minute = max(0, int(now // 60))
        kept = self.rows[self.rows["minute"].astype(np.int64) > minute - KEEP_SECONDS // 60]
        added = np.array([(name, minute) for name in names], _ROW)
        return OvertakenBatches(np.concatenate([kept, added])[-KEEP_BATCHES:])
