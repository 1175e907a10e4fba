"""The page written plainly, one candidate after another: what the quick one in the ranking room must agree with.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): the next place goes to the video with the highest
score − `context.diversity` × (its similarity to the most similar video already on the page).

Nothing is lost: what is passed over keeps its place in line, so it comes later on the page or on a later one. When
only such videos are left they are served, for a short page would be the worse answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.columns import NO_CODE, Rows, VideoColumns
from ranking.diversity import Similarity, metadata_similarity
from ranking.user_features import RankingOptions


def diversify(
    columns: VideoColumns,
    ordered: Rows,
    scores: NDArray[np.float64],
    context: RankingOptions,
    *,
    look: int,
    similarity: Similarity = metadata_similarity,
    explored: int | None = None,
    explored_place: int = 0,
) -> NDArray[np.int64]:
    """Positions in `ordered` (rows from best to worst, with their `scores`) of the page, at most `context.limit`.

    Variety is sought among the best `look`; the rest is looked at only when a rule leaves none of these.
    `explored`: a position to put at `explored_place`, or at the first place after it where no rule forbids.
    """
    page = _Page(columns, ordered, context)
    if context.diversity > 0:
        page.likeness = similarity(columns, ordered[:look]).tolist()
    first = scores[:look].tolist()
    waiting = [position for position in range(len(first)) if position != explored]
    while len(page.positions) < context.limit:
        if explored is not None and len(page.positions) >= explored_place and page.admits(explored):
            page.add(explored)
            explored = None
            continue
        chosen = page.best(waiting, first)
        if chosen is None:
            chosen = page.look_further(len(first), explored)
        if chosen is None:
            break
        page.add(chosen)
        if chosen < len(first):
            waiting.remove(chosen)
    return np.array(page.positions, np.int64)


class _Page:
    """The page so far, and what its rules still admit."""

    def __init__(self, columns: VideoColumns, ordered: Rows, context: RankingOptions) -> None:
        self.positions: list[int] = []
        self.likeness: list[list[float]] = []
        self._context = context
        self._category, self._title = columns.category[ordered], columns.title[ordered]
        self._creator = columns.creator[ordered]
        self._streak, self._last = 0, NO_CODE
        self._titles = {int(columns.title[row]) for row in context.served} - {0}
        self._creators: dict[int, int] = {}
        self._compared: dict[int, tuple[int, float]] = {}
        for row in context.served:
            self._run(int(columns.category[row]))

    def admits(self, position: int) -> bool:
        """Whether no rule is against this video in the next place."""
        context = self._context
        category = int(self._category[position])
        if context.streak_cap and category == self._last and category >= 0 and self._streak >= context.streak_cap:
            return False
        if int(self._title[position]) in self._titles:
            return False
        creator = int(self._creator[position])
        return not context.creator_cap or creator < 0 or self._creators.get(creator, 0) < context.creator_cap

    def best(self, waiting: list[int], scores: list[float]) -> int | None:
        """The admitted position of the highest score − likeness. `waiting` is in falling order of score."""
        best, highest = None, 0.0
        for position in waiting:
            if best is not None and scores[position] <= highest:
                break
            if self.admits(position):
                value = scores[position] - self._context.diversity * self._likest(position)
                if best is None or value > highest:
                    best, highest = position, value
        return best

    def _likest(self, position: int) -> float:
        """The likeness to the most similar video on the page; compares only with what came since the last look."""
        if not self.likeness:
            return 0.0
        done, likest = self._compared.get(position, (0, 0.0))
        row = self.likeness[position]
        for other in self.positions[done:]:
            if other < len(row) and row[other] > likest:
                likest = row[other]
        self._compared[position] = (len(self.positions), likest)
        return likest

    def look_further(self, looked: int, explored: int | None) -> int | None:
        """The best position when none of the first ones is admitted: first by all rules, then by ever fewer of them.

        Rather many of a creator than a streak, rather a streak than a near-duplicate, rather that than nothing.
        """
        left = np.ones(len(self._title), np.bool_)
        left[self.positions] = False
        if explored is not None:
            left[explored] = False
        fresh = left & ~np.isin(self._title, np.fromiter(self._titles, np.uint32, len(self._titles)))
        capped = self._context.streak_cap and self._streak >= self._context.streak_cap and self._last >= 0
        varied = fresh & (self._category != self._last) if capped else fresh
        full = [creator for creator, count in self._creators.items() if count >= self._context.creator_cap]
        shared = varied & ~np.isin(self._creator, full) if self._context.creator_cap and full else varied
        for rule in (shared, varied, fresh, left):
            if rule.any():
                return int(rule.argmax())
        return None

    def add(self, position: int) -> None:
        self.positions.append(position)
        self._run(int(self._category[position]))
        title, creator = int(self._title[position]), int(self._creator[position])
        if title:
            self._titles.add(title)
        if creator >= 0:
            self._creators[creator] = self._creators.get(creator, 0) + 1

    def _run(self, category: int) -> None:
        """Count the run of equal categories at the end. Videos without a category make no streak."""
        self._streak = self._streak + 1 if category == self._last else 1
        self._last = category
