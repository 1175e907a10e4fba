"""Judges rankings on the requests of a replay, over the whole catalog: no request with a long view is left out.

The measure is NDCG@20 of the page that would have been served; videos that the user then watched long are relevant. The
placebo measures the same for videos that were shown and *not* watched long, among the pool. A ranking that only
predicts what the old policy showed does well there. Outcomes of the exploration slot are judged separately, because
they were drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learning import ranking_metrics as metrics
from learning.explored import ExploredOutcomes
from learning.replay import DAY, Replay, Visit
from learning.scoring import Contestant, Scorer, served_page, served_scores

COMPARED_WITH = 200
"""Videos of the catalog, drawn for each request, among which an explored video is ranked."""
DEEPEST = 100
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Judged:
    """One protocol's NDCG@20 by contestant, with the user, day and length of history of each request."""

    ndcg: dict[str, list[float]]
    user: list[int] = field(default_factory=list)
    day: list[int] = field(default_factory=list)
    history: list[int] = field(default_factory=list)

    def of(self, name: str) -> Floats:
        """Return the values of one contestant."""
        return np.array(self.ndcg[name])


class Judge:
    """Judges visits one by one. `catalog`: the whole catalog; `with_slot`: the same with the exploration slot; `deep`:
    NDCG of the first 100 positions by score; `placebo` and `explored`: see the module."""

    def __init__(
        self, contestants: Sequence[Contestant], slot: bool = True, placebo: bool = True, deep: bool = False
    ) -> None:
        self.contestants = contestants
        self._slot, self._placebo, self._deep = slot, placebo, deep
        names = [contestant.name for contestant in contestants]
        self.catalog, self.with_slot, self.placebo, self.deep = (Judged({name: [] for name in names}) for _ in range(4))
        self.explored = ExploredOutcomes({name: [] for name in names})

    def see(self, replay: Replay, visit: Visit) -> None:
        """Rank a visit with every contestant."""
        relevant = np.unique(visit.shown[visit.long])
        if len(relevant):
            self._add(self.catalog, replay, visit, visit.kept, relevant, explore=False)
            if self._slot:
                self._add(self.with_slot, replay, visit, visit.kept, relevant, explore=True)
            if self._deep:
                self._add_deep(replay, visit, relevant)
        if self._placebo:
            shown = np.unique(visit.shown[~visit.long])
            shown = shown[np.isin(shown, visit.pool)]
            if len(shown):
                self._add(self.placebo, replay, visit, visit.pool, shown, explore=False)

        if (visit.unseen & (visit.propensity > 0)).any():
            self._add_explored(replay, visit)

    def _add_deep(self, replay: Replay, visit: Visit, relevant: Ints) -> None:
        wanted = np.flatnonzero(np.isin(visit.kept, relevant))
        for contestant in self.contestants:
            scores = served_scores(replay, visit, contestant, visit.kept)
            above = np.array([(scores > scores[at]).sum() + ((scores == scores[at]).sum() - 1) / 2.0 for at in wanted])
            self.deep.ndcg[contestant.name].append(metrics.ndcg_of_places(above, DEEPEST))
        self._about(self.deep, visit)

    def _add_explored(self, replay: Replay, visit: Visit) -> None:
        """Record where each contestant ranks the explored videos among some of the catalog."""
        places = np.flatnonzero(visit.unseen & (visit.propensity > 0))
        draw = np.random.default_rng([visit.user, int(visit.now)])
        others = draw.choice(visit.kept, min(COMPARED_WITH, len(visit.kept)), replace=False)
        scorer = Scorer(replay, visit, np.concatenate([visit.shown[places], others]))
        for contestant in self.contestants:
            scores = scorer.of(contestant)
            ours, theirs = scores[: len(places)], scores[len(places) :]
            below = (theirs < ours[:, None]).mean(axis=1) + (theirs == ours[:, None]).mean(axis=1) / 2.0
            self.explored.places[contestant.name] += below.tolist()
        self.explored.long += visit.long[places].tolist()
        self.explored.propensity += visit.propensity[places].tolist()
        self.explored.user += [visit.user] * len(places)

    def _add(self, judged: Judged, replay: Replay, visit: Visit, rows: Ints, relevant: Ints, explore: bool) -> None:
        for contestant in self.contestants:
            page = served_page(replay, visit, contestant, rows, explore)
            judged.ndcg[contestant.name].append(metrics.ndcg(np.isin(page, relevant), len(relevant)))
        self._about(judged, visit)

    def _about(self, judged: Judged, visit: Visit) -> None:
        judged.user.append(visit.user)
        judged.day.append(int(visit.now // DAY))
        judged.history.append(visit.history)
