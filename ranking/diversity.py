"""Selects a page from scored candidates: MMR diversity, and caps on streaks, creators and near-duplicate titles.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): the next place goes to the video with the highest
score − `options.diversity` × (its similarity to the most similar video already on the page).

A skipped video stays a candidate, so it comes later on this page or on a later one. If only blocked videos are left,
they are served, because a short page is worse.

Functions refer to videos by their position among the candidates. Equal scores are ordered by the video's key.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Codes, Doubles, DoublesTable, Fingerprints, Integers, Keys, WrittenBytes
from ranking.columns import Rows, VideoColumns
from ranking.compiled import compiled
from ranking.user_features import RankingOptions

Similarity = Callable[[VideoColumns, Rows], NDArray[np.float64]]
"""Function that returns the (m, m) similarities in [0, 1] of some rows."""

NONE = -1
_TAKEN, _SAME_TITLE, _FULL_CREATOR = 1, 2, 4
"""Bits that say why a candidate is blocked: on the page or reserved for exploration; near-duplicate; creator cap."""


def metadata_similarity(columns: VideoColumns, rows: Rows) -> NDArray[np.float64]:
    """Return 0.5 for the same creator + 0.3 for the same category + 0.2 × the Jaccard similarity of the tags.

    A tag is one of 64 bits (`VideoColumns.tag_bits`). Two tags that share a bit count as equal, which costs a little
    diversity. Videos without tags have a tag similarity of 0.
    """
    return _similarity(rows, columns.creator, columns.category, columns.tag_bits)


def best_of(columns: VideoColumns, rows: Rows, scores: NDArray[np.float64], count: int) -> Integers:
    """Return the positions of the best `count` candidates, from best to worst."""
    return _best_of(rows, scores, columns.key, count)


def diversify(
    columns: VideoColumns,
    rows: Rows,
    scores: NDArray[np.float64],
    best: Integers,
    options: RankingOptions,
    *,
    similarity: Similarity = metadata_similarity,
    explored: int = NONE,
    explored_place: int = 0,
) -> Integers:
    """Select the page, as positions among the candidates `rows`; at most `options.limit`.

    MMR applies to the `best`; the other candidates are searched only when rules block all of these. `explored`: the
    position to put at `explored_place`, or at the first place after it where no rule blocks it.
    """
    similarities = similarity(columns, rows[best]) if options.diversity > 0 else np.zeros((0, 0))
    return _select_page(
        rows,
        scores,
        best,
        similarities,
        options.diversity,
        np.array(options.served, np.int64),
        columns.category,
        columns.creator,
        columns.title,
        columns.key,
        options.limit,
        options.streak_cap,
        options.creator_cap,
        explored,
        explored_place,
    )


@compiled
def bits_set(bits: np.uint64) -> np.int64:
    """Count the set bits, eight at a time (Warren, Hacker's Delight, 5-1)."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _similarity(rows: Integers, creator: Codes, category: Codes, tag_bits: Keys) -> DoublesTable:
    similarities = np.zeros((len(rows), len(rows)))
    tags = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        a = rows[i]
        tags[i] = bits_set(tag_bits[a])
        for j in range(i + 1):
            b = rows[j]
            value = 0.5 if creator[a] >= 0 and creator[a] == creator[b] else 0.0
            if category[a] >= 0 and category[a] == category[b]:
                value += 0.3
            both = bits_set(tag_bits[a] & tag_bits[b])
            if both:
                value += both / (tags[i] + tags[j] - both) * 0.2
            similarities[i, j] = similarities[j, i] = value
    return similarities


@compiled
def _ahead(score: float, key: np.uint64, other_score: float, other_key: np.uint64) -> bool:
    return score > other_score or (score == other_score and bool(key < other_key))


@compiled
def _best_of(rows: Integers, scores: Doubles, key: Keys, count: int) -> Integers:
    """Return the best candidates by insertion sort: after the first few, hardly any candidate beats the worst of
    them."""
    best = np.empty(max(0, min(count, len(rows))), np.int64)
    if not len(best):
        return best
    found = 0
    for i in range(len(rows)):
        if found == len(best):
            last = best[found - 1]
            if not _ahead(scores[i], key[rows[i]], scores[last], key[rows[last]]):
                continue
            found -= 1
        at = found
        while at > 0 and _ahead(scores[i], key[rows[i]], scores[best[at - 1]], key[rows[best[at - 1]]]):
            best[at] = best[at - 1]
            at -= 1
        best[at] = i
        found += 1
    return best


@compiled
def _creator_is_full(page: Integers, rows: Integers, creator: Codes, row: int, creator_cap: int) -> bool:
    """Tell whether the page has reached the creator cap for the row's creator."""
    if creator_cap == 0 or creator[row] < 0:
        return False
    count = 0
    for position in page:
        count += creator[rows[position]] == creator[row]
    return count >= creator_cap


@compiled
def _mark_blocked(
    blocked: WrittenBytes,
    positions: Integers,
    rows: Integers,
    title: Fingerprints,
    same: np.uint32,
    creator: Codes,
    full: int,
) -> None:
    """Mark those of the positions that have the title `same` (0: none) or the creator `full` (`NONE`: none)."""
    if same == 0 and full == NONE:
        return
    for position in positions:
        row = rows[position]
        if same != 0 and title[row] == same:
            blocked[position] |= _SAME_TITLE
        if full != NONE and creator[row] == full:
            blocked[position] |= _FULL_CREATOR


@compiled
def _best_by_mmr(
    best: Integers, mmr: Doubles, blocked: WrittenBytes, rows: Integers, category: Codes, capped: int
) -> int:
    """Return the index in `best` of the highest MMR value that no rule blocks; the first one of equal values."""
    top, found = -np.inf, NONE
    for i in range(len(best)):
        if mmr[i] > top and blocked[best[i]] == 0 and (capped == NONE or category[rows[best[i]]] != capped):
            top, found = mmr[i], i
    return found


@compiled
def _best_unblocked(
    scores: Doubles, rows: Integers, blocked: WrittenBytes, reasons: int, key: Keys, category: Codes, capped: int
) -> int:
    """Return the best of all candidates that no given reason blocks and that are not of the capped category."""
    found = NONE
    for i in range(len(rows)):
        if found != NONE and scores[i] < scores[found]:
            continue
        if blocked[i] & reasons or (capped != NONE and category[rows[i]] == capped):
            continue
        if found == NONE or _ahead(scores[i], key[rows[i]], scores[found], key[rows[found]]):
            found = i
    return found


@compiled
def _has_title(page: Integers, rows: Integers, served: Integers, title: Fingerprints, wanted: np.uint32) -> bool:
    """Tell whether a video with this title is on the page or the previous one; 0 is no title."""
    found = 0
    for row in served:
        found += title[row] == wanted
    for position in page:
        found += title[rows[position]] == wanted
    return wanted != 0 and found > 0


@compiled
def _search_all(
    scores: Doubles,
    rows: Integers,
    blocked: WrittenBytes,
    page: Integers,
    served: Integers,
    key: Keys,
    category: Codes,
    creator: Codes,
    title: Fingerprints,
    creator_cap: int,
    capped: int,
) -> int:
    """Return the best of all candidates when rules block all of `best`, by ever fewer rules until one candidate passes.

    The creator cap is dropped first, then the streak cap, then the near-duplicate rule. When the search finds a
    video that a rule blocks, it marks all videos with the same title or creator at once. So the search stays short even
    in a catalog of one creator or one title.
    """
    taken_or_title = _TAKEN | _SAME_TITLE
    for reasons, cap in (
        (taken_or_title | _FULL_CREATOR, capped),
        (taken_or_title, capped),
        (taken_or_title, NONE),
        (_TAKEN, NONE),
    ):
        found = _best_unblocked(scores, rows, blocked, reasons, key, category, cap)
        while found != NONE:
            row = rows[found]
            same, full = np.uint32(0), NONE
            if reasons & _SAME_TITLE and _has_title(page, rows, served, title, title[row]):
                same = title[row]
            if reasons & _FULL_CREATOR and _creator_is_full(page, rows, creator, row, creator_cap):
                full = creator[row]
            if same == 0 and full == NONE:
                return found
            _mark_blocked(blocked, np.arange(len(rows)), rows, title, same, creator, full)
            found = _best_unblocked(scores, rows, blocked, reasons, key, category, cap)
    return NONE


@compiled
def _index_in(position: int, best: Integers) -> int:
    for i in range(len(best)):
        if best[i] == position:
            return i
    return NONE


@compiled
def _select_page(
    rows: Integers,
    scores: Doubles,
    best: Integers,
    similarities: DoublesTable,
    diversity: float,
    served: Integers,
    category: Codes,
    creator: Codes,
    title: Fingerprints,
    key: Keys,
    limit: int,
    streak_cap: int,
    creator_cap: int,
    explored: int,
    explored_place: int,
) -> Integers:
    page, size = np.empty(min(limit, len(rows)), np.int64), 0
    mmr = np.empty(len(best))
    for i in range(len(best)):
        mmr[i] = scores[best[i]]
    blocked = np.zeros(len(rows), np.uint8)
    # Blocks are kept up to date for the best and the explored one; `_search_all` finds those of the others.
    marked = np.empty(len(best) + 1, np.int64)
    marked[:-1], marked[-1] = best, explored
    if explored == NONE:
        marked = marked[:-1]
    else:
        blocked[explored] = _TAKEN
    streak, last = 0, NONE
    for row in served:
        streak = streak + 1 if category[row] == last else 1
        last = category[row]
        _mark_blocked(blocked, marked, rows, title, title[row], creator, NONE)
    while size < len(page):
        capped = last if streak_cap and streak >= streak_cap else NONE
        chosen, at = NONE, NONE
        if (
            explored != NONE
            and size >= explored_place
            and blocked[explored] == _TAKEN
            and (capped == NONE or category[rows[explored]] != capped)
        ):
            chosen, explored = explored, NONE
        if chosen == NONE:
            at = _best_by_mmr(best, mmr, blocked, rows, category, capped)
            chosen = best[at] if at != NONE else NONE
        if chosen == NONE:
            chosen = _search_all(
                scores, rows, blocked, page[:size], served, key, category, creator, title, creator_cap, capped
            )
        if chosen == NONE:
            break
        page[size] = chosen
        size += 1
        blocked[chosen] |= _TAKEN
        row = rows[chosen]
        # Videos without a category make no streak.
        streak = streak + 1 if category[row] == last else 1
        last = category[row]
        full = creator[row] if _creator_is_full(page[:size], rows, creator, row, creator_cap) else NONE
        _mark_blocked(blocked, marked, rows, title, title[row], creator, full)
        if diversity > 0.0:
            if at == NONE:
                at = _index_in(chosen, best)
            if at != NONE:
                for i in range(len(best)):
                    mmr[i] = min(mmr[i], scores[best[i]] - diversity * similarities[at, i])
    return page[:size]
