"""The feed `following`: only videos of creators, categories and series that the user follows.

Every tenant has it, and no document. Ranked as any feed where it may be personal; the newest first where the request
asks for that, or where too little is known about the user. Where nothing about the user may be read it is empty.
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
    """The feed in the order that a request asks for. Raises a 400 `Problem`."""
    order = sent(params.get("order")) or ORDERS[0]
    if order not in ORDERS:
        raise bad_request("invalid_order", f"order must be one of {', '.join(ORDERS)}.")
    return NEWEST_FOLLOWING if order == NEWEST else RANKED_FOLLOWING


def within_following(
    feed: NamedFeed, wanted: Mask | None, columns: VideoColumns, signals: Signals | None
) -> Mask | None:
    """Rows that a call asks for (None: every row), narrowed to what the user follows where that is the feed."""
    if feed is not RANKED_FOLLOWING and feed is not NEWEST_FOLLOWING:
        return wanted
    followed = _followed_unseen(columns, signals)
    return followed if wanted is None else followed & wanted


def _followed_unseen(columns: VideoColumns, signals: Signals | None) -> Mask:
    """The rows of what the user follows and was not shown; none where nothing is known of the user."""
    if signals is None or not len(signals.follows.keys):
        return np.zeros(len(columns), np.bool_)
    return followed_rows(columns, signals.follows.keys) & columns.without(signals.seen.keys, bits=SEEN_BITS)
