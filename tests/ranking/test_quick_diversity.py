"""The quick page is the page made plainly, one candidate after another, however little of the order was sorted."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import Context
from ranking.diversity import diversify
from tests.ranking import plain_diversity
from tests.ranking.catalogs import NOW, make_catalog, make_videos


class Revealed:
    """An order of which `step` more are known each time."""

    def __init__(self, rows: np.ndarray, scores: np.ndarray, known: int, step: int) -> None:
        self._all, self._step = (rows, scores), step
        self._know(known)

    def longer(self) -> bool:
        if len(self.rows) == len(self._all[0]):
            return False
        self._know(len(self.rows) + self._step)
        return True

    def _know(self, count: int) -> None:
        self.rows, self.scores = (each[:count] for each in self._all)


@settings(max_examples=300)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 90),
    limit=st.integers(1, 30),
    looked=st.integers(1, 60),
    categories=st.integers(1, 6),
    titles=st.none() | st.integers(1, 20),
    caps=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    diversity=st.sampled_from([0.0, 0.1, 2.0]),
    step=st.integers(1, 90),
    explored=st.none() | st.integers(0, 89),
    ties=st.booleans(),
)
def test_the_quick_page_is_the_plain_page(
    seed: int,
    count: int,
    limit: int,
    looked: int,
    categories: int,
    titles: int | None,
    caps: tuple[int, int],
    diversity: float,
    step: int,
    explored: int | None,
    ties: bool,
) -> None:
    draw = np.random.default_rng(seed)
    columns, _ = make_catalog(make_videos(count, seed, categories, titles), 0)
    ordered = draw.permutation(columns.rows())
    scores = -np.sort(-draw.normal(size=len(ordered)))
    if ties:
        scores = np.round(scores, 1)
    served = tuple(draw.choice(count, size=min(count, 3), replace=False).tolist()) if count and seed % 2 else ()
    context = Context(NOW, limit, streak_cap=caps[0], creator_cap=caps[1], diversity=diversity, served=served)
    wanted = {"look": looked, "explored_place": min(4, limit - 1)}
    place = explored if explored is not None and explored < count else None
    quick = diversify(
        columns,
        Revealed(ordered, scores, looked, step),
        context,
        explored=None if place is None else int(ordered[place]),
        **wanted,
    )
    plain = plain_diversity.diversify(columns, ordered, scores, context, explored=place, **wanted)
    assert quick.tolist() == ordered[plain].tolist()
