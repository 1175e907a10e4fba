"""Evaluates base sets of feeds and filters of requests, as masks over a catalog's rows.

`KINDS` is the one table of criteria. A base set is computed once for each version of the catalog and cached. A
request's filters are evaluated for each request and not cached. The rows of a playlist are cached, because the number
of playlists is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from ranking.columns import Rows, VideoColumns, Vocabulary
from shared.domain.feeds import Criteria, NamedFeed
from shared.domain.languages import language_key
from shared.domain.rules import Editorial
from shared.domain.tenant_cache import TenantCache

Mask = NDArray[np.bool_]
BASES_BYTES, PLAYLISTS_BYTES = 32_000_000, 16_000_000
"""Memory limits for base sets and for the rows of playlists, of all tenants together."""
_NO_ROWS: Rows = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class BaseSet:
    """The rows of a feed's base set (`mask`), and the rows of its playlists in their order (`sequence`), each once."""

    mask: Mask
    sequence: Rows = field(default_factory=lambda: _NO_ROWS)


class Catalogued:
    """A tenant's columns and playlists. `rows_of_playlists` caches the rows of playlists (None: no cache)."""

    def __init__(
        self,
        columns: VideoColumns,
        editorial: Editorial,
        rows_of_playlists: TenantCache[str, tuple[object, Sequence[str], Rows]] | None = None,
        tenant_id: str = "",
    ) -> None:
        self.columns = columns
        self._playlists = editorial.playlists
        self._kept = rows_of_playlists
        self._tenant_id = tenant_id

    def playlist(self, name: str) -> Rows:
        """Return the rows of a playlist that the catalog has, in its order; none for an unknown playlist."""
        ids = self._playlists.get(name)
        if ids is None:
            return _NO_ROWS
        version = (ref(self.columns), self.columns.version)
        known = self._kept.get(self._tenant_id, name) if self._kept is not None else None
        if known is not None and known[0] == version and known[1] is ids:
            return known[2]
        rows = np.array([row for id in dict.fromkeys(ids) if (row := self.columns.row(id)) is not None], np.int64)
        if self._kept is not None:
            self._kept.put(self._tenant_id, name, (version, ids, rows), rows.nbytes)
        return rows


def _having(codes: NDArray[np.int32], vocabulary: Vocabulary, values: Sequence[str]) -> Mask:
    mask: Mask = np.zeros(len(codes), np.bool_)
    for value in values:
        code = vocabulary.code(value)
        if code >= 0:  # an unknown value has `NO_CODE`, as have videos without one
            mask |= codes == code
    return mask


def _in_category(videos: Catalogued, values: Sequence[str]) -> Mask:
    return _having(videos.columns.category, videos.columns.categories, values)


def _by_creator(videos: Catalogued, values: Sequence[str]) -> Mask:
    return _having(videos.columns.creator, videos.columns.creators, values)


def _tagged(videos: Catalogued, values: Sequence[str]) -> Mask:
    return videos.columns.tagged(values)


def _in_playlist(videos: Catalogued, values: Sequence[str]) -> Mask:
    mask: Mask = np.zeros(len(videos.columns), np.bool_)
    for value in values:
        mask[videos.playlist(value)] = True
    return mask


def _in_series(videos: Catalogued, values: Sequence[str]) -> Mask:
    return _having(videos.columns.series, videos.columns.series_names, values)


def _in_language(videos: Catalogued, values: Sequence[str]) -> Mask:
    columns = videos.columns
    mask: Mask = np.zeros(len(columns), np.bool_)
    for value in values:
        key = language_key(value)
        if key is not None:
            mask |= columns.languages.having(key)[columns.language]
    return mask


KINDS: dict[str, tuple[str, Callable[[Catalogued, Sequence[str]], Mask]]] = {
    "tag": ("Videos with the tag.", _tagged),
    "category": ("Videos of the category (`mainTag`).", _in_category),
    "creator": ("Videos of the creator (`creatorId`).", _by_creator),
    "playlist": ("Videos of the playlist, by its id.", _in_playlist),
    "series": ("Episodes of the series.", _in_series),
    "language": ("Videos in the language, a tag such as pt-BR.", _in_language),
}
"""Kind of criterion → its meaning, and a function that returns the rows with one of some values."""


def rows_meant(criteria: Criteria, videos: Catalogued) -> Mask | None:
    """Return a mask: True for rows that meet every criterion with any of its values; None if there are no criteria.

    A value that no video has matches no row.
    """
    mask: Mask | None = None
    for kind, values in criteria:
        met = KINDS[kind][1](videos, values)
        mask = met if mask is None else mask & met
    return mask


class Subsets:
    """Base sets by tenant and feed. Everything cached is named by content teams, nothing by callers."""

    def __init__(self) -> None:
        self.bases = TenantCache[str, tuple[object, NamedFeed, Editorial, BaseSet]](BASES_BYTES)
        self.playlists = TenantCache[str, tuple[object, Sequence[str], Rows]](PLAYLISTS_BYTES)

    def videos(self, tenant_id: str, columns: VideoColumns, editorial: Editorial) -> Catalogued:
        """Return a tenant's videos as criteria evaluate them."""
        return Catalogued(columns, editorial, self.playlists, tenant_id)

    def base(self, tenant_id: str, named: NamedFeed, columns: VideoColumns, editorial: Editorial) -> BaseSet | None:
        """Return a feed's base set, the same object while nothing changes; None means every row."""
        if not named.base:
            return None
        version = (ref(columns), columns.version)
        kept = self.bases.get(tenant_id, named.id)
        if kept is not None and kept[0] == version and kept[1] is named and kept[2] is editorial:
            return kept[3]
        videos = self.videos(tenant_id, columns, editorial)
        mask = rows_meant(named.base, videos)
        assert mask is not None
        lists = [videos.playlist(value) for kind, values in named.base if kind == "playlist" for value in values]
        sequence = np.array(list(dict.fromkeys(np.concatenate([_NO_ROWS, *lists]).tolist())), np.int64)
        base = BaseSet(mask, sequence)
        self.bases.put(tenant_id, named.id, (version, named, editorial, base), mask.nbytes + sequence.nbytes)
        return base

    def wanted(self, tenant_id: str, asked: Criteria, columns: VideoColumns, editorial: Editorial) -> Mask | None:
        """Return the rows that match a request's filters; None means every row."""
        return rows_meant(asked, self.videos(tenant_id, columns, editorial)) if asked else None
