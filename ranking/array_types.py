"""Types of the arrays that compiled functions take, as annotations; `ranking/just_in_time.py` makes signatures of them.

Arrays are read-only unless their type is `Written…`; vectors are contiguous.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

WRITTEN = "written"
Keys = NDArray[np.uint64]
Fingerprints = NDArray[np.uint32]
Codes = NDArray[np.int32]
Ranks = NDArray[np.int8]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]
SinglesTable = Annotated[NDArray[np.float32], 2]
DoublesTable = Annotated[NDArray[np.float64], 2]
CodesTable = Annotated[NDArray[np.int32], 2]
WrittenSingles = Annotated[NDArray[np.float32], WRITTEN]
WrittenDoubles = Annotated[NDArray[np.float64], WRITTEN]
WrittenBytes = Annotated[NDArray[np.uint8], WRITTEN]
