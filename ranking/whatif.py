"""Compares two configurations counterfactually: ranks logged requests under both and reports the differences.

Positions, exposure and maturity follow from the two slates alone. The users' reaction does not: only randomly shown
videos reveal it. The change in long views is therefore estimated from the log's exploration slots, weighted by their
propensities (self-normalized inverse propensity scoring; Swaminathan & Joachims, NIPS 2015). With too few of them no
estimate is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ranking.catalog_stats import CatalogStats
from ranking.columns import NO_CODE, Rows, VideoColumns, Vocabulary
from ranking.model import LinearModel
from ranking.rank import rank
from ranking.user_features import RankingOptions
from shared.domain.user_signals import Signals

ENOUGH = 100.0
"""Effective explored impressions that each configuration needs for an estimate."""
_DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class Explored:
    """Outcome of one exploration slot: the row shown, its propensity, and whether it was watched long."""

    row: int
    propensity: float
    long_view: bool


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """Logged request to rank again. `candidates`: rows the filters kept; `maturity`: the strongest rank allowed."""

    options: RankingOptions
    signals: Signals | None
    candidates: Rows
    maturity: int
    explored: Explored | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Ranking settings a tenant can change."""

    model: LinearModel
    streak_cap: int = 2
    creator_cap: int = 3
    diversity: float = 0.1

    def applied(self, options: RankingOptions) -> RankingOptions:
        """Return the request's options under this configuration, without the exploration slot, which adds noise."""
        return replace(
            options,
            streak_cap=self.streak_cap,
            creator_cap=self.creator_cap,
            diversity=self.diversity,
            explore=False,
        )


@dataclass(frozen=True, slots=True)
class LongViews:
    """Estimated long views per impression under each configuration, and the change with its 95 % interval."""

    current: float
    candidate: float
    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Result of the comparison.

    `moved`: mean number of positions by which a video on both pages moved; `replaced`: share of the candidate's
    positions whose video is not on the current page; `unchanged_pages`: share of equal pages; `maturity_violations`:
    videos above the request's limit. `categories`, `creators`: change in the share of all positions, largest first.
    `long_views` is None if the log has too few explored impressions; `effective_samples` is their effective number.
    """

    requests: int
    moved: float
    replaced: float
    unchanged_pages: float
    maturity_violations: int
    categories: list[tuple[str, float]]
    creators: list[tuple[str, float]]
    long_views: LongViews | None
    effective_samples: float


def what_if(
    columns: VideoColumns,
    stats: CatalogStats,
    requests: Sequence[LoggedRequest],
    current: Configuration,
    candidate: Configuration,
    seed: int = 0,
) -> WhatIf:
    """Rank every request under both configurations, with today's catalog and statistics, and compare the pages."""
    pages = [
        (_page(columns, stats, request, current), _page(columns, stats, request, candidate)) for request in requests
    ]
    moved: list[int] = []
    new = places = same = 0
    for before, after in pages:
        place = {row: at for at, row in enumerate(before)}
        moved += [abs(at - place[row]) for at, row in enumerate(after) if row in place]
        new += sum(row not in place for row in after)
        places += len(after)
        same += before == after
    violations = sum(
        int(columns.maturity[row] > request.maturity)
        for request, (_, after) in zip(requests, pages, strict=True)
        for row in after
    )
    long_views, samples = _long_views(requests, pages, seed)
    return WhatIf(
        requests=len(requests),
        moved=float(np.mean(moved)) if moved else 0.0,
        replaced=new / places if places else 0.0,
        unchanged_pages=same / len(requests) if requests else 1.0,
        maturity_violations=violations,
        categories=_shift(pages, columns.category, columns.categories),
        creators=_shift(pages, columns.creator, columns.creators),
        long_views=long_views,
        effective_samples=samples,
    )


Pages = list[tuple[list[int], list[int]]]


def _page(columns: VideoColumns, stats: CatalogStats, request: LoggedRequest, under: Configuration) -> list[int]:
    options = under.applied(request.options)
    rows: list[int] = rank(columns, stats, request.signals, request.candidates, under.model, options).rows.tolist()
    return rows


def _shift(pages: Pages, codes: NDArray[np.int32], vocabulary: Vocabulary, most: int = 20) -> list[tuple[str, float]]:
    """Compute the change of each code's share of all places, largest changes first."""
    shares = []
    for side in (0, 1):
        rows = [row for page in pages for row in page[side]]
        found = codes[np.array(rows, np.int64)]
        counts = np.bincount(found[found != NO_CODE], minlength=len(vocabulary)).astype(np.float64)
        shares.append(counts / max(1, len(rows)))
    change = shares[1] - shares[0]
    order = np.argsort(-np.abs(change), kind="stable")[:most]
    return [(vocabulary.texts[code], float(change[code])) for code in order if change[code]]


def _long_views(requests: Sequence[LoggedRequest], pages: Pages, seed: int) -> tuple[LongViews | None, float]:
    """Estimate long views under both configurations, with an interval from a paired bootstrap over requests.

    Also returns the smaller of the two effective sample sizes, (Σw)² / Σw².
    """
    explored = [
        (request.explored, request.explored.row in before, request.explored.row in after)
        for request, (before, after) in zip(requests, pages, strict=True)
        if request.explored is not None and request.explored.propensity > 0
    ]
    if not explored:
        return None, 0.0
    weight = np.array([1.0 / found.propensity for found, _, _ in explored])
    outcome = np.array([found.long_view for found, _, _ in explored], np.float64)
    sides = [weight * np.array([row[side] for row in explored], np.float64) for side in (1, 2)]
    samples = min(float(w.sum() ** 2 / (w @ w)) if w.any() else 0.0 for w in sides)
    if samples < ENOUGH:
        return None, samples
    draws = np.random.default_rng(seed).multinomial(len(weight), np.full(len(weight), 1 / len(weight)), _DRAWS)
    ones = np.ones((1, len(weight)))
    (current, currents), (candidate, candidates) = (
        (_rate(ones, w, outcome)[0], _rate(draws.astype(np.float64), w, outcome)) for w in sides
    )
    low, high = np.nanpercentile(candidates - currents, [2.5, 97.5])
    return LongViews(float(current), float(candidate), float(candidate - current), float(low), float(high)), samples


def _rate(draws: NDArray[np.float64], weight: NDArray[np.float64], outcome: NDArray[np.float64]) -> NDArray[np.float64]:
    below = draws @ weight
    rate = np.full(len(draws), np.nan)
    np.divide(draws @ (weight * outcome), below, out=rate, where=below > 0)
    return rate
