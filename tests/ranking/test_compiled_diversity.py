"""The compiled page selection equals the reference implementation, however few candidates are sorted."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import RankingOptions
from ranking.diversity import NONE, best_of, diversify
from tests.ranking import reference_diversity
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
    explored=st.none() | st.integers(0, 89),
    ties=st.booleans(),
)
def test_the_compiled_page_equals_the_reference_page(
    seed: int,
    count: int,
    limit: int,
    looked: int,
    categories: int,
    titles: int | None,
    caps: tuple[int, int],
    diversity: float,
    explored: int | None,
    ties: bool,
) -> None:
    draw = np.random.default_rng(seed)
    columns, _ = make_catalog(make_videos(count, seed, categories, titles), 0)
    rows, values = draw.permutation(columns.rows()), draw.normal(size=count)
    if ties:
        values = np.round(values, 1)
    order = np.lexsort((columns.key[rows], -values))
    ordered, scores = rows[order], values[order]
    served = tuple(draw.choice(count, size=min(count, 3), replace=False).tolist()) if count and seed % 2 else ()
    options = RankingOptions(NOW, limit, streak_cap=caps[0], creator_cap=caps[1], diversity=diversity, served=served)
    place = explored if explored is not None and explored < count else None
    best = best_of(columns, rows, values, looked)
    assert rows[best].tolist() == ordered[:looked].tolist()
    compiled = diversify(
        columns,
        rows,
        values,
        best,
        options,
        explored=NONE if place is None else int(order[place]),
        explored_place=min(4, limit - 1),
    )
    reference = reference_diversity.diversify(
        columns, ordered, scores, options, look=looked, explored=place, explored_place=min(4, limit - 1)
    )
    assert rows[compiled].tolist() == ordered[reference].tolist()
