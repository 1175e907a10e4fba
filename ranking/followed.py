"""Translates the subjects that a user follows into a catalog's codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Singles
from ranking.columns import VideoColumns, Vocabulary
from shared.domain.follows import CATEGORY, CREATOR, SERIES, names_of_kind

Flags = NDArray[np.bool_]


def followed_creators(columns: VideoColumns, follows: NDArray[np.uint32]) -> Flags:
    """Return per code whether the creator is followed; the last element, for no creator, is False. `follows`:
    fingerprints, as stored in signals."""
    return _followed(columns.creators, follows, CREATOR)


def followed_categories(columns: VideoColumns, follows: NDArray[np.uint32]) -> Flags:
    """Return per code whether the category is followed, like `followed_creators`."""
    return _followed(columns.categories, follows, CATEGORY)


def followed_rows(columns: VideoColumns, follows: NDArray[np.uint32]) -> Flags:
    """Return per row whether its creator, category or series is followed."""
    mask: Flags = followed_creators(columns, follows)[columns.creator]
    mask |= followed_categories(columns, follows)[columns.category]
    if len(columns.series_names):
        mask |= _followed(columns.series_names, follows, SERIES)[columns.series]
    return mask


def as_values(flags: Flags) -> Singles:
    """Return 1 where followed, else 0."""
    values: Singles = flags.astype(np.float32)
    return values


def _followed(vocabulary: Vocabulary, follows: NDArray[np.uint32], kind: str) -> Flags:
    flags = np.zeros(len(vocabulary) + 1, np.bool_)
    flags[vocabulary.codes(names_of_kind(follows, kind))] = True
    flags[-1] = False
    return flags
