"""Columnar catalog of one tenant: one row per video, and no object per video on the request path.

Rows are updated in place. A request ranks without awaiting, so in the single-threaded event loop no reader sees a
half-written row. Row numbers are reused after `remove`, so do not keep them across an await; ids and fingerprints are
safe to keep.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ranking.lookup import rows_without, value_of_each
from ranking.serving import allowed_rows
from shared.domain.age_bands import AgeBand, bands_named
from shared.domain.fingerprint import SEEN_MASK, fingerprint, fingerprint_of_name
from shared.domain.languages import language_key, same_language
from shared.domain.records import Video, rating_rank

MAX_TAGS = 8
"""Tags per row of the column; the ranking ignores a video's further tags, rules do not (`VideoColumns.tagged`)."""
MAX_ASKED = 256
"""Limit of cached names, for each kind of name."""
NO_CODE = -1
NEVER = float("inf")
_FIRST_CAPACITY = 64

Rows = NDArray[np.int64]
N = TypeVar("N", bound=Hashable)


class Vocabulary:
    """Maps texts to small integer codes 0, 1, 2, …, found by text or by fingerprint. Codes are never removed.

    Texts with equal fingerprints share a code, because a user's signals cannot tell them apart either.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._codes: dict[int, int] = {}
        self._code_of_text: dict[str, int] = {}
        self._ascending: tuple[NDArray[np.uint32], NDArray[np.int64]] = np.zeros(0, np.uint32), np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.texts)

    def add(self, text: str) -> int:
        """Return the code of a text, adding it if it is new; `NO_CODE` for the empty text."""
        code = self._code_of_text.get(text)
        if code is not None:
            return code
        if not text:
            return NO_CODE
        code = self._code_of_text[text] = self._codes.setdefault(fingerprint_of_name(text), len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
        return code

    def code(self, text: str | None) -> int:
        """Return the code of a text, `NO_CODE` if no video ever had it."""
        return self._codes.get(fingerprint(text), NO_CODE) if text else NO_CODE

    def shown(self, fingerprint: int) -> str:
        """Return the text of a fingerprint, or `#` and the fingerprint in hex if no video ever had it."""
        code = self._codes.get(fingerprint)
        return f"#{fingerprint:08x}" if code is None else self.texts[code]

    def codes(self, fingerprints: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the codes of some fingerprints; `len(self)` for unknown ones."""
        if len(self._ascending[0]) != len(self):
            keys = np.fromiter(self._codes, np.uint32, len(self))
            codes = np.fromiter(self._codes.values(), np.int64, len(self))
            order = keys.argsort()
            self._ascending = keys[order], codes[order]
        return value_of_each(fingerprints, *self._ascending, len(self))


class NameSets(Generic[N]):
    """Maps sets of names, such as a video's countries, to small integer codes. Codes are never removed.

    `meets(name, asked)` tells whether a name in a set matches the requested one; by default, equality.
    """

    def __init__(self, meets: Callable[[N, N], bool] = lambda name, asked: name == asked) -> None:
        self._meets = meets
        self._codes: dict[frozenset[N], int] = {}
        self._having: dict[N, NDArray[np.bool_]] = {}
        self.names: set[N] = set()

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, names: Iterable[N]) -> int:
        """Return the code of a set, adding it if it is new; `NO_CODE` for the empty set."""
        wanted = frozenset(names)
        if not wanted:
            return NO_CODE
        if wanted not in self._codes:
            self.names |= wanted
        return self._codes.setdefault(wanted, len(self._codes))

    def having(self, asked: N) -> NDArray[np.bool_]:
        """Return per code whether the set has a matching name; the last element is False, for `NO_CODE`."""
        cached = self._having.get(asked)
        if cached is None or len(cached) != len(self) + 1:
            meant = {name for name in self.names if self._meets(name, asked)}
            cached = np.array([not meant.isdisjoint(names) for names in self._codes] + [False], np.bool_)
            if len(self._having) >= MAX_ASKED:
                self._having.clear()
            if meant:  # names that clients invent are not cached
                self._having[asked] = cached
        return cached


def key64(video_id: str) -> int:
    """Hash a video id to 64 bits (BLAKE2b): the key in the statistics, and a tie-breaker. Collisions are negligible."""
    return int.from_bytes(blake2b(video_id.encode(), digest_size=8).digest(), "little")


def title_key(title: str) -> int:
    """Fingerprint of a title's set of words, ignoring case, punctuation and Unicode form; near-duplicates share it.

    0 for a title without words, which has no near-duplicates.
    """
    if title.isascii():
        words = title.lower().translate(_BETWEEN_WORDS).split()
    else:
        text = unicodedata.normalize("NFKC", title).casefold()
        words = "".join(c if c.isalnum() else " " for c in text).split()
    return (fingerprint(" ".join(sorted(set(words)))) or 1) if words else 0


_BETWEEN_WORDS = {code: " " for code in range(128) if not chr(code).isalnum()}
_language_key = lru_cache(1_024)(language_key)
"""Cached, since stored videos have few languages."""

_ROW = [
    ("fingerprint", np.uint32),
    ("key", np.uint64),
    ("category", np.int32),
    ("creator", np.int32),
    ("language", np.int32),
    ("country_set", np.int32),
    ("age_band_set", np.int32),
    ("platform_set", np.int32),
    ("duration", np.float32),
    ("published_at", np.float64),
    ("expires_at", np.float64),
    ("maturity", np.int8),
    ("boost", np.float32),
    ("popularity", np.float32),
    ("title", np.uint32),
    ("tag_share", np.float32),
    ("tag_bits", np.uint64),
    ("active", np.bool_),
    ("series", np.int32),
    ("season", np.int32),
    ("episode", np.int32),
]

_NO_TAGS = (NO_CODE,) * MAX_TAGS
_CODES = ("category", "creator", "language", "country_set", "age_band_set", "platform_set", "series", "tags")
"""Columns of codes; -1 means none."""


class VideoColumns:
    """Mutable table of videos. Every column has `len(columns)` rows; a removed row stays, inactive, until reused.

    - `fingerprint` u32 and `key` u64 of the video's id.
    - `category`, `creator`, `language`, `country_set`, `age_band_set`, `platform_set`, `series`: codes, -1 for none.
    - `tags` (n, 8): codes padded with -1. No row uses more than `tag_width` of them.
    - `tag_share`: 1 / number of tags. `tag_bits`: a bit per tag, by its code modulo 64.
    - `season`, `episode`: sort the videos of a series (`UNNUMBERED`: no number).
    - `duration` in seconds. `published_at`, `expires_at` in seconds since the epoch (infinity: never).
    - `maturity`: rank (`UNRATED` = 127). `boost` in [-10, 10].
    - `popularity`: percentile of demand set by a content team, -1 for none.
    - `title`: equal for near-duplicates, 0 for none. `active`: whether the video can be shown.

    `version` counts the changes; caches compare it.
    """

    fingerprint: NDArray[np.uint32]
    key: NDArray[np.uint64]
    category: NDArray[np.int32]
    creator: NDArray[np.int32]
    language: NDArray[np.int32]
    country_set: NDArray[np.int32]
    age_band_set: NDArray[np.int32]
    platform_set: NDArray[np.int32]
    duration: NDArray[np.float32]
    published_at: NDArray[np.float64]
    expires_at: NDArray[np.float64]
    maturity: NDArray[np.int8]
    boost: NDArray[np.float32]
    popularity: NDArray[np.float32]
    title: NDArray[np.uint32]
    tag_share: NDArray[np.float32]
    tag_bits: NDArray[np.uint64]
    active: NDArray[np.bool_]
    series: NDArray[np.int32]
    season: NDArray[np.int32]
    episode: NDArray[np.int32]
    tags: NDArray[np.int32]

    def __init__(self, videos: Iterable[Video] = ()) -> None:
        self.version = 0
        self.tag_width = 0
        self.ids: list[str] = []
        self.categories, self.creators, self.tag_names = Vocabulary(), Vocabulary(), Vocabulary()
        self.series_names = Vocabulary()
        self.languages = NameSets[str](same_language)
        self.country_sets, self.platform_sets = NameSets[str](), NameSets[str]()
        self.age_band_sets = NameSets[AgeBand](AgeBand.overlaps)
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._full: dict[str, NDArray[Any]] = {name: np.zeros(_FIRST_CAPACITY, dtype) for name, dtype in _ROW}
        self._full["tags"] = np.full((_FIRST_CAPACITY, MAX_TAGS), NO_CODE, np.int32)
        self._further_tags: dict[int, tuple[int, ...]] = {}
        self._by_tag: tuple[int, list[int], Rows] = (-1, [], np.zeros(0, np.int64))
        self._lookups: dict[int, tuple[NDArray[np.uint32], Rows]] = {}
        self._on_air: tuple[int, float, float, NDArray[np.bool_]] = (-1, 0.0, 0.0, np.zeros(0, np.bool_))
        self._update_views()
        for video in videos:
            self.upsert(video)

    def __len__(self) -> int:
        """Return the number of rows, including removed ones."""
        return len(self.ids)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._rows

    def row(self, video_id: str) -> int | None:
        """Return the row of a video, None if it is not in the catalog."""
        return self._rows.get(video_id)

    def rows(self) -> Rows:
        """Return the rows that hold a video, in no particular order."""
        return np.fromiter(self._rows.values(), np.int64, len(self._rows))

    def upsert(self, video: Video) -> int:
        """Add a video or overwrite its row; return the row."""
        return self.upsert_all([video])[0]

    def upsert_all(self, videos: Sequence[Video]) -> list[int]:
        """Add or overwrite several videos at a fraction of the cost; return their rows. Of two with the same id the
        later wins."""
        if not videos:
            return []
        tags = [self._tag_codes(video) for video in videos]
        cells = [self._cells(video, codes) for video, codes in zip(videos, tags, strict=True)]
        count = len(self.ids)
        rows = [self._row_for(video.id) for video in videos]
        if len(self.ids) > count:
            self._update_views()
        at = rows[0] if len(rows) == 1 else np.array(rows)
        for (name, dtype), values in zip(_ROW, zip(*cells, strict=True), strict=True):
            self._full[name][at] = values[0] if len(rows) == 1 else np.array(values, dtype)
        self._full["tags"][rows] = [codes[:MAX_TAGS] + _NO_TAGS[len(codes) :] for codes in tags]
        self.tag_width = max(self.tag_width, *[min(MAX_TAGS, len(codes)) for codes in tags])
        for row, codes in zip(rows, tags, strict=True):
            if len(codes) > MAX_TAGS:
                self._further_tags[row] = codes[MAX_TAGS:]
            elif self._further_tags:
                self._further_tags.pop(row, None)
        self.version += 1
        return rows

    def _tag_codes(self, video: Video) -> tuple[int, ...]:
        """Return the codes of a video's tags, each once."""
        return tuple(dict.fromkeys([self.tag_names.add(tag) for tag in video.tags if tag]))

    def _cells(self, video: Video, tags: tuple[int, ...]) -> tuple[Any, ...]:
        """Return a video's values in the order of `_ROW`; `tags` are the codes of its tags."""
        shown = tags[:MAX_TAGS]
        return (
            fingerprint(video.id),
            key64(video.id),
            self.categories.add(video.category),
            self.creators.add(video.creator),
            self.languages.add(filter(None, [_language_key(video.language)])),
            self.country_sets.add(video.countries),
            self.age_band_sets.add(bands_named(video.age_bands)),
            self.platform_sets.add(video.platforms),
            max(0.0, video.duration_seconds),
            video.published_at,
            NEVER if video.expires_at is None else video.expires_at,
            rating_rank(video.maturity_rating),
            min(10.0, max(-10.0, video.editorial_boost)),
            -1.0 if video.popularity_override is None else video.popularity_override,
            title_key(video.title),
            1.0 / max(1, len(shown)),
            sum({1 << (code & 63) for code in shown}),
            video.active,
            self.series_names.add(video.place.series_id),
            *video.place.order,
        )

    def remove(self, video_id: str) -> bool:
        """Remove a video; return whether it existed."""
        row = self._rows.pop(video_id, None)
        if row is None:
            return False
        for name, dtype in _ROW:
            self._full[name][row] = np.zeros((), dtype)
        for name in _CODES:
            self._full[name][row] = NO_CODE
        self._further_tags.pop(row, None)
        self.ids[row] = ""
        self._free.append(row)
        self._lookups.clear()
        self.version += 1
        return True

    def tagged(self, tags: Iterable[str]) -> NDArray[np.bool_]:
        """Return a mask: True for rows that have at least one of the tags, however many tags they have."""
        version, starts, rows = self._by_tag
        if version != self.version:
            table_rows, _ = np.nonzero(self.tags != NO_CODE)
            further = [(row, code) for row, more in self._further_tags.items() for code in more]
            more_rows, more_codes = zip(*further, strict=True) if further else ((), ())
            codes = np.concatenate([self.tags[self.tags != NO_CODE], np.array(more_codes, np.int32)])
            rows = np.concatenate([table_rows, np.array(more_rows, np.int64)])
            order = codes.argsort(kind="stable")
            rows = rows[order]
            starts = np.searchsorted(codes[order], np.arange(len(self.tag_names) + 1)).tolist()
            self._by_tag = (self.version, starts, rows)
        mask: NDArray[np.bool_] = np.zeros(len(self), np.bool_)
        for tag in tags:
            code = self.tag_names.code(tag)
            if code != NO_CODE:
                mask[rows[starts[code] : starts[code + 1]]] = True
        return mask

    def videos_of_each_tag(self) -> list[int]:
        """Return how many rows have each tag, by its code."""
        self.tagged(())
        counts: list[int] = np.diff(self._by_tag[1]).tolist()
        return counts

    def find(self, fingerprints: NDArray[np.uint32], *, bits: int = 32) -> Rows:
        """Return the rows whose fingerprints (low `bits`) are among the given ones; all rows of a collision."""
        return np.flatnonzero(~self.without(fingerprints, bits=bits))

    def without(self, fingerprints: NDArray[np.uint32], *, bits: int = 32) -> NDArray[np.bool_]:
        """Return a mask: False for the rows `find` returns, True for all others."""
        return rows_without(fingerprints, *self.by_fingerprint(bits), len(self))

    def row_of_each(self, fingerprints: NDArray[np.uint32]) -> Rows:
        """Return one row per 32-bit fingerprint, -1 if there is none; the first by `key` in a collision."""
        return value_of_each(fingerprints, *self.by_fingerprint(), -1)

    def by_fingerprint(self, bits: int = 32) -> tuple[NDArray[np.uint32], Rows]:
        """Return the fingerprints' low bits in ascending order, equal ones by `key`, and the row of each.

        Cached until a row is added or removed.
        """
        found = self._lookups.get(bits)
        if found is None:
            rows = self.rows()
            keys = self.fingerprint[rows] & np.uint32(SEEN_MASK if bits == 24 else (1 << bits) - 1)
            order = np.lexsort((self.key[rows], keys))
            found = self._lookups[bits] = (keys[order], rows[order])
        return found

    def on_air(self, now: float) -> NDArray[np.bool_]:
        """Return a mask: True for rows that are published and not expired. Cached until the next one starts or ends."""
        version, since, until, mask = self._on_air
        if version == self.version and since <= now < until:
            return mask
        mask = (self.published_at <= now) & (now < self.expires_at)
        turns = np.concatenate([self.published_at, self.expires_at])
        since = float(turns[turns <= now].max(initial=-NEVER))
        self._on_air = (self.version, since, float(turns[turns > now].min(initial=NEVER)), mask)
        return mask

    def airing(self, now: float) -> tuple[float, float]:
        """Return since when (inclusive) and until when (exclusive) `on_air` has its current value."""
        self.on_air(now)
        _, since, until, _ = self._on_air
        return since, until

    def servable(self, rows: Rows, now: float, most: int) -> NDArray[np.bool_]:
        """Return for each of some rows whether it is active, on air, and of a maturity rank of at most `most`."""
        return allowed_rows(rows, self.active, self.published_at, self.expires_at, self.maturity, float(now), most)

    def allowed_in(self, country: str | None, rows: Rows | None = None) -> NDArray[np.bool_]:
        """Return a mask: True for rows without a country list and rows that list the country, of all rows or of `rows`.

        If the country is unknown (None), only videos without a list are allowed.
        """
        codes = self.country_set if rows is None else self.country_set[rows]
        everywhere: NDArray[np.bool_] = codes == NO_CODE
        if country is None:
            return everywhere
        allowed: NDArray[np.bool_] = self.country_sets.having(country)[codes]
        return allowed | everywhere

    def _row_for(self, video_id: str) -> int:
        """Return the row of a video, a new one if it has none. The public columns do not include a new row yet."""
        row = self._rows.get(video_id)
        if row is not None:
            return row
        if self._free:
            row = self._free.pop()
            self.ids[row] = video_id
        else:
            row = len(self.ids)
            self.ids.append(video_id)
            if row >= len(self._full["active"]):
                self._grow()
        self._rows[video_id] = row
        self._lookups.clear()
        return row

    def _grow(self) -> None:
        self._full = {name: np.concatenate([column, np.zeros_like(column)]) for name, column in self._full.items()}

    def _update_views(self) -> None:
        """Make the public columns views of the rows in use."""
        for name, column in self._full.items():
            setattr(self, name, column[: len(self.ids)])
