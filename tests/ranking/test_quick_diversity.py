"""The page made with arrays is the page made plainly, one candidate after another."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import Context
from ranking.diversity import diversify
from tests.ranking import plain_diversity
from tests.ranking.catalogs import NOW, make_catalog, make_videos


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
    complete=st.booleans(),
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
    complete: bool,
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
    wanted = {
        "look": looked,
        "complete": complete,
        "explored": explored if explored is not None and explored < count else None,
        "explored_place": min(4, limit - 1),
    }
    quick = diversify(columns, ordered, scores, context, **wanted)
    plain = plain_diversity.diversify(columns, ordered, scores, context, **wanted)
    assert (quick is None) == (plain is None)
    if quick is not None and plain is not None:
        assert quick.tolist() == plain.tolist()
