"""Ranks the videos similar to one video: first those its viewers also watched long, then those with the same subject.

Both kinds are neighbors of the video, not of the viewer, so no signals are needed. Two learned tables give the first
kind: the co-watch table (shared viewers) and the next-watch table (watched long after it). If they have nothing, as for
a new video, creator, category and tags give the second kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Codes, Doubles, Integers, Keys, Singles
from ranking.catalog_stats import CatalogStats
from ranking.columns import Rows, VideoColumns
from ranking.compiled import compiled
from ranking.diversity import best_of, bits_set, diversify
from ranking.model import LinearModel
from ranking.rank import Scores, Slate, score
from ranking.user_features import RankingOptions
from shared.domain.user_signals import Signals

NEXT_WATCHED = 50
"""Most neighbors that next watch gives for one video; as many as co-watch stores."""
_LOOK = 3
"""Candidates scored for the viewer, in multiples of the list's length."""


@dataclass(slots=True, eq=False)  # not frozen: a frozen dataclass takes four times as long to construct
class SimilarSlate:
    """The list, and for each position whether a learned table gave the video."""

    slate: Slate
    together: NDArray[np.bool_]


def similar(
    columns: VideoColumns,
    stats: CatalogStats,
    row: int,
    candidates: Rows,
    model: LinearModel,
    signals: Signals | None,
    options: RankingOptions,
    *,
    learned: bool = True,
    adjustment: Scores | None = None,
) -> SimilarSlate:
    """Rank the list for the video at `row`: at most `options.limit` of the candidates, never the video itself.

    `candidates` are the distinct rows that the filters kept. Those that are no neighbors are left out, so a list can be
    short. `model` and `signals` order each of the two kinds: the viewer's, or popularity and None. `learned` False:
    nothing is used that was learned from other viewers. `adjustment`, over all rows, is what rules add to the scores.
    """
    related, near, strength = neighbors(columns, stats, row, candidates, learned)
    if adjustment is not None:
        near = near + adjustment[related]
    quick = near + stats.static_score(model, options.now)[related]
    first = _best_of_both(columns, related, quick, strength, options.limit * _LOOK)
    rows, strength = related[first], strength[first]
    scores = near[first] + score(columns, stats, signals, rows, model, options)
    ordered = _learned_first(scores, strength, options.diversity)
    page = diversify(columns, rows, ordered, best_of(columns, rows, ordered, len(rows)), options)
    return SimilarSlate(Slate(rows[page], scores[page], np.ones(len(page)), model.version), strength[page] > 0.0)


def neighbors(
    columns: VideoColumns, stats: CatalogStats, row: int, candidates: Rows, learned: bool = True
) -> tuple[Rows, Scores, Scores]:
    """Return the candidates that are neighbors of the video, the nearness of each, and the learned part of it.

    Nearness is 0.5 for the same creator + 0.3 for the same category + 0.2 × the Jaccard similarity of the tags, as in
    `diversity.metadata_similarity`, + the learned part. That is log(probability of being watched long next ÷ an even
    share) for the `NEXT_WATCHED` likeliest, if above 0, + log(1 + co-watch similarity ÷ the mean neighbor's).
    """
    one, nothing = np.array([row], np.int64), np.zeros(len(columns), np.float32)
    odds = stats.next_watch.log_odds(one) if learned and stats.next_watch is not None else None
    shared = stats.cowatch.similar_to(one) if learned and stats.cowatch is not None else None
    likely = nothing
    if odds is not None:
        best = candidates[best_of(columns, candidates, odds[candidates].astype(np.float64), NEXT_WATCHED)]
        likely = nothing.copy()
        likely[best] = np.maximum(odds[best], np.float32(0))
    with_shared = nothing if shared is None else shared
    return _neighbors(row, candidates, columns.creator, columns.category, columns.tag_bits, likely, with_shared)


def _best_of_both(columns: VideoColumns, rows: Rows, scores: Scores, strength: Scores, count: int) -> Integers:
    """Return the positions of the best `count`: learned neighbors, then others if there are too few."""
    places = []
    for kind in (np.flatnonzero(strength > 0.0), np.flatnonzero(strength <= 0.0)):
        places.append(kind[best_of(columns, rows[kind], scores[kind], count)])
        count -= len(places[-1])
    return np.concatenate(places)


def _learned_first(scores: Scores, strength: Scores, penalty: float) -> Scores:
    """Return the scores, with learned neighbors raised above all others by more than the largest diversity penalty.

    Learned neighbors must come first, as in the result of `_best_of_both`.
    """
    count = int(np.count_nonzero(strength))
    if count in (0, len(scores)):
        return scores
    raised = scores.copy()
    raised[:count] += max(0.0, float(scores[count:].max() - scores[:count].min())) + penalty + 1.0
    return raised


@compiled
def _neighbors(
    row: int, candidates: Integers, creator: Codes, category: Codes, tag_bits: Keys, likely: Singles, shared: Singles
) -> tuple[Integers, Doubles, Doubles]:
    related = np.empty(len(candidates), np.int64)
    near, strength = np.empty(len(candidates)), np.empty(len(candidates))
    tags, count = bits_set(tag_bits[row]), 0
    for other in candidates:
        if other == row:
            continue
        subject = 0.5 if creator[row] >= 0 and creator[row] == creator[other] else 0.0
        if category[row] >= 0 and category[row] == category[other]:
            subject += 0.3
        both = bits_set(tag_bits[row] & tag_bits[other])
        if both:
            subject += both / (tags + bits_set(tag_bits[other]) - both) * 0.2
        learned = likely[other] + math.log1p(shared[other])
        if subject + learned > 0.0:
            related[count], near[count], strength[count] = other, subject + learned, learned
            count += 1
    return related[:count].copy(), near[:count].copy(), strength[:count].copy()
