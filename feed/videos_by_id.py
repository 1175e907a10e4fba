"""Videos by id, for links into an app: which of them a viewer can see, and their items as bytes.

The checks are those of a feed, except the filters that only avoid repetition: a link can lead to a seen video. No
signals are read, so the response reveals nothing about a user.
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
    """The rows of the videos that can be seen, in the requested order, and their catalog. Use both before the next
    await."""

    rows: list[int]
    catalog: Catalog

    def items(self, include: Sequence[str]) -> list[bytes]:
        """Return their JSON, without score and rank since nothing is ranked."""
        items = with_included(self.catalog, self.rows, include)
        return [items[row] + b"}" for row in self.rows]

    def etag(self, user_key: str, now: float, include: Sequence[str]) -> str:
        """Return a weak ETag, like a page's: it covers the user and the whole response. It matches for at most
        `ETAG_SECONDS`."""
        head = f"{user_key}\n{now // ETAG_SECONDS}\n{','.join(include)}\n".encode()
        digests = b"".join([self.catalog.digests[row] for row in self.rows])
        return f'W/"{blake2b(head + digests, digest_size=12).hexdigest()}"'


def look_up(catalog: Catalog, viewer: Viewer, ids: Iterable[str]) -> Found:
    """Return the videos among `ids` that `viewer` can see. `viewer` has no signals and no served videos."""
    columns = catalog.columns
    kept = set(apply_filters(columns, viewer).kept.tolist())
    rows = [row for id in ids if (row := columns.row(id)) is not None and row in kept]
    allowed = enforce_serving_policy(columns, np.array(rows, np.int64), viewer)
    return Found([row for row, may in zip(rows, allowed.tolist(), strict=True) if may], catalog)


def read_ids(text: str | None) -> list[str]:
    """Parse the ids of a query, separated by commas, each once. Raises a 400 `Problem`."""
    ids = list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
    if not 1 <= len(ids) <= MAX_IDS:
        raise bad_request("invalid_ids", f"ids must list 1 to {MAX_IDS} video ids, separated by commas.")
    return ids


def not_found() -> Problem:
    """Return the same error for a video that does not exist and for one that this viewer cannot see."""
    return Problem(404, "video_not_found", "The video does not exist, or this viewer cannot see it.")
