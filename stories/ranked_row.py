"""Ranks the row of stories: authors with something unseen first, each by their best unseen story. Pure.

With exploration, one place of a page goes to an author whose stories nobody has viewed yet, as in a feed
(ranking/exploration.py). The cursor carries the authors already served, so none is repeated or left out when the order
changes between two pages. After `RANKED_AUTHORS` authors the walk continues newest first.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.exploration import explore
from ranking.personal import PersonalRanking
from ranking.rank import EXPLORATION_PLACE, score
from ranking.user_features import RankingOptions
from stories.circle import Keys
from stories.closeness import NOBODY_CLOSE, Closeness
from stories.story_columns import StoryColumns
from stories.story_row import NOBODY, STORIES_OF_AN_AUTHOR, Shelf, Shown
from stories.story_videos import StoryVideos
from stories.visibility import StoryViewer

RANKED_AUTHORS = 200
"""Authors after which a walk continues newest first. Its cursor has room for one page (50 authors) more."""


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Progress of a walk through the row: the keys of authors served by ranked pages, and, once the walk continues
    newest first, the place to continue after."""

    served: Keys = field(default_factory=lambda: NOBODY)
    after: str | None = None

    @property
    def is_ranked(self) -> bool:
        """Return whether the next page can be ranked."""
        return self.after is None and len(self.served) < RANKED_AUTHORS

    def with_page(self, page: Collection[Shelf]) -> Walk:
        keys = np.array([each.stories[0].author_key for each in page], np.uint64)
        return Walk(np.concatenate((self.served, keys)), self.after)

    def to_place(self) -> list[Any]:
        """Return the values that a cursor carries."""
        return [self.after, b64encode(self.served.astype("<u8").tobytes()).decode()]

    @classmethod
    def from_place(cls, place: list[Any]) -> Walk:
        """Parse the values of a decrypted cursor."""
        after, served = place
        return cls(np.frombuffer(b64decode(served), "<u8"), after)


@dataclass(frozen=True, slots=True, eq=False)
class RankedBy:
    """Inputs of the ranking of a viewer's row. `seed` selects the explored author; None: no exploration."""

    videos: StoryVideos
    personal: PersonalRanking
    closeness: Closeness = NOBODY_CLOSE
    seed: int | None = None


def ranked_row(
    columns: StoryColumns,
    viewer: StoryViewer,
    seen: Collection[str],
    now: float,
    walk: Walk,
    limit: int,
    by: RankedBy,
) -> tuple[list[Shelf], Walk | None]:
    """Return the next page of a walk, and the walk after it; None at the end."""
    shown = Shown(columns, viewer, now, walk.served)
    if not len(shown.rows):
        return [], None
    scores = story_scores(shown, viewer, now, by)
    best, unseen = _best_of_authors(shown, scores, seen, viewer)
    order = _best_first(columns, best, unseen, limit + 1)
    page = order[:limit]
    if by.seed is not None and len(order) > limit:
        explored = _explored(shown, unseen, now, by)
        if explored is not None and explored not in page:
            page.insert(min(EXPLORATION_PLACE, limit - 1), explored)
    shelves = [shown.shelf(code, seen) for code in page[:limit]]
    return shelves, walk.with_page(shelves) if len(order) > limit else None


def _best_first(columns: StoryColumns, best: NDArray[np.float64], unseen: NDArray[np.bool_], most: int) -> list[int]:
    """Return the codes of the best `most` authors, unseen ones first; ties by lower key. Sorts only these."""
    order: list[int] = []
    for group in (np.flatnonzero(unseen), np.flatnonzero(~unseen & (best > -np.inf))):
        wanted = most - len(order)
        if 0 < wanted < len(group):
            least = np.partition(best[group], -wanted)[-wanted]
            group = group[best[group] >= least]
        if wanted > 0:
            order += group[np.lexsort((columns.author_keys[group], -best[group]))][:wanted].tolist()
    return order


def story_scores(shown: Shown, viewer: StoryViewer, now: float, by: RankedBy) -> NDArray[np.float64]:
    """Score each of `shown.rows`: the feed's ranking, plus the weights of following the author and of closeness."""
    videos, personal = by.videos, by.personal
    options = RankingOptions(now)
    scores = score(videos.columns, videos.stats, personal.signals, shown.rows, personal.model, options)
    columns, weights = shown.columns, personal.model.suited(False).weights
    to_author = np.zeros(len(columns.author_keys))
    if weight := weights.get("follows_creator"):
        to_author[columns.codes_of(viewer.circle.follows)[0]] += weight
    if (weight := weights.get("closeness")) and len(by.closeness.keys):
        codes, known = columns.codes_of(by.closeness.keys)
        to_author[codes] += weight * by.closeness.values(now)[known]
    scores += to_author[shown.codes]
    return scores


def _best_of_authors(
    shown: Shown, scores: NDArray[np.float64], seen: Collection[str], viewer: StoryViewer
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return, by author code, the best score and whether the author has an unseen story.

    The best score is that of unseen stories if there are any; -infinity: no visible story. The viewer's own stories
    count as seen.
    """
    columns, codes = shown.columns, shown.codes
    is_seen = np.zeros(len(columns.stories), np.bool_)
    is_seen[[row for id in seen if (row := columns.row(id)) is not None]] = True
    fresh = ~is_seen[shown.rows] & (columns.author_keys[codes] != np.uint64(viewer.key))
    listed = _is_on_its_shelf(codes, len(columns.author_keys))
    fresh &= listed
    best = np.full(len(columns.author_keys), -np.inf)
    np.maximum.at(best, codes[fresh], scores[fresh])
    unseen = best > -np.inf
    rest = listed & ~unseen[codes]
    np.maximum.at(best, codes[rest], scores[rest])
    return best, unseen


def _is_on_its_shelf(codes: NDArray[np.int32], authors: int) -> NDArray[np.bool_]:
    """Mark the stories that are among the newest `STORIES_OF_AN_AUTHOR` of their author; `codes` are newest first."""
    if np.bincount(codes, minlength=1).max() <= STORIES_OF_AN_AUTHOR:
        return np.ones(len(codes), np.bool_)
    order = codes.argsort(kind="stable")
    begins = np.searchsorted(codes[order], np.arange(authors))
    listed = np.empty(len(codes), np.bool_)
    listed[order] = np.arange(len(codes)) - begins[codes[order]] < STORIES_OF_AN_AUTHOR
    return listed


def _explored(shown: Shown, unseen: NDArray[np.bool_], now: float, by: RankedBy) -> int | None:
    """Choose an author for the exploration place: one with an unseen story whose visible stories have no view yet."""
    views = np.bincount(shown.codes, shown.columns.views[shown.rows], len(unseen))
    first = shown.first()
    first = first[(unseen & (views == 0))[shown.codes[first]]]
    stats = by.videos.stats.static(now)
    found = explore(by.videos.columns, stats, shown.rows[first], RankingOptions(now, seed=by.seed or 0))
    return None if found is None else int(shown.codes[first[found.position]])
