"""What Cosmos DB charges, in request units, by the size of a document.

The table is Microsoft's: learn.microsoft.com/azure/cosmos-db/understand-request-unit-consumption ("Document size";
reads with session or eventual consistency). Between its rows the charge is interpolated, below the first row it is the
first row's. Writes are for the default indexing policy; containers that index next to nothing are charged less, so
these figures are an upper bound. A transactional batch is charged as its operations.
"""

from __future__ import annotations

import numpy as np

_KB = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0)
_READ = (1.00, 1.04, 1.14, 1.33, 1.67, 2.19, 4.76, 9.95, 20.28, 40.95, 145.90, 291.80)
_WRITE = (4.95, 6.29, 6.67, 7.04, 9.52, 11.23, 22.67, 48.19, 98.29, 184.57, 625.00, 1250.00)


def read_units(size_bytes: int) -> float:
    """Request units of a point read; an item that is not there costs as one of 1 kB."""
    return float(np.interp(size_bytes / 1024, _KB, _READ))


def write_units(size_bytes: int) -> float:
    """Request units of creating, replacing or deleting an item."""
    return float(np.interp(size_bytes / 1024, _KB, _WRITE))
