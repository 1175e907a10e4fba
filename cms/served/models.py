"""Request and response models of explanations of served pages. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cms.forms import Form
from cms.preview.models import Contribution
from feed.responses import Mode
from shared.domain.feed_receipt import MAX_CHARS
from shared.web.responses import Amount, Count, Time, View


class ServedPageForm(Form):
    """The page to explain. The header `X-User` names its user."""

    feed_request_id: Annotated[str, Field(min_length=1, max_length=MAX_CHARS)]


class ServedItem(View):
    """One position of the page."""

    place: Annotated[Count, Field(description="Position on the page, from 0.")]
    video_id: Annotated[
        str | None,
        Field(description="null: the video is no longer in the catalog, or several match; see `candidates`."),
    ]
    title: Annotated[str | None, Field(description="The current title.")]
    candidates: Annotated[list[str], Field(description="If several videos match the receipt: at most 10 of their ids.")]
    reported: Annotated[bool, Field(description="true: the app reported an event about it, so the video is certain.")]
    contributions: Annotated[
        list[Contribution],
        Field(description="Contributions to the score that it would get now, the largest first, without rules."),
    ]


class Untold(View):
    """Something about the page that can no longer be determined, or not completely."""

    what: str
    text: str


class ServedPage(View):
    """Explanation of a served page, from its receipt, the archive and the catalog."""

    served_at: Time
    mode: Mode
    warm: Annotated[bool, Field(description="true: the user had watched enough for a personal page.")]
    feed: Annotated[str | None, Field(description="The feed's id; null: unknown.")]
    model_version: Annotated[
        str | None, Field(description="The model version, or the order of a feed without a model; null: unknown.")
    ]
    arm: Annotated[str | None, Field(description="Experiment and arm, as `experiment/arm`; null: none, or unknown.")]
    arm_number: Annotated[Count, Field(description="Number of the arm; 0: no experiment.")]
    explored_rank: Annotated[
        Count | None,
        Field(description="Position in the feed, from 0, at which a video was explored; null: no exploration."),
    ]
    propensity: Annotated[
        Amount | None, Field(description="Probability with which exploration chose that video for that position.")
    ]
    items: Annotated[
        list[ServedItem] | None, Field(description="null: a receipt of version 1 does not contain its page.")
    ]
    mistaken: Annotated[
        Amount,
        Field(
            description="Probability that a position names a wrong video, if its own video is no longer in the catalog."
        ),
    ]
    reported: Annotated[list[str], Field(description="Videos for which archived events name this page.")]
    untold: list[Untold]
