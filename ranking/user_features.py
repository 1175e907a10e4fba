"""One request as the features see it: the user's signals against a catalog, and the hints; each part worked out once.

A feature is a `Term`: a value per category, creator, tag or row. None where there is nothing to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking import user_affinities
from ranking.catalog_stats import Shares, StaticFeatures
from ranking.columns import NameSets, VideoColumns
from ranking.compiled import Codes, Integers, Singles
from ranking.terms import DistanceColumn, LogColumn, LookupColumn, ScaledColumn, TagMeanColumn, Term
from shared.domain.user_signals import SKIPS, WATCH_FRACTION, Signals, Timeline

COLD_START_EVENTS = 3
"""With fewer events than this a user is new: the fallback serves better than a guess."""
USUAL_DEMAND = 1.0
"""The log-ratio of demand that is neither mainstream nor niche: what is watched is more popular than what exists."""
TASTE_PRIOR = 5.0
"""Long views that what is usual weighs against the user's own."""
CATEGORY_FADES_HOURS, CREATOR_FADES_HOURS = 12.0, 48.0
"""Half-lives of the newest events in the portions of what was watched or skipped last."""
COWATCH_FACTOR = 3.0


@dataclass(slots=True)  # not frozen, which is four times as dear to make
class RankingOptions:
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


class UserFeatures:
    """The inputs of the user features. `signals` None stands for a user of whom nothing is user_affinities."""

    def __init__(
        self, columns: VideoColumns, static: StaticFeatures, signals: Signals | None, context: RankingOptions
    ) -> None:
        self.columns, self.static, self.signals, self.context = columns, static, signals, context
        self._decay = 1.0 if signals is None else signals.decay_to(context.now)
        self.watched, self._watched_minutes = self._present(None if signals is None else signals.watched)
        """The rows of the user's last long views that the catalog still has, newest first, and the minute of each."""
        self._similar = None if static.cowatch is None else static.cowatch.similar_to(self.watched)
        if signals is not None:
            self._category_codes = columns.categories.codes(signals.categories.keys)
            self._interest = user_affinities.interest(signals.categories.values) * self._decay

    # Affinity: what the user watched, against what the tenant's users watch ------------------------------------

    def category_affinity(self) -> Term | None:
        """Shrunk log-lift of the category's share of the user's attention over its share of the tenant's."""
        signals, columns = self.signals, self.columns
        if signals is None:
            return None
        values = signals.categories.values
        return LookupColumn(columns.category, self._affinities(values, self._category_codes, self.static.categories))

    def creator_affinity(self) -> Term | None:
        """The same for creators."""
        signals, columns = self.signals, self.columns
        if signals is None:
            return None
        codes = columns.creators.codes(signals.creators.keys)
        return LookupColumn(columns.creator, self._affinities(signals.creators.values, codes, self.static.creators))

    def tag_affinity(self) -> Term | None:
        """The mean over a video's tags."""
        signals, columns = self.signals, self.columns
        if signals is None or not len(columns.tag_names):
            return None
        codes = columns.tag_names.codes(signals.tags.keys)
        values = self._affinities(signals.tags.values, codes, self.static.tags)
        return TagMeanColumn(columns.tags, columns.tag_width, columns.tag_share, values)

    def _affinities(self, values: Singles, codes: Integers, base: Shares) -> Singles:
        return user_affinities.affinities(values, codes, base.demand, self._decay, self._interest)

    # Rates: how the user took what they were shown, against how others take it ---------------------------------

    def category_watch(self) -> Term | None:
        """log of the user's smoothed watched fraction in the category ÷ the tenant's."""
        return self._category_rate(WATCH_FRACTION, self.static.categories.watch)

    def category_skips(self) -> Term | None:
        """log of the user's smoothed skip rate in the category ÷ the tenant's."""
        return self._category_rate(SKIPS, self.static.categories.skip_rate)

    def _category_rate(self, positives: int, base: NDArray[np.float64]) -> Term | None:
        if self.signals is None:
            return None
        values = self.signals.categories.values
        return LookupColumn(
            self.columns.category, user_affinities.rates(values, positives, self._category_codes, base, self._decay)
        )

    # The newest events, before they weigh much in the decayed counters ------------------------------------------

    def recent_category(self) -> Term | None:
        """The portion of the newest long views that were of the candidate's category, half-life 12 h."""
        columns = self.columns
        return self._portion(
            self.watched, self._watched_minutes, CATEGORY_FADES_HOURS, columns.category, len(columns.categories)
        )

    def recent_creator(self) -> Term | None:
        """The same for its creator, half-life 48 h."""
        columns = self.columns
        return self._portion(
            self.watched, self._watched_minutes, CREATOR_FADES_HOURS, columns.creator, len(columns.creators)
        )

    def recent_skips(self) -> Term | None:
        """The portion of the newest skips that were of the candidate's category, half-life 12 h."""
        columns = self.columns
        rows, minutes = self._present(None if self.signals is None else self.signals.skipped)
        return self._portion(rows, minutes, CATEGORY_FADES_HOURS, columns.category, len(columns.categories))

    def _portion(self, rows: Integers, minutes: Codes, half_life_hours: float, codes: Codes, size: int) -> Term | None:
        if not len(rows):
            return None
        return LookupColumn(
            codes, user_affinities.portions(rows, minutes, self.context.now / 60.0, half_life_hours, codes, size)
        )

    def _present(self, ring: Timeline | None) -> tuple[Integers, Codes]:
        if ring is None or not len(ring.keys):
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        ascending, rows = self.columns.by_fingerprint()
        return user_affinities.present(ring.keys, ring.times.astype(np.int32, copy=False), ascending, rows)

    def duration_match(self) -> Term | None:
        """−|log(duration ÷ the mean of the user's last long views)|, shrunk when these are few."""
        columns, log_duration = self.columns, self.static.values["duration"]
        watched = self.watched[columns.duration[self.watched] > 0]
        if not len(watched):
            return None
        usual = user_affinities.mean_of(log_duration, watched)
        return DistanceColumn(log_duration, columns.duration, usual, len(watched) / (len(watched) + 5.0))

    def popularity_taste(self) -> Term | None:
        """The video's 7-day demand × how much more popular than the mean video the user's last long views are.

        Some come for what everybody watches and some for the rest; shrunk when the long views are few.
        """
        return self._taste("demand_7d", USUAL_DEMAND)

    def approval_taste(self) -> Term | None:
        """The video's approval × how much more approved of than the mean video the user's last long views are.

        Some come for what people like and share, some for what they only watch.
        """
        return self._taste("approval", self.static.mean("approval"))

    def _taste(self, name: str, usual: float) -> Term | None:
        """A static feature × its mean over the user's last n long views, less what is usual; shrunk by n / (n + 5)."""
        count = len(self.watched)
        if not count:
            return None
        values = self.static.values[name]
        return ScaledColumn(
            values, (user_affinities.mean_of(values, self.watched) - usual) * count / (count + TASTE_PRIOR)
        )

    @property
    def neighboured(self) -> bool:
        """Whether the co-watch table has something to say: it knows at least one of the user's last long views."""
        return self._similar is not None

    def cowatch(self) -> Term | None:
        """log(1 + 3 · similarity to the user's last long views, in units of a neighbour's mean similarity)."""
        return None if self._similar is None else LogColumn(self._similar, COWATCH_FACTOR)

    # Hints --------------------------------------------------------------------------------------------------------

    def language_match(self) -> Term | None:
        """1 for a video in the hinted language, −1 for one in another, 0 when either is unknown."""
        languages = self.columns.languages
        if not self.context.language:
            return None
        match = np.full(len(languages) + 1, -1, np.float32)
        wanted = languages.code(self.context.language.lower())
        if wanted >= 0:
            match[wanted] = 1.0
        match[-1] = 0.0
        return LookupColumn(self.columns.language, match)

    def country_match(self) -> Term | None:
        """1 for a video whose list of countries names the hinted one."""
        sets = self.columns.country_sets
        if not self.context.country or not len(sets):
            return None
        return LookupColumn(self.columns.country_set, sets.having(self.context.country).astype(np.float32))

    def age_band_match(self) -> Term | None:
        """1 for a video made for the hinted age band, −1 for one made for others, 0 when either is unknown."""
        return self._made_for(self.context.age_band, self.columns.age_band_sets, self.columns.age_band_set)

    def platform_match(self) -> Term | None:
        """The same for the platform."""
        return self._made_for(self.context.platform, self.columns.platform_sets, self.columns.platform_set)

    def _made_for(self, hint: str | None, sets: NameSets, codes: Codes) -> Term | None:
        if not hint or not len(sets):
            return None
        match = np.where(sets.having(hint), np.float32(1), np.float32(-1))
        match[-1] = 0.0
        return LookupColumn(codes, match)
