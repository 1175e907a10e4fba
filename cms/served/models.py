"""Pages that were served: what is sent and what is answered. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cms.forms import Form
from cms.preview.models import Contribution
from feed.responses import Mode
from shared.domain.feed_receipt import MAX_CHARS
from shared.web.responses import Amount, Count, Time, View


class ServedPageForm(Form):
    """The page to explain. The header `X-User` names the user it was served to."""

    feed_request_id: Annotated[str, Field(min_length=1, max_length=MAX_CHARS)]


class ServedItem(View):
    """One place of the page."""

    place: Annotated[Count, Field(description="0-based place on the page.")]
    video_id: Annotated[str | None, Field(description="null: it left the catalog, or several could have stood here.")]
    title: Annotated[str | None, Field(description="As it is now.")]
    candidates: Annotated[
        list[str], Field(description="Videos that could have stood here, ten at most, where there are several.")
    ]
    reported: Annotated[bool, Field(description="The app reported an event about it, which makes it certain.")]
    contributions: Annotated[
        list[Contribution], Field(description="What would make its score now, the largest first; rules are left out.")
    ]


class Untold(View):
    """Something about the page that can no longer be told, or not in full."""

    what: str
    text: str


class ServedPage(View):
    """What the receipt of a page, the archive and the catalog tell of it."""

    served_at: Time
    mode: Mode
    warm: Annotated[bool, Field(description="The user had watched enough for a personal page.")]
    feed: Annotated[str | None, Field(description="The named feed; null: it cannot be told.")]
    model_version: Annotated[str | None, Field(description="What ranked; null: it cannot be told.")]
    arm: Annotated[str | None, Field(description="The experiment and its arm; null: none, or it cannot be told.")]
    arm_number: Annotated[Count, Field(description="0: no experiment.")]
    explored_rank: Annotated[
        Count | None, Field(description="0-based place in the walk at which a video was tried; null: none was.")
    ]
    propensity: Annotated[Amount | None, Field(description="How likely that video was to get that place.")]
    items: Annotated[list[ServedItem] | None, Field(description="null: a receipt of version 1 does not know its page.")]
    mistaken: Annotated[
        Amount, Field(description="How likely a place names another video where its own has left the catalog.")
    ]
    reported: Annotated[list[str], Field(description="Videos about which archived events quote this page.")]
    untold: list[Untold]
