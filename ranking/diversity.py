"""From scores to a page: variety by MMR, and rules against streaks, one-creator pages and near-duplicate titles.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): the next place goes to the video with the highest
score − `context.diversity` × (its similarity to the most similar video already on the page).

Nothing is lost: what is passed over keeps its place in line, so it comes later on the page or on a later one. When
only such videos are left they are served, for a short page would be the worse answer.

Videos are named by their position among the candidates. Equal scores are told apart by the video's key.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ranking.columns import Rows, VideoColumns
from ranking.compiled import (
    Codes,
    Doubles,
    DoublesTable,
    Fingerprints,
    Integers,
    Keys,
    WrittenBytes,
    compiled,
)
from ranking.user_features import RankingOptions

Similarity = Callable[[VideoColumns, Rows], NDArray[np.float64]]
"""(m, m) similarities in [0, 1] of some rows."""

NONE = -1
_TAKEN, _SAME_TITLE, _FULL_CREATOR = 1, 2, 4
"""Why a candidate may not come: on the page or promised to the slot; like one in title; its creator has enough."""


def metadata_similarity(columns: VideoColumns, rows: Rows) -> NDArray[np.float64]:
    """0.5 for the same creator, 0.3 for the same category, 0.2 × the share of common tags; no tag is no likeness.

    A tag is one of 64 bits (`VideoColumns.tag_bits`): two that share a bit look alike, which costs variety a little.
    """
    return _likeness(rows, columns.creator, columns.category, columns.tag_bits)


def best_of(columns: VideoColumns, rows: Rows, scores: NDArray[np.float64], count: int) -> Integers:
    """The positions of the best `count` candidates, from best to worst."""
    return _best_of(rows, scores, columns.key, count)


def diversify(
    columns: VideoColumns,
    rows: Rows,
    scores: NDArray[np.float64],
    best: Integers,
    context: RankingOptions,
    *,
    similarity: Similarity = metadata_similarity,
    explored: int = NONE,
    explored_place: int = 0,
) -> Integers:
    """The page as positions among the candidates `rows`, at most `context.limit`.

    Variety is sought among the `best`; the rest is looked at only when a rule leaves none of these. `explored`: the
    position to put at `explored_place`, or at the first place after it where no rule forbids.
    """
    likeness = similarity(columns, rows[best]) if context.diversity > 0 else np.zeros((0, 0))
    return _select_page(
        rows,
        scores,
        best,
        likeness,
        context.diversity,
        np.array(context.served, np.int64),
        columns.category,
        columns.creator,
        columns.title,
        columns.key,
        context.limit,
        context.streak_cap,
        context.creator_cap,
        explored,
        explored_place,
    )


@compiled
def _bits_set(bits: np.uint64) -> np.int64:
    """How many bits are set, eight at a time (Warren, Hacker's Delight, 5-1)."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _likeness(rows: Integers, creator: Codes, category: Codes, tag_bits: Keys) -> DoublesTable:
    like = np.zeros((len(rows), len(rows)))
    tags = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        a = rows[i]
        tags[i] = _bits_set(tag_bits[a])
        for j in range(i + 1):
            b = rows[j]
            value = 0.5 if creator[a] >= 0 and creator[a] == creator[b] else 0.0
            if category[a] >= 0 and category[a] == category[b]:
                value += 0.3
            both = _bits_set(tag_bits[a] & tag_bits[b])
            if both:
                value += both / (tags[i] + tags[j] - both) * 0.2
            like[i, j] = like[j, i] = value
    return like


@compiled
def _ahead(score: float, key: np.uint64, other_score: float, other_key: np.uint64) -> bool:
    return score > other_score or (score == other_score and bool(key < other_key))


@compiled
def _best_of(rows: Integers, scores: Doubles, key: Keys, count: int) -> Integers:
    """By insertion: after the first few, hardly any candidate is better than the last of the best."""
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
def _has_enough(page: Integers, rows: Integers, creator: Codes, row: int, creator_cap: int) -> bool:
    """Whether the page has as many videos of the row's creator as it may have."""
    if creator_cap == 0 or creator[row] < 0:
        return False
    count = 0
    for position in page:
        count += creator[rows[position]] == creator[row]
    return count >= creator_cap


@compiled
def _mark_blocked(
    barred: WrittenBytes,
    kept: Integers,
    rows: Integers,
    title: Fingerprints,
    same: np.uint32,
    creator: Codes,
    full: int,
) -> None:
    """Note at the kept positions which have a title (0 is none) or a creator (`NONE`: none) that may not come."""
    if same == 0 and full == NONE:
        return
    for position in kept:
        row = rows[position]
        if same != 0 and title[row] == same:
            barred[position] |= _SAME_TITLE
        if full != NONE and creator[row] == full:
            barred[position] |= _FULL_CREATOR


@compiled
def _most_worth(
    best: Integers, worth: Doubles, barred: WrittenBytes, rows: Integers, category: Codes, capped: int
) -> int:
    """Which of the best, as a place among these, is worth most beside the page; of equal ones the first."""
    top, found = -np.inf, NONE
    for i in range(len(best)):
        if worth[i] > top and barred[best[i]] == 0 and (capped == NONE or category[rows[best[i]]] != capped):
            top, found = worth[i], i
    return found


@compiled
def _first_left(
    scores: Doubles, rows: Integers, barred: WrittenBytes, bars: int, key: Keys, category: Codes, capped: int
) -> int:
    """The best of all candidates that have none of these bars and are not of the capped category."""
    found = NONE
    for i in range(len(rows)):
        if found != NONE and scores[i] < scores[found]:
            continue
        if barred[i] & bars or (capped != NONE and category[rows[i]] == capped):
            continue
        if found == NONE or _ahead(scores[i], key[rows[i]], scores[found], key[rows[found]]):
            found = i
    return found


@compiled
def _has_title(page: Integers, rows: Integers, served: Integers, title: Fingerprints, wanted: np.uint32) -> bool:
    """Whether a video with this title was served before or is on the page; 0 is no title."""
    found = 0
    for row in served:
        found += title[row] == wanted
    for position in page:
        found += title[rows[position]] == wanted
    return wanted != 0 and found > 0


@compiled
def _look_further(
    scores: Doubles,
    rows: Integers,
    barred: WrittenBytes,
    page: Integers,
    served: Integers,
    key: Keys,
    category: Codes,
    creator: Codes,
    title: Fingerprints,
    creator_cap: int,
    capped: int,
) -> int:
    """The best of all when none of the first ones may come: first by all rules, then by ever fewer of them.

    Rather many of a creator than a streak, rather a streak than a near-duplicate, rather that than nothing. A bar is
    found when a search meets it, and then noted for all alike at once, so that no catalog (one creator, one title)
    makes a search long.
    """
    by_titles = _TAKEN | _SAME_TITLE
    for bars, cap in ((by_titles | _FULL_CREATOR, capped), (by_titles, capped), (by_titles, NONE), (_TAKEN, NONE)):
        found = _first_left(scores, rows, barred, bars, key, category, cap)
        while found != NONE:
            row = rows[found]
            same, full = np.uint32(0), NONE
            if bars & _SAME_TITLE and _has_title(page, rows, served, title, title[row]):
                same = title[row]
            if bars & _FULL_CREATOR and _has_enough(page, rows, creator, row, creator_cap):
                full = creator[row]
            if same == 0 and full == NONE:
                return found
            _mark_blocked(barred, np.arange(len(rows)), rows, title, same, creator, full)
            found = _first_left(scores, rows, barred, bars, key, category, cap)
    return NONE


@compiled
def _place_of(position: int, best: Integers) -> int:
    for i in range(len(best)):
        if best[i] == position:
            return i
    return NONE


@compiled
def _select_page(
    rows: Integers,
    scores: Doubles,
    best: Integers,
    likeness: DoublesTable,
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
    worth = np.empty(len(best))
    for i in range(len(best)):
        worth[i] = scores[best[i]]
    barred = np.zeros(len(rows), np.uint8)
    # Bars are kept for the best and the explored one; for others they are found when the page looks further.
    kept = np.empty(len(best) + 1, np.int64)
    kept[:-1], kept[-1] = best, explored
    if explored == NONE:
        kept = kept[:-1]
    else:
        barred[explored] = _TAKEN
    streak, last = 0, NONE
    for row in served:
        streak = streak + 1 if category[row] == last else 1
        last = category[row]
        _mark_blocked(barred, kept, rows, title, title[row], creator, NONE)
    while size < len(page):
        capped = last if streak_cap and streak >= streak_cap else NONE
        chosen, at = NONE, NONE
        if (
            explored != NONE
            and size >= explored_place
            and barred[explored] == _TAKEN
            and (capped == NONE or category[rows[explored]] != capped)
        ):
            chosen, explored = explored, NONE
        if chosen == NONE:
            at = _most_worth(best, worth, barred, rows, category, capped)
            chosen = best[at] if at != NONE else NONE
        if chosen == NONE:
            chosen = _look_further(
                scores, rows, barred, page[:size], served, key, category, creator, title, creator_cap, capped
            )
        if chosen == NONE:
            break
        page[size] = chosen
        size += 1
        barred[chosen] |= _TAKEN
        row = rows[chosen]
        # Videos without a category make no streak.
        streak = streak + 1 if category[row] == last else 1
        last = category[row]
        full = creator[row] if _has_enough(page[:size], rows, creator, row, creator_cap) else NONE
        _mark_blocked(barred, kept, rows, title, title[row], creator, full)
        if diversity > 0.0:
            if at == NONE:
                at = _place_of(chosen, best)
            if at != NONE:
                for i in range(len(best)):
                    worth[i] = min(worth[i], scores[best[i]] - diversity * likeness[at, i])
    return page[:size]
