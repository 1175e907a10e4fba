"""Shows the progress of a walk through a log, with the estimated time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from tqdm import tqdm

from learning.log import Log
from learning.replay import Visit


def with_progress(visits: Iterable[Visit], log: Log, until: float | None = None) -> Iterator[Visit]:
    """Yield the visits. On a terminal, a bar counts exposures before `until` (seconds since the epoch)."""
    times = log.exposures.time
    total = len(times) if until is None else int(np.searchsorted(times, until))
    with tqdm(total=total, unit=" exposures", smoothing=0.05, disable=None) as bar:
        for visit in visits:
            yield visit
            bar.update(len(visit.shown))
