"""Reference implementation of the diversity of a page, one candidate at a time; the compiled one must agree with it.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): the next place goes to the video with the highest score
− `options.diversity` × (its similarity to the most similar video already on the page).

A skipped video stays a candidate, so it comes later on this page or on a later one. If only blocked videos are left,
they are served, because a short page is worse.
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
    options: RankingOptions,
    *,
    look: int,
    similarity: Similarity = metadata_similarity,
    explored: int | None = None,
    explored_place: int = 0,
) -> NDArray[np.int64]:
    """Select the page, as positions in `ordered` (rows from best to worst, with `scores`); at most `options.limit`.

    MMR applies to the best `look`; the other rows are searched only when rules block all of these. `explored`: the
    position to put at `explored_place`, or at the first place after it where no rule blocks it.
    """
    page = _Page(columns, ordered, options)
    if options.diversity > 0:
        page.similarities = similarity(columns, ordered[:look]).tolist()
    first = scores[:look].tolist()
    waiting = [position for position in range(len(first)) if position != explored]
    while len(page.positions) < options.limit:
        if explored is not None and len(page.positions) >= explored_place and page.allows(explored):
            page.add(explored)
            explored = None
            continue
        chosen = page.best(waiting, first)
        if chosen is None:
            chosen = page.search_all(len(first), explored)
        if chosen is None:
            break
        page.add(chosen)
        if chosen < len(first):
            waiting.remove(chosen)
    return np.array(page.positions, np.int64)


class _Page:
    """The page so far, and what its rules still allow."""

    def __init__(self, columns: VideoColumns, ordered: Rows, options: RankingOptions) -> None:
        self.positions: list[int] = []
        self.similarities: list[list[float]] = []
        self._options = options
        self._category, self._title = columns.category[ordered], columns.title[ordered]
        self._creator = columns.creator[ordered]
        self._streak, self._last = 0, NO_CODE
        self._titles = {int(columns.title[row]) for row in options.served} - {0}
        self._creators: dict[int, int] = {}
        self._compared: dict[int, tuple[int, float]] = {}
        for row in options.served:
            self._run(int(columns.category[row]))

    def allows(self, position: int) -> bool:
        """Whether no rule blocks this video at the next place."""
        options = self._options
        category = int(self._category[position])
        if options.streak_cap and category == self._last and category >= 0 and self._streak >= options.streak_cap:
            return False
        if int(self._title[position]) in self._titles:
            return False
        creator = int(self._creator[position])
        return not options.creator_cap or creator < 0 or self._creators.get(creator, 0) < options.creator_cap

    def best(self, waiting: list[int], scores: list[float]) -> int | None:
        """The allowed position of the highest score − similarity. `waiting` is in descending order of score."""
        best, highest = None, 0.0
        for position in waiting:
            if best is not None and scores[position] <= highest:
                break
            if self.allows(position):
                value = scores[position] - self._options.diversity * self._highest_similarity(position)
                if best is None or value > highest:
                    best, highest = position, value
        return best

    def _highest_similarity(self, position: int) -> float:
        """The similarity to the most similar video on the page; compares only with videos added since the last call."""
        if not self.similarities:
            return 0.0
        done, highest = self._compared.get(position, (0, 0.0))
        row = self.similarities[position]
        for other in self.positions[done:]:
            if other < len(row) and row[other] > highest:
                highest = row[other]
        self._compared[position] = (len(self.positions), highest)
        return highest

    def search_all(self, looked: int, explored: int | None) -> int | None:
        """The best position when rules block all of the best, by ever fewer rules.

        The creator cap is dropped first, then the streak cap, then the near-duplicate rule.
        """
        left = np.ones(len(self._title), np.bool_)
        left[self.positions] = False
        if explored is not None:
            left[explored] = False
        fresh = left & ~np.isin(self._title, np.fromiter(self._titles, np.uint32, len(self._titles)))
        capped = self._options.streak_cap and self._streak >= self._options.streak_cap and self._last >= 0
        varied = fresh & (self._category != self._last) if capped else fresh
        full = [creator for creator, count in self._creators.items() if count >= self._options.creator_cap]
        shared = varied & ~np.isin(self._creator, full) if self._options.creator_cap and full else varied
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
        """Count the run of equal categories at the end of the page. Videos without a category make no streak."""
        self._streak = self._streak + 1 if category == self._last else 1
        self._last = category
