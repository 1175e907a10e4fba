"""Judges rankings on the requests of a replay, over the whole catalog: no request with a long view is dropped.

NDCG@20 of what would have been served, where relevant is what the user then watched long. The placebo asks the same of
what was shown and *not* watched long, in the pool: a ranking that only guesses what the old policy showed does well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learning import ranking_metrics as metrics
from learning.replay import DAY, Replay, Visit
from learning.scoring import Contestant, served_page

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Judged:
    """One protocol's NDCG@20 by contestant; user, day and length of history of each request."""

    ndcg: dict[str, list[float]]
    user: list[int] = field(default_factory=list)
    day: list[int] = field(default_factory=list)
    history: list[int] = field(default_factory=list)

    def of(self, name: str) -> Floats:
        """The values of one contestant."""
        return np.array(self.ndcg[name])


class Judge:
    """Takes visits one by one. `catalog`: the whole catalog; `with_slot`: the same with the exploration slot;
    `placebo`: see above."""

    def __init__(self, contestants: Sequence[Contestant], slot: bool = True, placebo: bool = True) -> None:
        self.contestants = contestants
        self._slot, self._placebo = slot, placebo
        names = [contestant.name for contestant in contestants]
        self.catalog, self.with_slot, self.placebo = (Judged({name: [] for name in names}) for _ in range(3))

    def see(self, replay: Replay, visit: Visit) -> None:
        """Let every contestant rank a visit."""
        relevant = np.unique(visit.shown[visit.long])
        if len(relevant):
            self._add(self.catalog, replay, visit, visit.kept, relevant, explore=False)
            if self._slot:
                self._add(self.with_slot, replay, visit, visit.kept, relevant, explore=True)
        if self._placebo:
            shown = np.unique(visit.shown[~visit.long])
            shown = shown[np.isin(shown, visit.pool)]
            if len(shown):
                self._add(self.placebo, replay, visit, visit.pool, shown, explore=False)

    def _add(self, judged: Judged, replay: Replay, visit: Visit, rows: Ints, relevant: Ints, explore: bool) -> None:
        for contestant in self.contestants:
            page = served_page(replay, visit, contestant, rows, explore)
            judged.ndcg[contestant.name].append(metrics.ndcg(np.isin(page, relevant), len(relevant)))
        judged.user.append(visit.user)
        judged.day.append(int(visit.now // DAY))
        judged.history.append(visit.history)
