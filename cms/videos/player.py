"""Forms and views of a video's player data: renditions, captions, sizes, metadata, action button. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, Field

from cms.forms import Form, Language, NullMeansAbsent, Url
from cms.spellings import unclear
from shared.domain.formats import Format, is_number
from shared.domain.numbers import number_in, whole_number
from shared.domain.player_media import MAX_METADATA_BYTES, MAX_PIXELS
from shared.web.responses import Count, View

METADATA_NAME = Format(r"[A-Za-z0-9_.-]{1,64}", "1 to 64 letters, digits or _ . -")
MAX_BITRATE = 1_000_000_000

Whole = BeforeValidator(lambda value: whole_number(number_in(value)))
"""A whole number; also accepts 3.0 or digits in text."""
Pixels = Annotated[int, Whole, Field(ge=1, le=MAX_PIXELS)]


class RenditionForm(Form):
    """A file or a playlist of one quality. `bitrate` in bits per second, `codecs` as in RFC 6381."""

    url: Url
    width: Pixels | None = None
    height: Pixels | None = None
    bitrate: Annotated[int, Whole, Field(ge=1, le=MAX_BITRATE)] | None = None
    codecs: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9.,_ +-]*$")] | None = None


class CaptionForm(Form):
    """A file of captions."""

    language: Language
    url: Url


class ActionForm(Form):
    """A button that the app shows on the video."""

    label: Annotated[str, Field(min_length=1, max_length=60)]
    url: Url


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    for name, value in given.items():
        if not METADATA_NAME.matches(name):
            raise unclear("invalid_metadata", f"has a name that is not {METADATA_NAME.description}.")
        if not isinstance(value, str | bool) and not is_number(value):
            raise unclear("invalid_metadata", "can hold texts, numbers, true and false, and nothing else.")
    try:
        too_large = len(orjson.dumps(given)) > MAX_METADATA_BYTES
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits
        raise unclear("invalid_metadata", "has a number that is too large.") from None
    if too_large:
        raise unclear("too_large", f"can have at most {MAX_METADATA_BYTES:,} bytes as JSON.")
    return given


Metadata = Annotated[dict[str, Any], NullMeansAbsent, AfterValidator(_plain)]


class Rendition(View):
    """A file or a playlist of one quality. `bitrate` in bits per second, `codecs` as in RFC 6381."""

    url: str
    width: Count | None = None
    height: Count | None = None
    bitrate: Count | None = None
    codecs: str | None = None


class Caption(View):
    """A file of captions."""

    language: str
    url: str


class Action(View):
    """A button that the app shows on the video."""

    label: str
    url: str


def editable_player(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the player fields of a stored video. A missing field has the value in which it can be sent back."""
    fields = {name: document.get(name) for name in ("posterUrl", "width", "height", "action")}
    lists = {name: document.get(name) or [] for name in ("renditions", "captions")}
    return fields | lists | {"metadata": document.get("metadata") or {}}
