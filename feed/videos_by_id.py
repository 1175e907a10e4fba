"""Videos by id, for links into an app: which of them a viewer may see, and their items as bytes.

What decides is what decides for a feed, but for what only keeps a feed from repeating itself: a link may lead to a
video that was seen. No signals are read, so the answer says nothing about a user.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from feed.catalog import Catalog
from feed.filters import Viewer, apply_filters, enforce_serving_policy
from feed.page import ETAG_SECONDS, with_included
from shared.web.problems import Problem, bad_request

MAX_IDS = 50


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of the videos that may be seen, in the order in which they were asked for, and their catalog; use both
    before the next await."""

    rows: list[int]
    catalog: Catalog

    def items(self, include: Sequence[str]) -> list[bytes]:
        """Their JSON, without score and rank: nothing is ranked."""
        items = with_included(self.catalog, self.rows, include)
        return [items[row] + b"}" for row in self.rows]

    def etag(self, user_key: str, now: float, include: Sequence[str]) -> str:
        """Weak, as a page's: it covers the user and all that is answered, for `ETAG_SECONDS` at most."""
        head = f"{user_key}\n{now // ETAG_SECONDS}\n{','.join(include)}\n".encode()
        digests = b"".join([self.catalog.digests[row] for row in self.rows])
        return f'W/"{blake2b(head + digests, digest_size=12).hexdigest()}"'


def look_up(catalog: Catalog, viewer: Viewer, ids: Iterable[str]) -> Found:
    """The videos among `ids` that `viewer` may see. `viewer` has no signals, and was served nothing before."""
    columns = catalog.columns
    kept = set(apply_filters(columns, viewer).kept.tolist())
    rows = [row for id in ids if (row := columns.row(id)) is not None and row in kept]
    allowed = enforce_serving_policy(columns, np.array(rows, np.int64), viewer)
    return Found([row for row, may in zip(rows, allowed.tolist(), strict=True) if may], catalog)


def read_ids(text: str | None) -> list[str]:
    """The ids of a query, each once, with commas between them. Raises a 400 `Problem`."""
    ids = list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
    if not 1 <= len(ids) <= MAX_IDS:
        raise bad_request("invalid_ids", f"ids must name 1 to {MAX_IDS} videos, with commas between them.")
    return ids


def not_found() -> Problem:
    """The same whether there is no such video, or one that this viewer may not see."""
    return Problem(404, "video_not_found", "The video does not exist, or this viewer cannot see it.")
