"""From an order to a page: no long streaks of a category, no near-duplicate titles side by side.

Nothing is lost: what is passed over keeps its place in line, so it comes later on the page or on a later one. When
only such videos are left, they are served, for a short page would be the worse answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.columns import Rows, VideoColumns
from ranking.request import Context


def diversify(columns: VideoColumns, ordered: Rows, context: Context, *, complete: bool = True) -> NDArray[np.int64]:
    """Positions in `ordered` (rows from best to worst) of the page, at most `context.limit`.

    `complete` False means `ordered` is only the top of the candidates: stop at the first place that no video fills
    without breaking a rule, and return fewer, so that the caller looks further down.
    """
    categories, titles = columns.category[ordered].tolist(), columns.title[ordered].tolist()
    run = _Run(context.streak_cap, [int(columns.category[row]) for row in context.served])
    shown = {int(columns.title[row]) for row in context.served} - {0}
    waiting = list(range(len(ordered)))[::-1]
    passed_over: list[int] = []
    page: list[int] = []
    while len(page) < context.limit:
        chosen = _next(passed_over, waiting, categories, titles, run, shown)
        if chosen is None:
            if not complete or not passed_over:
                break
            chosen = _least_bad(passed_over, titles, shown)
        page.append(chosen)
        run.add(categories[chosen])
        if titles[chosen]:
            shown.add(titles[chosen])
    return np.array(page, np.int64)


class _Run:
    """The run of equal categories at the end of what was served. Videos without a category make no streak."""

    def __init__(self, cap: int, served: list[int]) -> None:
        self.cap, self.category, self.length = cap, -1, 0
        for category in served:
            self.add(category)

    def add(self, category: int) -> None:
        self.length = self.length + 1 if category == self.category else 1
        self.category = category

    def admits(self, category: int) -> bool:
        return not self.cap or category != self.category or category < 0 or self.length < self.cap


def _next(
    passed_over: list[int],
    waiting: list[int],
    categories: list[int],
    titles: list[int],
    run: _Run,
    shown: set[int],
) -> int | None:
    """The best position that breaks no rule, taken off its list; what is passed over on the way is remembered."""
    for at, position in enumerate(passed_over):
        if run.admits(categories[position]) and titles[position] not in shown:
            return passed_over.pop(at)
    while waiting:
        position = waiting.pop()
        if run.admits(categories[position]) and titles[position] not in shown:
            return position
        passed_over.append(position)
    return None


def _least_bad(passed_over: list[int], titles: list[int], shown: set[int]) -> int:
    """Rather a longer streak than a near-duplicate; rather a near-duplicate than nothing."""
    for at, position in enumerate(passed_over):
        if titles[position] not in shown:
            return passed_over.pop(at)
    return passed_over.pop(0)
