"""User features: values per video that depend on one user's signals and on the hints of the request.

Each feature is a `Term` with a value per category, creator, tag or row; None if nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Codes, Integers, Singles
from ranking.columns import N, NameSets, VideoColumns
from ranking.followed import as_values, followed_categories, followed_creators
from ranking.static_features import Shares, StaticFeatures
from ranking.terms import DistanceColumn, LookupColumn, RowColumn, ScaledColumn, TagMeanColumn, Term
from ranking.user_affinities import affinities, mean_of, rate_lifts, recent_shares, rows_in_catalog, total_interest
from shared.domain.age_bands import AgeBand
from shared.domain.user_signals import SKIPS, WATCH_FRACTION, Signals, Timeline

COLD_START_EVENTS = 3
"""A user with fewer events is new and gets the fallback, which serves new users better than a guess."""
USUAL_DEMAND = 1.0
"""Usual mean of `demand_7d` (a log ratio) over a user's long views: watched videos are more popular than the mean."""
TASTE_PRIOR = 5.0
"""Long views that the usual value counts for beside the user's own."""
CATEGORY_HALF_LIFE_HOURS, CREATOR_HALF_LIFE_HOURS = 12.0, 48.0
"""Half-lives of the newest events in `recent_category`, `recent_skips` and `recent_creator`."""
LAST_LONG_VIEWS = 20
"""How many of the user's long views the taste features use. Next watch uses all that the signals keep."""


@dataclass(slots=True)  # not frozen: a frozen dataclass takes four times as long to construct
class RankingOptions:
    """Options of one ranking. None of them can restore a row that the filters removed.

    `now`: seconds since the epoch. `limit`: videos on the page. `streak_cap`: longest run of one category.
    `creator_cap`: most videos of one creator on a page. 0 turns either cap off. `diversity` (≥ 0, in units of the
    score): penalty for a video that is completely similar to one already on the page. `explore`: whether one position
    goes to a rarely shown video; equal `seed`s choose the same one. `served`: rows of the previous page, last one last,
    so streaks count across pages. The hints (`country` to `platform`) are None if the client sent none; `language` is a
    key (`shared/domain/languages.py`).
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
    age_band: AgeBand | None = None
    platform: str | None = None


def _long_views(signals: Signals) -> Timeline:
    """Return the user's long views, with times in minutes."""
    return Timeline(signals.watched.keys, signals.watched_minutes)


class UserFeatures:
    """Computes the user features of one ranking. `signals` is None for an unknown user."""

    def __init__(
        self, columns: VideoColumns, static: StaticFeatures, signals: Signals | None, options: RankingOptions
    ) -> None:
        self.columns, self.static, self.signals, self.options = columns, static, signals, options
        self._decay = 1.0 if signals is None else signals.decay_to(options.now)
        long_views, minutes = self._in_catalog(None if signals is None else _long_views(signals))
        self.watched, self._watched_minutes = long_views[:LAST_LONG_VIEWS], minutes[:LAST_LONG_VIEWS]
        """Rows of the user's last long views that the catalog still has, newest first, and the minute of each."""
        self._next_watch = None if static.next_watch is None else static.next_watch.log_odds(long_views)
        if signals is not None:
            self._category_codes = columns.categories.codes(signals.categories.keys)
            self._interest = total_interest(signals.categories.values) * self._decay

    # Affinity: the user's share of attention, compared with the tenant's -----------------------------------------

    def category_affinity(self) -> Term | None:
        """Return the shrunk log-lift of the category's share of the user's attention over the tenant's."""
        signals, columns = self.signals, self.columns
        if signals is None:
            return None
        values = signals.categories.values
        return LookupColumn(columns.category, self._affinities(values, self._category_codes, self.static.categories))

    def creator_affinity(self) -> Term | None:
        """Return `category_affinity` for creators."""
        signals, columns = self.signals, self.columns
        if signals is None:
            return None
        codes = columns.creators.codes(signals.creators.keys)
        return LookupColumn(columns.creator, self._affinities(signals.creators.values, codes, self.static.creators))

    def tag_affinity(self) -> Term | None:
        """Return `category_affinity` for tags: the mean over a video's tags."""
        signals, columns = self.signals, self.columns
        if signals is None or not len(columns.tag_names):
            return None
        codes = columns.tag_names.codes(signals.tags.keys)
        values = self._affinities(signals.tags.values, codes, self.static.tags)
        return TagMeanColumn(columns.tags, columns.tag_width, columns.tag_share, values)

    def _affinities(self, values: Singles, codes: Integers, base: Shares) -> Singles:
        return affinities(values, codes, base.demand, self._decay, self._interest)

    # Rates: the user's watched fraction and skip rate, compared with the tenant's -------------------------------

    def category_watch(self) -> Term | None:
        """Return log of the user's smoothed watched fraction in the category ÷ the tenant's."""
        return self._category_rate(WATCH_FRACTION, self.static.categories.watch)

    def category_skips(self) -> Term | None:
        """Return log of the user's smoothed skip rate in the category ÷ the tenant's."""
        return self._category_rate(SKIPS, self.static.categories.skip_rate)

    def _category_rate(self, positives: int, base: NDArray[np.float64]) -> Term | None:
        if self.signals is None:
            return None
        values = self.signals.categories.values
        lifts = rate_lifts(values, positives, self._category_codes, base, self._decay)
        return LookupColumn(self.columns.category, lifts)

    # Recency: the newest events, which the decayed counters hardly show yet -------------------------------------

    def recent_category(self) -> Term | None:
        """Return the share of the newest long views that are of the candidate's category, half-life 12 h."""
        columns = self.columns
        return self._recent_share(
            self.watched, self._watched_minutes, CATEGORY_HALF_LIFE_HOURS, columns.category, len(columns.categories)
        )

    def recent_creator(self) -> Term | None:
        """Return the share of the newest long views that are of the candidate's creator, half-life 48 h."""
        columns = self.columns
        return self._recent_share(
            self.watched, self._watched_minutes, CREATOR_HALF_LIFE_HOURS, columns.creator, len(columns.creators)
        )

    def recent_skips(self) -> Term | None:
        """Return the share of the newest skips that are of the candidate's category, half-life 12 h."""
        columns = self.columns
        rows, minutes = self._in_catalog(None if self.signals is None else self.signals.skipped)
        return self._recent_share(rows, minutes, CATEGORY_HALF_LIFE_HOURS, columns.category, len(columns.categories))

    def _recent_share(
        self, rows: Integers, minutes: Codes, half_life_hours: float, codes: Codes, size: int
    ) -> Term | None:
        if not len(rows):
            return None
        now_minute = self.options.now / 60.0
        return LookupColumn(codes, recent_shares(rows, minutes, now_minute, half_life_hours, codes, size))

    def _in_catalog(self, timeline: Timeline | None) -> tuple[Integers, Codes]:
        if timeline is None or not len(timeline.keys):
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        ascending, rows = self.columns.by_fingerprint()
        minutes = timeline.times.astype(np.int32, copy=False)
        return rows_in_catalog(timeline.keys, minutes, ascending, rows)

    def duration_match(self) -> Term | None:
        """Return −|log(duration ÷ mean duration of the user's last long views)|, shrunk when these are few."""
        columns, log_duration = self.columns, self.static.values["duration"]
        watched = self.watched[columns.duration[self.watched] > 0]
        if not len(watched):
            return None
        usual = mean_of(log_duration, watched)
        return DistanceColumn(log_duration, columns.duration, usual, len(watched) / (len(watched) + 5.0))

    def popularity_taste(self) -> Term | None:
        """Return the video's 7-day demand × how much more popular the user's last long views are than usual.

        Some users prefer what everybody watches, others the rest. Shrunk when the long views are few.
        """
        return self._taste("demand_7d", USUAL_DEMAND)

    def approval_taste(self) -> Term | None:
        """Return the video's approval × how much more approved the user's last long views are than the mean video.

        Some users prefer what people like and share, others what people only watch.
        """
        return self._taste("approval", self.static.mean("approval"))

    def _taste(self, name: str, usual: float) -> Term | None:
        """Return a static feature × (its mean over the user's last n long views − `usual`) × n / (n + 5)."""
        count = len(self.watched)
        if not count:
            return None
        values = self.static.values[name]
        factor = (mean_of(values, self.watched) - usual) * count / (count + TASTE_PRIOR)
        return ScaledColumn(values, factor)

    @property
    def has_next_watch(self) -> bool:
        """Whether the next-watch table knows at least one of the user's long views."""
        return self._next_watch is not None

    def next_watch(self) -> Term | None:
        """Return log(probability that the user watches the video long next ÷ an even share), predicted from their long
        views."""
        return None if self._next_watch is None else RowColumn(self._next_watch)

    # Following ----------------------------------------------------------------------------------------------------

    def follows_creator(self) -> Term | None:
        """Return 1 for a video whose creator the user follows."""
        if self.signals is None or not len(self.signals.follows.keys):
            return None
        columns = self.columns
        return LookupColumn(columns.creator, as_values(followed_creators(columns, self.signals.follows.keys)))

    def follows_category(self) -> Term | None:
        """Return 1 for a video whose category the user follows."""
        if self.signals is None or not len(self.signals.follows.keys):
            return None
        columns = self.columns
        return LookupColumn(columns.category, as_values(followed_categories(columns, self.signals.follows.keys)))

    # Hints --------------------------------------------------------------------------------------------------------

    def language_match(self) -> Term | None:
        """Return 1 for a video whose language matches the hinted one, −1 for another, 0 when either is unknown."""
        return self._audience_match(self.options.language, self.columns.languages, self.columns.language)

    def country_match(self) -> Term | None:
        """Return 1 for a video whose list of countries contains the hinted one."""
        sets = self.columns.country_sets
        if not self.options.country or not len(sets):
            return None
        return LookupColumn(self.columns.country_set, sets.having(self.options.country).astype(np.float32))

    def age_band_match(self) -> Term | None:
        """Return 1 for a video made for ages of the hinted band, −1 for one made for others, 0 if either is unknown."""
        return self._audience_match(self.options.age_band, self.columns.age_band_sets, self.columns.age_band_set)

    def platform_match(self) -> Term | None:
        """Return `age_band_match` for the platform."""
        return self._audience_match(self.options.platform, self.columns.platform_sets, self.columns.platform_set)

    def _audience_match(self, hint: N | None, sets: NameSets[N], codes: Codes) -> Term | None:
        if not hint or not len(sets):
            return None
        match = np.where(sets.having(hint), np.float32(1), np.float32(-1))
        match[-1] = 0.0
        return LookupColumn(codes, match)
