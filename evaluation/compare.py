"""Walks the test days once and records the results of every contestant, by protocol and request.

- Whole catalog, with and without the exploration slot, and the placebo: `learning/judge.py`, for the served page.
- Pool: the 500 videos in highest demand at the moment, after the filters. Relevant: the videos then watched long.
- Shown only: the log's exposures that pass the filters, grouped by user and day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learning import ranking_metrics as metrics
from learning.judge import Judge
from learning.replay import DAY, Replay, Visit
from learning.scoring import Contestant, Scorer
from ranking.diversity import metadata_similarity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_LIKENESS_EVERY = 10
"""Every tenth request is enough for the mean similarity inside lists."""


@dataclass
class Outcome:
    """Results of one contestant, by request."""

    ndcg: list[float] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)
    precision: list[float] = field(default_factory=list)
    likeness: list[float] = field(default_factory=list)
    exposure: Floats = field(default_factory=lambda: np.zeros(0))
    shown_scores: list[Floats] = field(default_factory=list)
    group_auc: Floats = field(default_factory=lambda: np.zeros(0))


@dataclass
class Comparison:
    """Outcomes by contestant, and request, user, day and history length of each entry."""

    outcomes: dict[str, Outcome]
    user: Ints
    day: Ints
    history: Ints
    group_user: Ints
    group_day: Ints
    group_size: Floats
    creators: Ints
    requests: int
    outside_pool: int
    judge: Judge


def compare(replay: Replay, visits: Iterator[Visit], contestants: Sequence[Contestant]) -> Comparison:
    """Rank every visit with every contestant. Consumes `visits`, which must have only the test days."""
    outcomes = {c.name: Outcome(exposure=np.zeros(len(replay.columns))) for c in contestants}
    about: list[tuple[int, int, int]] = []
    shown_about: list[tuple[int, int]] = []
    long: list[NDArray[np.bool_]] = []
    requests = outside = 0
    judge = Judge([contestant for contestant in contestants if contestant.as_served])
    for visit in visits:
        requests += 1
        judge.see(replay, visit)
        day = int(visit.now // DAY)
        if visit.unseen.any():
            _shown_only(replay, visit, contestants, outcomes)
            long.append(visit.long[visit.unseen])
            shown_about += [(visit.user, day)] * int(visit.unseen.sum())
        relevant = np.unique(visit.shown[visit.long])
        relevant = relevant[np.isin(relevant, visit.pool)]
        if not len(relevant):
            outside += bool(visit.long.any())
            continue
        scorer = Scorer(replay, visit, visit.pool)
        for contestant in contestants:
            _pool(replay, scorer, contestant, relevant, outcomes[contestant.name], len(about))
        about.append((visit.user, day, visit.history))
    user, day_of, history = np.array(about, np.int64).reshape(-1, 3).T
    groups = _groups(shown_about, long, outcomes)
    return Comparison(
        outcomes, user, day_of, history, *groups, replay.columns.creator.astype(np.int64), requests, outside, judge
    )


def _pool(
    replay: Replay, scorer: Scorer, contestant: Contestant, relevant: Ints, outcome: Outcome, number: int
) -> None:
    page = scorer.order(contestant)
    hits = np.isin(page, relevant)
    outcome.ndcg.append(metrics.ndcg(hits, len(relevant)))
    outcome.hits.append(metrics.hit_rate(hits))
    outcome.precision.append(metrics.average_precision(hits, len(relevant)))
    outcome.exposure[page] += 1
    if number % _LIKENESS_EVERY == 0 and len(page) > 1:
        like = metadata_similarity(replay.columns, page)
        outcome.likeness.append(float((like.sum() - np.trace(like)) / (len(page) * (len(page) - 1))))


def _shown_only(replay: Replay, visit: Visit, contestants: Sequence[Contestant], outcomes: dict[str, Outcome]) -> None:
    scorer = Scorer(replay, visit, visit.shown[visit.unseen])
    for contestant in contestants:
        outcomes[contestant.name].shown_scores.append(scorer.of(contestant))


def _groups(
    about: list[tuple[int, int]], long: list[NDArray[np.bool_]], outcomes: dict[str, Outcome]
) -> tuple[Ints, Ints, Floats]:
    """Return the AUC of each user's day that has both outcomes; with user, day and size of each such group."""
    if not about:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    pairs = np.array(about, np.int64)
    positive = np.concatenate(long)
    keys, place = np.unique(pairs, axis=0, return_inverse=True)
    place = place.reshape(-1)
    order = np.argsort(place, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(place))[:-1])
    mixed = [i for i, group in enumerate(members) if 0 < positive[group].sum() < len(group)]
    for outcome in outcomes.values():
        scores = np.concatenate(outcome.shown_scores)
        outcome.group_auc = np.array([metrics.auc(scores[members[i]], positive[members[i]]) for i in mixed])
        outcome.shown_scores.clear()
    sizes = np.array([len(members[i]) for i in mixed], np.float64)
    return keys[mixed, 0], keys[mixed, 1], sizes
