"""One request as the features see it: candidates, the user's signals, the hints; each vector computed at most once.

What the user is known by is looked up per code (some dozens of categories), then gathered onto the candidates, so the
cost hardly grows with the catalog.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ranking.columns import Rows, VideoColumns, Vocabulary
from ranking.statscolumns import Column, Shares, StaticFeatures
from shared.signals import APPROVALS, SKIPS, VIEWS, WATCH_FRACTION, Counters, Signals, Timeline

COLD_START_EVENTS = 3
"""With fewer events than this a user is new: the fallback serves better than a guess."""
AFFINITY_PRIOR = 5.0
"""Views that the tenant's base rate weighs against the user's own. Matters more than the half-life does."""
USUAL_DEMAND = 1.0
"""The log-ratio of demand that is neither mainstream nor niche: what is watched is more popular than what exists."""
RATE_PRIOR = 10.0


@dataclass(frozen=True, slots=True)
class Context:
    """What a ranking is asked for. Nothing in here can bring back a row that the filters removed.

    `now`: seconds since the epoch. `limit`: videos on the page. `streak_cap`: longest run of one category;
    `creator_cap`: most videos of one creator on a page; 0 for no cap. `diversity` (≥ 0, in units of the score): what a
    video that is entirely like one already on the page loses. `explore`: whether one place goes to a video that few
    have seen, and `seed` what makes that choice differ between requests and agree within one. `served`: rows of the
    page before, last one last, so that streaks count across pages. Hints are None when the client gave none.
    """

    now: float
    limit: int = 20
    streak_cap: int = 2
    creator_cap: int = 3
    diversity: float = 0.1
    seed: int = 0
    explore: bool = False
    served: tuple[int, ...] = ()
    country: str | None = None
    language: str | None = None
    age_band: str | None = None
    platform: str | None = None


@dataclass(eq=False)
class Request:
    """The inputs of the user features. `signals` None stands for a user of whom nothing is known."""

    columns: VideoColumns
    static: StaticFeatures
    signals: Signals | None
    rows: Rows
    context: Context
    _zeros: Column = field(init=False)
    _codes: dict[int, tuple[NDArray[np.int64], NDArray[np.bool_]]] = field(default_factory=dict)
    _rings: dict[int, Rows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._zeros = np.zeros(len(self.rows), np.float32)

    @cached_property
    def category(self) -> NDArray[np.int32]:
        """The candidates' category codes."""
        return self.columns.category[self.rows]

    @cached_property
    def creator(self) -> NDArray[np.int32]:
        """The candidates' creator codes."""
        return self.columns.creator[self.rows]

    # Affinity: what the user watched, against what the tenant's users watch ------------------------------------

    def category_affinity(self) -> Column:
        """Shrunk log-lift of the category's share of the user's attention over its share of the tenant's."""
        if self.signals is None:
            return self._zeros
        columns = self.columns
        return _on(self.category, self._lift(self.signals.categories, columns.categories, self.static.categories))

    def creator_affinity(self) -> Column:
        """The same for creators."""
        if self.signals is None:
            return self._zeros
        columns = self.columns
        return _on(self.creator, self._lift(self.signals.creators, columns.creators, self.static.creators))

    def tag_affinity(self) -> Column:
        """The mean over a video's tags."""
        if self.signals is None or not len(self.columns.tag_names):
            return self._zeros
        lift = self._lift(self.signals.tags, self.columns.tag_names, self.static.tags)
        total = np.zeros(len(self.rows), np.float32)
        for place in range(self.columns.tag_width):
            total += lift[self.columns.tags[:, place][self.rows]]
        return (total / np.maximum(self.columns.tag_count[self.rows], np.float32(1))).astype(np.float32)

    @cached_property
    def _attention(self) -> float:
        """Σ of the user's attention over all categories, as of now."""
        assert self.signals is not None
        return float(_attention(self.signals.categories).sum()) * self._decay

    @cached_property
    def _decay(self) -> float:
        assert self.signals is not None
        return self.signals.decay_to(self.context.now)

    def _lift(self, counters: Counters, vocabulary: Vocabulary, shares: Shares) -> Column:
        """log((own + K·base) / ((all + K)·base)) per code, and 0 in one more place for code -1.

        A code the user never touched gets log(K / (all + K)) whatever its base rate.
        """
        total, prior = self._attention, AFFINITY_PRIOR
        lift = np.full(len(vocabulary) + 1, np.log(prior / (total + prior)), np.float32)
        lift[-1] = 0.0
        codes, known = self._known(counters, vocabulary)
        own = _attention(counters)[known] * self._decay
        base = shares.demand[codes]
        lift[codes] = np.log((own + prior * base) / ((total + prior) * base))
        return lift

    def _known(self, counters: Counters, vocabulary: Vocabulary) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The codes of the counters that the catalog has, and which counters these are."""
        found = self._codes.get(id(counters))
        if found is None:
            codes = vocabulary.codes(counters.keys)
            known = codes >= 0
            found = self._codes[id(counters)] = (codes[known], known)
        return found

    # Rates: how the user took what they were shown, against how others take it ---------------------------------

    def category_watch(self) -> Column:
        """log of the user's smoothed watched fraction in the category ÷ the tenant's."""
        return self._category_rate(WATCH_FRACTION, self.static.categories.watch)

    def category_skips(self) -> Column:
        """log of the user's smoothed skip rate in the category ÷ the tenant's."""
        return self._category_rate(SKIPS, self.static.categories.skip_rate)

    def _category_rate(self, positives: int, base: NDArray[np.float64]) -> Column:
        if self.signals is None:
            return self._zeros
        counters, vocabulary = self.signals.categories, self.columns.categories
        lift = np.zeros(len(vocabulary) + 1, np.float32)
        codes, known = self._known(counters, vocabulary)
        values = np.maximum(counters.values[known].astype(np.float64), 0.0) * self._decay
        tries = np.maximum(values[:, VIEWS], values[:, positives])
        expected = base[codes]
        lift[codes] = np.log((values[:, positives] + RATE_PRIOR * expected) / ((tries + RATE_PRIOR) * expected))
        return _on(self.category, lift)

    # The newest events, before they weigh much in the decayed counters ------------------------------------------

    def recent_category(self) -> Column:
        """The portion of the newest long views that were of the candidate's category, half-life 12 h."""
        columns = self.columns
        ring = self.signals.watched if self.signals else None
        return _on(self.category, self._portions(ring, columns.category, columns.categories, 12.0))

    def recent_creator(self) -> Column:
        """The same for its creator, half-life 48 h."""
        columns = self.columns
        ring = self.signals.watched if self.signals else None
        return _on(self.creator, self._portions(ring, columns.creator, columns.creators, 48.0))

    def recent_skips(self) -> Column:
        """The portion of the newest skips that were of the candidate's category, half-life 12 h."""
        columns = self.columns
        ring = self.signals.skipped if self.signals else None
        return _on(self.category, self._portions(ring, columns.category, columns.categories, 12.0))

    def _portions(
        self, ring: Timeline | None, codes: NDArray[np.int32], vocabulary: Vocabulary, half_life_hours: float
    ) -> Column:
        """Per code, its part of a ring whose entries fade with age; one full entry more than there are, so that a lone
        or an old one is only a hint. The last value, for code -1, is 0."""
        size = len(vocabulary)
        portion = np.zeros(size + 1, np.float32)
        if ring is None or not len(ring.keys) or not len(codes):
            return portion
        rows = self._rows_of(ring)
        age_hours = np.maximum(self.context.now / 60.0 - ring.times, 0.0) / 60.0
        fresh = np.where(rows >= 0, np.exp2(-age_hours / half_life_hours), 0.0)
        found = codes[rows]
        portion[:] = np.bincount(np.where((rows < 0) | (found < 0), size, found), fresh, size + 1) / (fresh.sum() + 1.0)
        portion[-1] = 0.0
        return portion

    @cached_property
    def watched(self) -> Rows:
        """The rows of the user's last long views that the catalog still has, newest first."""
        if self.signals is None:
            return self.rows[:0]
        rows = self._rows_of(self.signals.watched)
        return rows[rows >= 0]

    def _rows_of(self, ring: Timeline) -> Rows:
        """One row per entry of a ring, -1 where the catalog no longer has it."""
        found = self._rings.get(id(ring))
        if found is None:
            found = self._rings[id(ring)] = self.columns.row_of_each(ring.keys)
        return found

    def duration_match(self) -> Column:
        """−|log(duration ÷ the mean of the user's last long views)|, shrunk when these are few."""
        watched = self.columns.duration[self.watched]
        watched = watched[watched > 0]
        if not len(watched):
            return self._zeros
        usual = np.float32(np.log(watched).mean())
        duration = self.columns.duration[self.rows]
        distance = -np.abs(np.log(np.maximum(duration, np.float32(1))) - usual)
        trust = np.float32(len(watched) / (len(watched) + 5.0))
        return np.where(duration > 0, distance * trust, np.float32(0)).astype(np.float32)

    def popularity_taste(self) -> Column:
        """The video's 7-day demand × how much more popular than the mean video the user's last long views are.

        Some come for what everybody watches and some for the rest; shrunk when the long views are few.
        """
        if not len(self.watched):
            return self._zeros
        demand = self.static.values["demand_7d"]
        usual = float(demand[self.watched].mean()) - USUAL_DEMAND
        return demand[self.rows] * np.float32(usual * len(self.watched) / (len(self.watched) + 5.0))

    @property
    def neighboured(self) -> bool:
        """Whether the co-watch table has something to say: it knows at least one of the user's last long views."""
        return self._similar is not None

    @cached_property
    def _similar(self) -> Column | None:
        table = self.static.cowatch
        return None if table is None else table.similar_to(self.watched)

    def cowatch(self) -> Column:
        """log(1 + 3 · similarity to the user's last long views, in units of a neighbour's mean similarity)."""
        if self._similar is None:
            return self._zeros
        similar: Column = np.log1p(self._similar[self.rows] * np.float32(3))
        return similar

    # Hints --------------------------------------------------------------------------------------------------------

    def language_match(self) -> Column:
        """1 for a video in the hinted language, −1 for one in another, 0 when either is unknown."""
        if not self.context.language:
            return self._zeros
        spoken = self.columns.language[self.rows]
        wanted = self.columns.languages.code(self.context.language.lower())
        return np.where(spoken < 0, 0, np.where(spoken == wanted, 1, -1)).astype(np.float32)

    def country_match(self) -> Column:
        """1 for a video whose list of countries names the hinted one."""
        if not self.context.country:
            return self._zeros
        named = self.columns.allowed_in(self.context.country)[self.rows]
        return (named & (self.columns.country_set[self.rows] >= 0)).astype(np.float32)


def _attention(counters: Counters) -> NDArray[np.float64]:
    """What an entry shows of interest: views that were not skipped, and approvals; never below zero.

    Predicts better than watched fractions, which say more about the video than about the user.
    """
    values = counters.values.astype(np.float64)
    return np.maximum(values[:, VIEWS] - values[:, SKIPS] + values[:, APPROVALS], 0.0)


def _on(codes: NDArray[np.int32], per_code: Column) -> Column:
    """Per-code values on the candidates; the last value answers for code -1."""
    return per_code[codes]
