"""Plain records of videos, tenants and experiments, and the maturity ratings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from shared.domain.age_bands import EVERY_AGE, AgeBand, read_age_band
from shared.domain.countries import canonical_country
from shared.domain.formats import canonical_platform
from shared.domain.languages import canonical_language
from shared.domain.links import link_or_none
from shared.domain.media_hosts import media_hosts
from shared.domain.player_media import NO_MEDIA, PlayerMedia
from shared.domain.series_place import NO_SERIES, SeriesPlace
from shared.domain.text import composed

NOWHERE = "?"
"""For an unreadable list of countries: it matches no viewer."""
AFTER_VIDEOS = "~"
"""Prefix of ids in the container `videos` that are not videos; it sorts after every video's id."""
HOME = "home"
"""Name of the feed that every tenant has: the whole catalog with the tenant's settings. No document has it."""
RATINGS = {"G": 0, "PG": 1, "PG13": 2, "R": 3, "NC17": 4}
"""Maturity ratings from mildest to strongest. A policy admits its own rating and everything milder."""
UNRATED = 127
"""Rank of an unknown rating: above every policy, so it is never served."""


_MEDIA = frozenset(("posterUrl", "width", "height", "action", "renditions", "captions", "metadata"))


def rating_rank(rating: str | None) -> int:
    """Return the rank of a video's rating; an unknown one ranks above every policy."""
    return RATINGS.get(rating or "", UNRATED)


def policy_rank(policy: str | None) -> int:
    """Return the strongest rank that a policy admits; an unknown policy admits only `G`."""
    return RATINGS.get(policy or "", RATINGS["G"])


@dataclass(slots=True, unsafe_hash=True)  # never changed; frozen, it would be four times as slow to make
class Video:
    """A stored video. Times are seconds since the epoch.

    - `expires_at`: None means never
    - `editorial_boost`: preference of the content team, -10 to 10; 0 for none
    - `popularity_override`: the video ranks as popular as this percentile (0 to 100) of the catalog; None: as it is
    - `countries`: where it can be served; empty: everywhere
    - `age_bands`, `platforms`: preferences of the ranking; they exclude no viewer (ratings and rules do)
    - `media`: other player data
    - `place`: position in a series
    """

    id: str
    title: str
    playback_url: str
    category: str
    thumbnail_url: str | None = None
    tags: tuple[str, ...] = ()
    creator: str = ""
    duration_seconds: float = 0.0
    maturity_rating: str = ""
    editorial_boost: float = 0.0
    language: str | None = None
    countries: tuple[str, ...] = ()
    active: bool = True
    published_at: float = 0.0
    expires_at: float | None = None
    popularity_override: float | None = None
    age_bands: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    media: PlayerMedia = field(default=NO_MEDIA, hash=False)
    place: SeriesPlace = NO_SERIES

    @classmethod
    def from_document(cls, body: dict[str, Any]) -> Video:
        """Read a stored video. A field that is missing or of the wrong type gets its neutral value.

        Lenient on purpose: the CMS validates its writes, and one odd row must not hide a tenant's catalog. Fields of
        safety fail closed (no rating → unrated → never served). Links get their canonical form; an invalid one is
        empty.
        """
        return cls(
            id=str(body["id"]),
            title=composed(_text(body.get("title"))),
            playback_url=link_or_none(body.get("playbackUrl")) or "",
            category=composed(_text(body.get("mainTag"))),
            thumbnail_url=link_or_none(body.get("thumbnailUrl")),
            tags=tuple(map(composed, _texts(body.get("tags")))),
            creator=composed(_text(body.get("creatorId"))),
            duration_seconds=_number(body.get("durationSeconds")),
            maturity_rating=_text(body.get("maturityRating")),
            editorial_boost=min(10.0, max(-10.0, _number(body.get("editorialBoost")))),
            popularity_override=_bounded(body.get("popularityOverride"), 0.0, 100.0),
            language=_stored_language(_text(body.get("language"))) or None,
            countries=(canonical_or_stored_countries(_texts(stored)) or (NOWHERE,))
            if (stored := body.get("countries"))
            else (),
            age_bands=_texts(body.get("ageBands")),
            platforms=tuple(canonical_platform(text) or text for text in _texts(body.get("platforms"))),
            active=body.get("status", "active") == "active" and not body.get("deleted"),
            published_at=_number(body.get("publishedAt")),
            expires_at=_number(body["expiresAt"]) if body.get("expiresAt") is not None else None,
            media=PlayerMedia.from_document(body) if not _MEDIA.isdisjoint(body) else NO_MEDIA,
            place=SeriesPlace.from_document(body) if "seriesId" in body else NO_SERIES,
        )

    def to_document(self) -> dict[str, Any]:
        """The stored shape; `from_document` reads it back."""
        return {
            "id": self.id,
            "kind": "video",
            "title": self.title,
            "playbackUrl": self.playback_url,
            "thumbnailUrl": self.thumbnail_url,
            "mainTag": self.category,
            "tags": list(self.tags),
            "creatorId": self.creator,
            "durationSeconds": self.duration_seconds,
            "maturityRating": self.maturity_rating,
            "editorialBoost": self.editorial_boost,
            "popularityOverride": self.popularity_override,
            "language": self.language,
            "countries": list(self.countries),
            "ageBands": list(self.age_bands),
            "platforms": list(self.platforms),
            "status": "active" if self.active else "inactive",
            "publishedAt": self.published_at,
            "expiresAt": self.expires_at,
            **self.media.to_document(),
            **self.place.shown(),
        }


def canonical_or_stored_language(text: str) -> str:
    """Return the canonical tag of a stored language; an unreadable one unchanged."""
    return canonical_language(text, lenient=True) or text.lower()


_stored_language = lru_cache(1_024)(canonical_or_stored_language)
"""Cached, as stored videos have few languages."""


def canonical_or_stored_countries(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the canonical codes of stored countries, without duplicates. An unknown code stays: without it, a video
    restricted to it would be served everywhere."""
    return tuple(dict.fromkeys(canonical_country(text) or text.upper() for text in texts))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple([v for v in value if isinstance(v, str) and v]) if value and isinstance(value, list | tuple) else ()


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    number = float(value)
    return number if number - number == 0 else 0.0  # NaN and infinities become the neutral value


def _bounded(value: object, low: float, high: float) -> float | None:
    """Return a number limited to its bounds; None without a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return min(high, max(low, float(value)))


DEFAULT_LIMIT = 20
MAX_LIMIT = 50
DEFAULT_HALF_LIFE_DAYS = 14.0
DEFAULT_STREAK_CAP = 2
DEFAULT_CREATOR_CAP = 3
DEFAULT_DIVERSITY, MAX_DIVERSITY = 0.1, 2.0
MAX_ROLLUP_SHARDS = 16
OPEN, APPROVAL = "open", "approval"
FOLLOW_POLICIES = (OPEN, APPROVAL)
"""A follow is valid at once, or after the followed person has agreed."""
FOLLOWERS, MUTUALS = "followers", "mutuals"
FRIENDS_MEAN = (FOLLOWERS, MUTUALS)
"""Meaning of an author's friends: all followers, or the followers whom the author follows too."""
DEFAULT_STORY_HOURS, MAX_STORY_HOURS = 24, 48
DEFAULT_HOLD_REPORTS, MAX_HOLD_REPORTS = 5, 100
AUTO_ON, AUTO_SUGGEST, AUTO_OFF = "on", "suggest", "off"
AUTO_MODELS = (AUTO_ON, AUTO_SUGGEST, AUTO_OFF)
"""Use of a tenant's learned models: serve them, only suggest them to editors, or do not learn any."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant's configuration.

    - `weights`: override the global model's weights by name
    - `affinity_half_life_days`: half-life of a user's tastes (1 to 30 days)
    - `popularity_half_life_hours`: half-life of popularity (1 to 168 hours); None: the model's
    - `streak_cap`: longest run of one category on a page, 0 for no cap
    - `creator_cap`: most videos of one creator on a page, 0 for no cap
    - `diversity`: score that a video loses if it is identical to one on the page (0 to 2)
    - `model_version`: the tenant's promoted model, None for the global one
    - `model_history`: earlier promoted models, newest first
    - `feed_requests_per_second`, `event_batches_per_second`: rate limits of the tenant in each process; None: no limit
    - `count_anonymous_events`: events without a valid feed request id count in video statistics
    - `rollup_shards`: documents and sessions for a hot tenant's statistics (1 to `MAX_ROLLUP_SHARDS`)
    - `require_user_token`: acting for a user needs a token signed by the tenant's backend
    - `offer_next_episode`: a feed offers the episode after one that the user finished
    - `auto_model`: use of learned models, one of `AUTO_MODELS`
    - `holdout`: 2 % of users never get the personal model, so that it can be measured
    - `follow_policy`: when a follow is valid, one of `FOLLOW_POLICIES`
    - `friends_mean`: who an author's friends are, one of `FRIENDS_MEAN`
    - `story_hours`: life of a story (1 to 48 hours)
    - `story_hold_reports`: reports by different people that hide a story (1 to 100)
    - `media_hosts`: hosts from which the Studio can load media
    """

    id: str
    maturity_policy: str | None = "G"
    age_band_policies: dict[str, str] = field(default_factory=dict)
    use_personalization: bool = True
    default_limit: int = DEFAULT_LIMIT
    weights: dict[str, float] = field(default_factory=dict)
    affinity_half_life_days: float = DEFAULT_HALF_LIFE_DAYS
    streak_cap: int = DEFAULT_STREAK_CAP
    feature_flags: dict[str, bool] = field(default_factory=dict)
    count_anonymous_events: bool = False
    rollup_shards: int = 1
    popularity_half_life_hours: float | None = None
    creator_cap: int = DEFAULT_CREATOR_CAP
    diversity: float = DEFAULT_DIVERSITY
    feed_requests_per_second: float | None = None
    event_batches_per_second: float | None = None
    require_user_token: bool = False
    auto_model: str = AUTO_ON
    holdout: bool = True
    offer_next_episode: bool = True
    follow_policy: str = OPEN
    friends_mean: str = FOLLOWERS
    story_hours: int = DEFAULT_STORY_HOURS
    story_hold_reports: int = DEFAULT_HOLD_REPORTS
    media_hosts: tuple[str, ...] = ()
    model_version: str | None = None
    model_history: tuple[str | None, ...] = ()
    age_limits: tuple[tuple[AgeBand, int], ...] = field(init=False, repr=False, compare=False)
    """`age_band_policies` as bands and maturity ranks; an unreadable band applies to every age."""

    def __post_init__(self) -> None:
        limits = [(read_age_band(text) or EVERY_AGE, policy_rank(p)) for text, p in self.age_band_policies.items()]
        object.__setattr__(self, "age_limits", tuple(limits))

    @classmethod
    def from_document(cls, body: dict[str, Any]) -> Tenant:
        """Read a stored configuration. A missing or malformed field gets its safe default."""
        limit = body.get("defaultLimit")
        weights = body.get("weights")
        streak = body.get("streakCap")
        flags = body.get("featureFlags")
        cap = body.get("creatorCap")
        history = body.get("modelHistory")
        diversity = _bounded(body.get("diversity"), 0.0, MAX_DIVERSITY)
        given_limits = body.get("rateLimits")
        limits = given_limits if isinstance(given_limits, dict) else {}
        return cls(
            id=str(body["tenantId"]),
            maturity_policy=body.get("maturityPolicy") if isinstance(body.get("maturityPolicy"), str) else None,
            age_band_policies=_string_map(body.get("ageBandPolicies")),
            use_personalization=body.get("usePersonalization") is not False,
            default_limit=limit if isinstance(limit, int) and 1 <= limit <= MAX_LIMIT else DEFAULT_LIMIT,
            weights={k: _number(v) for k, v in weights.items()} if isinstance(weights, dict) else {},
            affinity_half_life_days=min(30.0, max(1.0, _number(body.get("affinityHalfLifeDays")) or 14.0)),
            streak_cap=streak if isinstance(streak, int) and 0 <= streak <= MAX_LIMIT else DEFAULT_STREAK_CAP,
            feature_flags={k: v for k, v in flags.items() if isinstance(v, bool)} if isinstance(flags, dict) else {},
            count_anonymous_events=body.get("countAnonymousEvents") is True,
            rollup_shards=int(min(MAX_ROLLUP_SHARDS, max(1, _number(body.get("rollupShards"))))),
            popularity_half_life_hours=_bounded(body.get("popularityHalfLifeHours"), 1.0, 168.0),
            creator_cap=cap if isinstance(cap, int) and 0 <= cap <= MAX_LIMIT else DEFAULT_CREATOR_CAP,
            diversity=DEFAULT_DIVERSITY if diversity is None else diversity,
            feed_requests_per_second=_bounded(limits.get("feedRequestsPerSecond"), 1.0, 1e6),
            event_batches_per_second=_bounded(limits.get("eventBatchesPerSecond"), 1.0, 1e6),
            require_user_token=body.get("requireUserToken") is True,
            auto_model=_auto_model(body.get("autoModel")),
            holdout=body.get("holdout") is not False,
            offer_next_episode=body.get("offerNextEpisode") is not False,
            # An unreadable value becomes the stricter one.
            follow_policy=OPEN if body.get("followPolicy", OPEN) == OPEN else APPROVAL,
            friends_mean=FOLLOWERS if body.get("friendsMean", FOLLOWERS) == FOLLOWERS else MUTUALS,
            story_hours=int(_bounded(body.get("storyHours"), 1.0, MAX_STORY_HOURS) or DEFAULT_STORY_HOURS),
            story_hold_reports=int(_bounded(body.get("storyHoldReports"), 1, MAX_HOLD_REPORTS) or DEFAULT_HOLD_REPORTS),
            media_hosts=media_hosts(body.get("mediaHosts")),
            model_version=_text(body.get("modelVersion")) or None,
            model_history=tuple(v if isinstance(v, str) else None for v in history)
            if isinstance(history, list)
            else (),
        )

    def to_document(self) -> dict[str, Any]:
        """The stored shape; `from_document` reads it back."""
        return {
            "id": "configuration",
            "kind": "configuration",
            "tenantId": self.id,
            "maturityPolicy": self.maturity_policy,
            "ageBandPolicies": self.age_band_policies,
            "usePersonalization": self.use_personalization,
            "defaultLimit": self.default_limit,
            "weights": self.weights,
            "affinityHalfLifeDays": self.affinity_half_life_days,
            "streakCap": self.streak_cap,
            "featureFlags": self.feature_flags,
            "countAnonymousEvents": self.count_anonymous_events,
            "rollupShards": self.rollup_shards,
            "popularityHalfLifeHours": self.popularity_half_life_hours,
            "creatorCap": self.creator_cap,
            "diversity": self.diversity,
            "rateLimits": {
                "feedRequestsPerSecond": self.feed_requests_per_second,
                "eventBatchesPerSecond": self.event_batches_per_second,
            },
            "requireUserToken": self.require_user_token,
            "autoModel": self.auto_model,
            "holdout": self.holdout,
            "offerNextEpisode": self.offer_next_episode,
            "followPolicy": self.follow_policy,
            "friendsMean": self.friends_mean,
            "storyHours": self.story_hours,
            "storyHoldReports": self.story_hold_reports,
            "mediaHosts": list(self.media_hosts),
            "modelVersion": self.model_version,
            "modelHistory": list(self.model_history),
        }


def _auto_model(value: object) -> str:
    """Return the stored value; `off` for an invalid one, since the intention is unknown."""
    if value is None:
        return AUTO_ON
    return value if isinstance(value, str) and value in AUTO_MODELS else AUTO_OFF


def _string_map(value: object) -> dict[str, str]:
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of an experiment, for `percent` of the tenant's users. None and {}: as the tenant serves otherwise.

    `number`: stored in feed request ids, 1 for the first arm; 0 means no experiment.
    """

    number: int
    name: str
    percent: float
    model_version: str | None = None
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Experiment on a tenant's users. `salt` decides each user's arm, so a new salt assigns arms anew.

    Shares add up to at most 100; the other users get what the tenant serves otherwise. At most one experiment is
    running. It applies only to the feeds in `feeds`.
    """

    id: str
    name: str
    arms: tuple[Arm, ...]
    status: str = "draft"
    salt: str = ""
    started_at: float | None = None
    stopped_at: float | None = None
    feeds: tuple[str, ...] = (HOME,)

    @property
    def running(self) -> bool:
        return self.status == "running"

    @classmethod
    def from_document(cls, body: dict[str, Any]) -> Experiment:
        """Read a stored experiment; an invalid one is not running."""
        arms = tuple(
            Arm(
                number,
                _text(arm.get("name")),
                _bounded(arm.get("percent"), 0.0, 100.0) or 0.0,
                _text(arm.get("modelVersion")) or None,
                {k: _number(v) for k, v in (arm.get("weights") or {}).items()},
            )
            for number, arm in enumerate(body.get("arms") or (), start=1)
            if isinstance(arm, dict)
        )
        sensible = 0 < len(arms) < 256 and sum(arm.percent for arm in arms) <= 100.001
        return cls(
            id=_text(body.get("experimentId")),
            name=_text(body.get("name")),
            arms=arms,
            status=_text(body.get("status")) if sensible else "stopped",
            salt=_text(body.get("salt")),
            started_at=_bounded(body.get("startedAt"), 0.0, 1e12),
            stopped_at=_bounded(body.get("stoppedAt"), 0.0, 1e12),
            feeds=_texts(body["feeds"]) if "feeds" in body else (HOME,),
        )
