"""CMS endpoint that lists the categories, tags, creators and series of a tenant's videos, for pickers."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Annotated, Any

import azure.functions as func
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cms.changes import not_found
from cms.endpoint import LIMIT, cms_endpoint, query
from cms.request import CmsRequest
from feed.catalog import Catalog, Catalogs
from ranking.columns import NO_CODE, VideoColumns, Vocabulary
from shared.adapters.documents.port import StoreUnavailable
from shared.domain.formats import SLUG
from shared.domain.text import composed
from shared.web.endpoint import Edge, json_response
from shared.web.problems import unavailable
from shared.web.responses import Count, View

MAX_LENGTH = 128

Counted = list[tuple[str, str, int]]
"""(value, case-folded value, number of videos), the most used first."""


class CatalogValue(View):
    """A value of a field, used by at least one video."""

    value: str
    videos: Annotated[Count, Field(description="Number of videos that have it, in any state.")]


class CatalogValues(View):
    """Values of one field: an exact match of `q`, then those that begin with it, then the rest; the most used first."""

    values: list[CatalogValue]
    total: Annotated[Count, Field(description="Number of matching values, including those beyond `limit`.")]


def _used(codes: NDArray[np.int32], vocabulary: Vocabulary) -> list[int]:
    """Count the rows that have each text of a vocabulary."""
    counts: list[int] = np.bincount(codes[codes != NO_CODE], minlength=len(vocabulary)).tolist()
    return counts


FIELDS: dict[str, tuple[Callable[[VideoColumns], Vocabulary], Callable[[VideoColumns], list[int]]]] = {
    "categories": (lambda all: all.categories, lambda all: _used(all.category, all.categories)),
    "tags": (lambda all: all.tag_names, VideoColumns.videos_of_each_tag),
    "creators": (lambda all: all.creators, lambda all: _used(all.creator, all.creators)),
    "series": (lambda all: all.series_names, lambda all: _used(all.series, all.series_names)),
}


def counted(columns: VideoColumns, field: str) -> Counted:
    """List every used value of a field, the most used first."""
    vocabulary, counts = FIELDS[field]
    found = [
        (text, text.casefold(), many)
        for text, many in zip(vocabulary(columns).texts, counts(columns), strict=True)
        if many
    ]
    return sorted(found, key=lambda each: (-each[2], each[1]))


def fitting(values: Counted, asked: str) -> Counted:
    """Return the values that contain a text, ignoring case; exact matches first, then those that begin with it."""
    wanted = composed(asked).strip().casefold()
    found = [each for each in values if wanted in each[1]]
    return sorted(found, key=lambda each: (each[1] != wanted, not each[1].startswith(wanted)))


class ValuesApi:
    """Lists values of a tenant's videos. The counts are cached until the catalog changes."""

    def __init__(self, edge: Edge, catalogs: Catalogs) -> None:
        self.edge = edge
        self._catalogs = catalogs
        self._counted: weakref.WeakKeyDictionary[Catalog, dict[str, tuple[int, Counted]]] = weakref.WeakKeyDictionary()

    @cms_endpoint(
        "GET",
        "values/{field}",
        "List the values of a field",
        {200: CatalogValues},
        tag="videos",
        description=f"`field`: {', '.join(f'`{name}`' for name in FIELDS)}.",
        parameters=(LIMIT, query("q", "Only values that contain this text, ignoring case.")),
        problems=("invalid_limit",),
    )
    async def list_values(self, call: CmsRequest) -> func.HttpResponse:
        """Return the values of one field, for pickers."""
        field = call.path("field", SLUG)
        if field not in FIELDS:
            raise not_found("field")
        limit, _ = call.page()
        try:
            catalog = await self._catalogs.get(call.tenant_id)
        except StoreUnavailable as error:
            raise unavailable(
                "The catalog cannot be read now. Wait the seconds in Retry-After, then try again."
            ) from error
        asked: str = (call.request.params.get("q") or "")[:MAX_LENGTH]
        found = fitting(await self._values(catalog, field), asked)
        values: list[Any] = [CatalogValue.unchecked(value=text, videos=many) for text, _, many in found[:limit]]
        return json_response(CatalogValues.unchecked(values=values, total=len(found)))

    async def _values(self, catalog: Catalog, field: str) -> Counted:
        kept = self._counted.setdefault(catalog, {})
        version = catalog.columns.version
        if field not in kept or kept[field][0] != version:
            await asyncio.sleep(0)  # let waiting feed requests run first
            kept[field] = (version, counted(catalog.columns, field))
        return kept[field][1]
