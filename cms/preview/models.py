"""Previews: what is sent and what is answered. Pure."""

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
    """A viewer by their hints and tastes. Without tastes it is a newcomer."""

    country: Country | None = None
    language: Language | None = None
    age_band: AgeBand | None = None
    platform: Platform | None = None
    liked_categories: Texts = []
    skipped_categories: Texts = []
    liked_tags: Texts = []
    consented: Annotated[bool, Field(description="Whether the viewer lets their feed be personal.")] = True


class DraftForm(Form):
    """What is different: fields of the configuration, rules by id, rules left out, playlists, another model."""

    configuration: dict[str, object] = {}
    rules: Annotated[list[NewRuleForm], Field(max_length=200)] = []
    without_rules: Annotated[list[Slug], Field(max_length=200)] = []
    playlists: Annotated[dict[Slug, list[VideoId]], Field(max_length=20)] = {}
    model_version: Version | None = None


class PreviewForm(Form):
    """What to preview. The header `X-User` names a stored user; without it, `viewer` describes one."""

    viewer: ViewerForm = ViewerForm()
    limit: Annotated[Whole, Field(ge=1, le=MAX_LIMIT)] | None = None
    draft: DraftForm | None = None
    why: Annotated[list[VideoId], Field(max_length=50)] = []
    at: Annotated[
        Instant | None,
        Field(
            description="When schedules of rules and videos are looked at, up to a year ahead; null: now. "
            "The ranking is that of now."
        ),
    ] = None


class VideoSummary(View):
    """A video as the preview lists it."""

    video_id: str
    title: str
    main_tag: str
    tags: list[str]
    duration_seconds: Amount
    thumbnail_url: str | None
    maturity_rating: StoredRating


class Contribution(View):
    """One feature's part of a score: amount = weight × value."""

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
    positions: Annotated[list[Position], Field(description="Of a pin only.")] = []


class CountedRule(AppliedRule):
    """The same, with how many videos it matches."""

    matches: Count


class PreviewItem(VideoSummary):
    """A video of the page, and why it is there."""

    rank: Annotated[Count, Field(description="0-based place.")]
    score: Annotated[float, Field(description="Comparable within one page only.")]
    contributions: Annotated[
        list[Contribution], Field(description="The largest first; their amounts add up to the score.")
    ]
    rules: Annotated[list[AppliedRule], Field(description="Those that match this video.")]
    explored: Annotated[bool, Field(description="It has the place in which new videos are tried.")]
    pinned: Annotated[bool, Field(description="A rule holds it at this position.")]


class DraftItem(PreviewItem):
    """A video of the drafted page, compared with the live one."""

    before: Annotated[Count | None, Field(description="0-based place in the live feed; null: not on the page.")]
    moved: Annotated[int | None, Field(description="Places up; less than 0: down; null: it was not on the page.")]


class Absence(View):
    """Why a video is not on the page. `reason` is `served` when it is there."""

    reason: Annotated[str, Field(json_schema_extra=one_of(*dict.fromkeys(("served", "unknown", *FILTERS, *ABSENCES))))]
    text: Annotated[str, Field(description="The reason in words.")]
    place: Annotated[Count, Field(description="0-based place by its score alone, where it was a candidate.")] = 0
    candidates: Count = 0
    contributions: list[Contribution] = []


class LeftVideo(Absence, VideoSummary):
    """A video of the live page that is not on the drafted one, and why."""

    before: Annotated[Count, Field(description="0-based place in the live feed.")]


class AskedVideo(Absence, VideoSummary):
    """A video that was asked about. One that does not exist has no more than its id."""

    title: str = ""
    main_tag: str = ""
    tags: list[str] = []
    duration_seconds: Amount = 0.0
    thumbnail_url: str | None = None
    maturity_rating: StoredRating = ""


RemovedCounts = Annotated[
    dict[str, Count],
    Field(
        description="Videos by the first filter that removed them; filters that removed none are left out. Known "
        f"filters: {', '.join(f'`{name}`' for name in FILTERS)}. More may come."
    ),
]


class PreviewFeed(View):
    """What both feeds of a preview have in common."""

    mode: Mode
    reason: Reason
    reason_text: Annotated[str | None, Field(description="The reason in words.")]
    model_version: str
    arm: Annotated[str | None, Field(description="The arm of the running experiment this user is in.")]
    candidates: Annotated[Count, Field(description="Videos that no filter removed.")]
    removed: RemovedCounts
    rules: Annotated[
        list[CountedRule],
        Field(description="Rules in force for this viewer, and how many videos each one matches."),
    ]


class LiveFeed(PreviewFeed):
    """The first page as it is now."""

    items: list[PreviewItem]


class DraftFeed(PreviewFeed):
    """The first page under the draft, compared with the live one."""

    items: list[DraftItem]
    left: Annotated[list[LeftVideo], Field(description="Videos of the live page that are not on this one, and why.")]


class Preview(View):
    """The live feed, and the drafted one when a draft was sent."""

    live: LiveFeed
    draft: Annotated[DraftFeed, Field(default=None, description="Where a draft was sent.")]
    switch: Annotated[dict[str, bool], Field(description="Feature flags as operators set them.")]
    why: Annotated[list[AskedVideo], Field(description="For each video asked about.")]
    needs_confirmation: Annotated[list[str], Field(default=[], description="Who would be shown stronger ratings.")]
