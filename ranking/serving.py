"""The serving policy over a few rows, as machine code: twenty rows are too few for array operations to be
worthwhile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Bools, Doubles, Integers, Ranks
from ranking.compiled import compiled


@compiled
def allowed_rows(
    rows: Integers, active: Bools, published_at: Doubles, expires_at: Doubles, maturity: Ranks, now: float, most: int
) -> NDArray[np.bool_]:
    """Return for each of `rows` whether it is active, on air at `now`, and of a maturity rank of at most `most`."""
    allowed = np.zeros(len(rows), np.bool_)
    for i in range(len(rows)):
        row = rows[i]
        on_air = published_at[row] <= now < expires_at[row]
        allowed[i] = active[row] and on_air and maturity[row] <= most
    return allowed
