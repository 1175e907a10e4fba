"""Request and response models of previews. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cms.experiments.models import Version
from cms.forms import AgeBand, Country, Form, Language, Platform, Slug, VideoId
from cms.rules.models import Action, Multiplier, NewRuleForm, Texts
from cms.spellings import Instant, Whole
from cms.videos.models import StoredRating
from cms.views import Position, one_of
from feed.filters import FILTERS
from feed.responses import Mode, Reason
from ranking.explain import ABSENCES
from shared.domain.records import MAX_LIMIT
from shared.web.responses import Amount, Count, View


class ViewerForm(Form):
    """A described viewer: hints and tastes. Without tastes it is a new user."""

    country: Country | None = None
    language: Language | None = None
    age_band: AgeBand | None = None
    platform: Platform | None = None
    liked_categories: Texts = []
    skipped_categories: Texts = []
    liked_tags: Texts = []
    consented: Annotated[bool, Field(description="Whether the viewer consents to personalization.")] = True


class DraftForm(Form):
    """Changes to preview: configuration fields, rules added or replaced, rules removed, playlists, model version."""

    configuration: dict[str, object] = {}
    rules: Annotated[list[NewRuleForm], Field(max_length=200)] = []
    without_rules: Annotated[list[Slug], Field(max_length=200)] = []
    playlists: Annotated[dict[Slug, list[VideoId]], Field(max_length=20)] = {}
    model_version: Version | None = None


class PreviewForm(Form):
    """A preview request. The header `X-User` names a stored user; without it, `viewer` describes one."""

    viewer: ViewerForm = ViewerForm()
    limit: Annotated[Whole, Field(ge=1, le=MAX_LIMIT)] | None = None
    draft: DraftForm | None = None
    why: Annotated[list[VideoId], Field(max_length=50)] = []
    at: Annotated[
        Instant | None,
        Field(
            description="Time at which schedules of rules and videos are evaluated, up to a year ahead; null: now. "
            "The ranking is always the current one."
        ),
    ] = None


class VideoSummary(View):
    """Summary of a video in a preview."""

    video_id: str
    title: str
    main_tag: str
    tags: list[str]
    duration_seconds: Amount
    thumbnail_url: str | None
    maturity_rating: StoredRating


class Contribution(View):
    """One feature's contribution to a score: amount = weight × value."""

    feature: str
    unit: str
    value: float
    weight: float
    amount: float


class AppliedRule(View):
    """A rule in force for the viewer."""

    id: str
    name: str
    action: Action
    multiplier: Multiplier = 1.0
    positions: Annotated[list[Position], Field(description="Only for a pin.")] = []


class CountedRule(AppliedRule):
    """A rule in force, with the number of videos that it matches."""

    matches: Count


class PreviewItem(VideoSummary):
    """A video of the page, and why it is there."""

    rank: Annotated[Count, Field(description="Position on the page, from 0.")]
    score: Annotated[float, Field(description="Comparable within one page only.")]
    contributions: Annotated[
        list[Contribution], Field(description="The largest first. Their amounts add up to the score.")
    ]
    rules: Annotated[list[AppliedRule], Field(description="Rules that match this video.")]
    explored: Annotated[bool, Field(description="true: the video has the exploration place, which tries new videos.")]
    pinned: Annotated[bool, Field(description="true: a rule pins the video to this position.")]


class DraftItem(PreviewItem):
    """A video of the drafted page, compared with the live one."""

    before: Annotated[Count | None, Field(description="Position in the live feed, from 0; null: not on the page.")]
    moved: Annotated[
        int | None, Field(description="Positions moved up; negative: down; null: it was not on the live page.")
    ]


class Absence(View):
    """Why a video is not on the page. `reason` is `served` if it is on the page."""

    reason: Annotated[str, Field(json_schema_extra=one_of(*dict.fromkeys(("served", "unknown", *FILTERS, *ABSENCES))))]
    text: Annotated[str, Field(description="The reason in words.")]
    place: Annotated[Count, Field(description="Position by score alone, from 0, if it was a candidate.")] = 0
    candidates: Count = 0
    contributions: list[Contribution] = []


class LeftVideo(Absence, VideoSummary):
    """A video of the live page that is not on the drafted page, and why."""

    before: Annotated[Count, Field(description="Position in the live feed, from 0.")]


class AskedVideo(Absence, VideoSummary):
    """A video that the request asked about. One that does not exist has only its id."""

    title: str = ""
    main_tag: str = ""
    tags: list[str] = []
    duration_seconds: Amount = 0.0
    thumbnail_url: str | None = None
    maturity_rating: StoredRating = ""


RemovedCounts = Annotated[
    dict[str, Count],
    Field(
        description="Number of videos by the first filter that removed them; filters without any are left out. Known "
        f"filters: {', '.join(f'`{name}`' for name in FILTERS)}. More can be added."
    ),
]


class PreviewFeed(View):
    """Common fields of the live and the drafted feed."""

    mode: Mode
    reason: Reason
    reason_text: Annotated[str | None, Field(description="The reason in words.")]
    model_version: str
    arm: Annotated[str | None, Field(description="The user's arm of the running experiment; null: none.")]
    candidates: Annotated[Count, Field(description="Number of videos that no filter removed.")]
    removed: RemovedCounts
    rules: Annotated[
        list[CountedRule],
        Field(description="Rules in force for this viewer, and the number of videos that each matches."),
    ]


class LiveFeed(PreviewFeed):
    """The first page of the live feed."""

    items: list[PreviewItem]


class DraftFeed(PreviewFeed):
    """The first page with the draft applied, compared with the live one."""

    items: list[DraftItem]
    left: Annotated[list[LeftVideo], Field(description="Videos of the live page that are not on this page, and why.")]


class Preview(View):
    """The live feed, and the drafted feed if a draft was sent."""

    live: LiveFeed
    draft: Annotated[DraftFeed, Field(default=None, description="Only present if a draft was sent.")]
    switch: Annotated[dict[str, bool], Field(description="Feature flags as operators set them.")]
    why: Annotated[list[AskedVideo], Field(description="Explanation of each video in the request's `why`.")]
    needs_confirmation: Annotated[
        list[str], Field(default=[], description="Viewers who would see stronger ratings with the draft.")
    ]
