"""One request as the features see it: candidates, the user's signals, the hints; each vector computed at most once.

What the user is known by is looked up per code (some dozens of categories), then gathered onto the candidates, so the
cost hardly grows with the catalog.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.columns import NameSets, Rows, VideoColumns
from ranking.statscolumns import Column, StaticFeatures
from shared.signals import APPROVALS, SKIPS, TAG_FIELDS, VIEWS, WATCH_FRACTION, Signals

COLD_START_EVENTS = 3
"""With fewer events than this a user is new: the fallback serves better than a guess."""
AFFINITY_PRIOR = 5.0
"""Views that the tenant's base rate weighs against the user's own. Matters more than the half-life does."""
USUAL_DEMAND = 1.0
"""The log-ratio of demand that is neither mainstream nor niche: what is watched is more popular than what exists."""
RATE_PRIOR = 10.0
TASTE_PRIOR = 5.0
"""Long views that what is usual weighs against the user's own."""


_Ring = tuple[Rows, NDArray[np.float64]]
"""Rows, and how many hours ago each was."""


@dataclass(slots=True)  # not frozen, which is four times as dear to make
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
    zeros: Column = field(init=False)
    """What a feature answers that has nothing to say: this very array."""
    watched: Rows = field(init=False)
    """The rows of the user's last long views that the catalog still has, newest first."""

    def __post_init__(self) -> None:
        signals, table = self.signals, self.static.cowatch
        self.zeros = np.zeros(len(self.rows), np.float32)
        self._category, self._creator = self.columns.category[self.rows], self.columns.creator[self.rows]
        self._rings = self._known_of(signals)
        self.watched = self._rings[0][0]
        self._similar = None if table is None else table.similar_to(self.watched)
        self._decay = 1.0 if signals is None else signals.decay_to(self.context.now)
        self._lifts: tuple[Column, ...] = ()
        self._category_codes = self.rows[:0]
        self._recent: tuple[Column, Column, Column] | None = None

    # Affinity: what the user watched, against what the tenant's users watch ------------------------------------

    def category_affinity(self) -> Column:
        """Shrunk log-lift of the category's share of the user's attention over its share of the tenant's."""
        if self.signals is None:
            return self.zeros
        return _on(self._category, self._affinities()[0])

    def creator_affinity(self) -> Column:
        """The same for creators."""
        if self.signals is None:
            return self.zeros
        return _on(self._creator, self._affinities()[2])

    def tag_affinity(self) -> Column:
        """The mean over a video's tags."""
        if self.signals is None or not len(self.columns.tag_names):
            return self.zeros
        lift = self._affinities()[1]
        total = lift.take(self.columns.tags[:, 0][self.rows])
        for place in range(1, self.columns.tag_width):
            total += lift.take(self.columns.tags[:, place][self.rows])
        total *= self.columns.tag_share[self.rows]
        return total

    def _affinities(self) -> tuple[Column, ...]:
        """For categories, tags and creators: log((own + K·base) / ((all + K)·base)) per code, 0 in one more place.

        A code the user never touched gets log(K / (all + K)) whatever its base rate. The three are worked out as one,
        for with some dozens of codes it is the number of steps that costs.
        """
        if self._lifts or self.signals is None:
            return self._lifts
        signals, columns = self.signals, self.columns
        counters = (signals.categories, signals.tags, signals.creators)
        vocabularies = (columns.categories, columns.tag_names, columns.creators)
        codes: list[int] = []
        ends = [0]
        for counter, vocabulary in zip(counters, vocabularies, strict=True):
            codes += vocabulary.codes(counter.keys, ends[-1])
            ends.append(ends[-1] + len(vocabulary) + 1)
        places, count = np.array(codes, np.int64), len(signals.categories.keys)
        self._category_codes = places[:count]
        own = _attention(np.concatenate([counter.values[:, :TAG_FIELDS] for counter in counters]))
        over_categories = float(own[:count].sum()) * self._decay
        scale, prior = over_categories + AFFINITY_PRIOR, AFFINITY_PRIOR
        lift = np.empty(ends[-1], np.float32)
        lift.fill(math.log(prior / scale))
        lift[places] = np.log(own * (self._decay / scale) / self.static.demand[places] + prior / scale)
        lift[[end - 1 for end in ends[1:]]] = 0.0
        self._lifts = tuple(lift[start:end] for start, end in pairwise(ends))
        return self._lifts

    # Rates: how the user took what they were shown, against how others take it ---------------------------------

    def category_watch(self) -> Column:
        """log of the user's smoothed watched fraction in the category ÷ the tenant's."""
        return self._category_rate(WATCH_FRACTION, self.static.categories.watch)

    def category_skips(self) -> Column:
        """log of the user's smoothed skip rate in the category ÷ the tenant's."""
        return self._category_rate(SKIPS, self.static.categories.skip_rate)

    def _category_rate(self, positives: int, base: NDArray[np.float64]) -> Column:
        """log((positives + P·base) / ((tries + P)·base)) per category, on the candidates."""
        if self.signals is None or len(base) == 1:
            return self.zeros
        self._affinities()  # which looks the codes up
        values, codes = self.signals.categories.values, self._category_codes
        wins = np.maximum(values[:, positives], 0.0) * self._decay
        tries = np.maximum(values[:, VIEWS] * self._decay, wins)
        lift = np.zeros(len(base), np.float32)
        lift[codes] = np.log((wins / base[codes] + RATE_PRIOR) / (tries + RATE_PRIOR))
        lift[-1] = 0.0
        return _on(self._category, lift)

    # The newest events, before they weigh much in the decayed counters ------------------------------------------

    def recent_category(self) -> Column:
        """The portion of the newest long views that were of the candidate's category, half-life 12 h."""
        return _on(self._category, self._portions()[0])

    def recent_creator(self) -> Column:
        """The same for its creator, half-life 48 h."""
        return _on(self._creator, self._portions()[1])

    def recent_skips(self) -> Column:
        """The portion of the newest skips that were of the candidate's category, half-life 12 h."""
        return _on(self._category, self._portions()[2])

    def _portions(self) -> tuple[Column, Column, Column]:
        """For long views by category, long views by creator and skips by category: per code, its part of a ring whose
        entries fade with age. One full entry more than there are counts, so that a lone or an old one is only a hint.
        The last value, for code -1, is 0. The three are worked out as one, as the affinities are.
        """
        if self._recent is None:
            columns = self.columns
            (seen, seen_hours), (skipped, skipped_hours) = self._rings
            categories, creators = len(columns.categories) + 1, len(columns.creators) + 1
            # Code -1 comes first in each part.
            codes = np.concatenate(
                [
                    columns.category[seen] + 1,
                    columns.creator[seen] + (1 + categories),
                    columns.category[skipped] + (1 + categories + creators),
                ]
            )
            fresh = np.exp2(
                np.concatenate([seen_hours * (-1.0 / 12.0), seen_hours * (-1.0 / 48.0), skipped_hours * (-1.0 / 12.0)])
            )
            per_code = np.bincount(codes, fresh, 2 * categories + creators)
            views = len(seen)
            self._recent = (
                _portion(per_code[:categories], fresh[:views]),
                _portion(per_code[categories : categories + creators], fresh[views : 2 * views]),
                _portion(per_code[categories + creators :], fresh[2 * views :]),
            )
        return self._recent

    def _known_of(self, signals: Signals | None) -> tuple[_Ring, _Ring]:
        """The last long views and skips: the rows of those that the catalog still has, and how many hours ago."""
        if signals is None:
            nothing = (self.rows[:0], np.zeros(0))
            return nothing, nothing
        rings, views = (signals.watched, signals.skipped), len(signals.watched.keys)
        rows = self.columns.row_of_each(np.concatenate([ring.keys for ring in rings]))
        minutes = np.concatenate([ring.times for ring in rings])
        hours = np.maximum(self.context.now / 60.0 - minutes, 0.0) / 60.0
        if len(rows) and rows.min() < 0:
            known = rows >= 0
            views = int(known[:views].sum())
            rows, hours = rows[known], hours[known]
        return (rows[:views], hours[:views]), (rows[views:], hours[views:])

    def duration_match(self) -> Column:
        """−|log(duration ÷ the mean of the user's last long views)|, shrunk when these are few."""
        columns, log_duration = self.columns, self.static.values["duration"]
        watched = self.watched if self.static.timed else self.watched[columns.duration[self.watched] > 0]
        if not len(watched):
            return self.zeros
        usual = log_duration[watched].sum() / np.float32(len(watched))
        match: Column = np.abs(log_duration[self.rows] - usual)
        match *= np.float32(-len(watched) / (len(watched) + 5.0))
        if not self.static.timed:
            match[columns.duration[self.rows] <= 0] = 0.0
        return match

    def popularity_taste(self) -> Column:
        """The video's 7-day demand × how much more popular than the mean video the user's last long views are.

        Some come for what everybody watches and some for the rest; shrunk when the long views are few.
        """
        return self._taste("demand_7d", USUAL_DEMAND)

    def approval_taste(self) -> Column:
        """The video's approval × how much more approved of than the mean video the user's last long views are.

        Some come for what people like and share, some for what they only watch.
        """
        return self._taste("approval", self.static.mean("approval"))

    def _taste(self, name: str, usual: float) -> Column:
        """A static feature × its mean over the user's last n long views, less what is usual; shrunk by n / (n + 5)."""
        count = len(self.watched)
        if not count:
            return self.zeros
        values = self.static.values[name]
        apart = float(values[self.watched].sum()) / count - usual
        return values[self.rows] * np.float32(apart * count / (count + TASTE_PRIOR))

    @property
    def neighboured(self) -> bool:
        """Whether the co-watch table has something to say: it knows at least one of the user's last long views."""
        return self._similar is not None

    def cowatch(self) -> Column:
        """log(1 + 3 · similarity to the user's last long views, in units of a neighbour's mean similarity)."""
        if self._similar is None:
            return self.zeros
        similar: Column = np.log1p(self._similar[self.rows] * np.float32(3))
        return similar

    # Hints --------------------------------------------------------------------------------------------------------

    def language_match(self) -> Column:
        """1 for a video in the hinted language, −1 for one in another, 0 when either is unknown."""
        if not self.context.language:
            return self.zeros
        spoken = self.columns.language[self.rows]
        wanted = self.columns.languages.code(self.context.language.lower())
        return np.where(spoken < 0, 0, np.where(spoken == wanted, 1, -1)).astype(np.float32)

    def country_match(self) -> Column:
        """1 for a video whose list of countries names the hinted one."""
        if not self.context.country or not len(self.columns.country_sets):
            return self.zeros
        return self.columns.country_sets.having(self.context.country)[self._codes_on("country_set")].astype(np.float32)

    def age_band_match(self) -> Column:
        """1 for a video made for the hinted age band, −1 for one made for others, 0 when either is unknown."""
        return self._made_for(self.context.age_band, self.columns.age_band_sets, "age_band_set")

    def platform_match(self) -> Column:
        """The same for the platform."""
        return self._made_for(self.context.platform, self.columns.platform_sets, "platform_set")

    def _made_for(self, hint: str | None, sets: NameSets, column: str) -> Column:
        if not hint or not len(sets):
            return self.zeros
        match = np.where(sets.having(hint), np.float32(1), np.float32(-1))
        match[-1] = 0.0
        return match[self._codes_on(column)]

    def _codes_on(self, column: str) -> NDArray[np.int32]:
        codes: NDArray[np.int32] = getattr(self.columns, column)
        return codes[self.rows]


def _attention(values: NDArray[np.float32]) -> Column:
    """What an entry shows of interest: views that were not skipped, and approvals; never below zero.

    Predicts better than watched fractions, which say more about the video than about the user.
    """
    shown: Column = np.maximum(values[:, VIEWS] - values[:, SKIPS] + values[:, APPROVALS], np.float32(0))
    return shown


def _portion(per_code: NDArray[Any], fresh: NDArray[np.float64]) -> Column:
    """What each code has of a ring, from sums that begin with code -1, and what the ring's entries weigh."""
    portion = np.zeros(len(per_code), np.float32)
    portion[:-1] = per_code[1:] / (fresh.sum() + 1.0)
    return portion


def _on(codes: NDArray[np.int32], per_code: Column) -> Column:
    """Per-code values on the candidates; the last value answers for code -1."""
    return per_code.take(codes)
