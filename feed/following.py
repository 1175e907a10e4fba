"""The feed `following`: only videos of creators, categories and series that the user follows.

Every tenant has it, without a document. It is ranked like any feed if it can be personal. It is newest first if the
request asks for that, or if too little is known about the user. It is empty if nothing about the user may be read.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from feed.query import sent
from feed.subsets import Mask
from ranking.columns import VideoColumns
from ranking.followed import followed_rows
from shared.domain.feeds import FOLLOWING, NEWEST, NamedFeed
from shared.domain.fingerprint import SEEN_BITS
from shared.domain.user_signals import Signals
from shared.web.problems import bad_request

ORDERS = ("ranked", NEWEST)
RANKED_FOLLOWING = NamedFeed(FOLLOWING, "Following", fallback=NEWEST)
NEWEST_FOLLOWING = NamedFeed(FOLLOWING, "Following", fallback=NEWEST)


def following_feed(params: Mapping[str, str]) -> NamedFeed:
    """Return the feed in the requested order. Raises a 400 `Problem`."""
    order = sent(params.get("order")) or ORDERS[0]
    if order not in ORDERS:
        raise bad_request("invalid_order", f"order must be one of {', '.join(ORDERS)}.")
    return NEWEST_FOLLOWING if order == NEWEST else RANKED_FOLLOWING


def within_following(
    feed: NamedFeed, wanted: Mask | None, columns: VideoColumns, signals: Signals | None
) -> Mask | None:
    """Return the requested rows (None: every row); in the feed `following` only those that the user follows."""
    if feed is not RANKED_FOLLOWING and feed is not NEWEST_FOLLOWING:
        return wanted
    followed = _followed_unseen(columns, signals)
    return followed if wanted is None else followed & wanted


def _followed_unseen(columns: VideoColumns, signals: Signals | None) -> Mask:
    """Return the rows that the user follows and has not been shown; none if nothing is known about the user."""
    if signals is None or not len(signals.follows.keys):
        return np.zeros(len(columns), np.bool_)
    return followed_rows(columns, signals.follows.keys) & columns.without(signals.seen.keys, bits=SEEN_BITS)
