"""Player data of a video besides its playback link: sizes, renditions, captions, an action. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.formats import is_number
from shared.domain.links import link_or_none
from shared.domain.text import all_composed, composed

MAX_PIXELS = 16_384
MAX_RENDITIONS, MAX_CAPTIONS = 20, 50
MAX_METADATA_BYTES = 2_048
"""Most bytes of `metadata` as compact JSON in UTF-8."""
INCLUDES = ("renditions", "captions", "metadata")
"""Fields that a feed returns only on request; the others come with every video that has them."""
EMPTY: Mapping[str, Any] = {"renditions": [], "captions": [], "metadata": {}}


@dataclass(frozen=True, slots=True)
class PlayerMedia:
    """Player data. `width` and `height` in pixels. `renditions`, `captions` and `action`: as in the API's responses.
    `metadata`: a map to texts, numbers and booleans."""

    poster_url: str | None = None
    width: int | None = None
    height: int | None = None
    action: Mapping[str, Any] | None = None
    renditions: tuple[Mapping[str, Any], ...] = ()
    captions: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> PlayerMedia:
        """Read the player data of a stored video. Unreadable parts, and entries without a link, are left out."""
        action = body.get("action")
        return cls(
            poster_url=link_or_none(body.get("posterUrl")),
            width=_whole(body.get("width")),
            height=_whole(body.get("height")),
            action=_linked(action, ("label",)) if isinstance(action, dict) and action.get("label") else None,
            renditions=_all_linked(body.get("renditions"), ("codecs",), ("width", "height", "bitrate")),
            captions=_all_linked(body.get("captions"), ("language",)),
            metadata=_metadata(body.get("metadata")),
        )

    def to_document(self) -> dict[str, Any]:
        """Return the set fields, as they are stored and answered."""
        return self.shown() | {name: value for name, value in self.included().items() if value}

    def shown(self) -> dict[str, Any]:
        """Return the set fields that come with every page."""
        every = {"posterUrl": self.poster_url, "width": self.width, "height": self.height, "action": self.action}
        return {name: value for name, value in every.items() if value is not None}

    def included(self) -> dict[str, Any]:
        """Return the parts that a call can include, by the names of `INCLUDES`."""
        return {"renditions": list(self.renditions), "captions": list(self.captions), "metadata": dict(self.metadata)}


NO_MEDIA = PlayerMedia()


def _all_linked(value: object, texts: tuple[str, ...], numbers: tuple[str, ...] = ()) -> tuple[Mapping[str, Any], ...]:
    entries = value if isinstance(value, list) else []
    return tuple(r for each in entries if isinstance(each, dict) and (r := _linked(each, texts, numbers)) is not None)


def _linked(value: Mapping[str, Any], texts: tuple[str, ...], numbers: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """Return an entry with its link first, then the set fields; None without a valid link."""
    url = link_or_none(value.get("url"))
    if url is None:
        return None
    found: dict[str, Any] = {"url": url}
    found |= {name: whole for name in numbers if (whole := _whole(value.get(name))) is not None}
    return found | {name: composed(text) for name in texts if isinstance(text := value.get(name), str)}


def _metadata(value: object) -> dict[str, Any]:
    found = value if isinstance(value, dict) else {}
    return {name: all_composed(each) for name, each in found.items() if isinstance(each, str | bool) or is_number(each)}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
