"""Videos similar to one video, for a viewer: `SimilarVideos.of`, top to bottom.

mode (consent, flags, tenant) → signals → catalog → filters → learned neighbors and shared subject → maturity gate

The neighbors belong to the video, not to the viewer. So the kill switch, which stops the use of viewers' data, does not
remove them; the list is then ordered by popularity. The flag `co-watch` removes the learned ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import orjson
from numpy.typing import NDArray

from feed.catalog import Catalog
from feed.cursor import Served
from feed.filters import Filtered, apply_filters, enforce_serving_policy
from feed.page import ETAG_SECONDS, digests_of, with_included
from feed.pipeline import FALLBACK, OVERLOADED, PERSONALIZED, Feed
from feed.query import FeedQuery
from feed.selection import keep_allowed
from feed.session import FeedSession
from feed.tenant_models import without_next_watch
from feed.videos_by_id import not_found
from ranking.model import LinearModel
from ranking.neighbors import similar
from ranking.user_features import COLD_START_EVENTS
from shared.adapters.flags.evaluation import CO_WATCH, NEW_DIVERSIFIER, Flags
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain import feed_receipt
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint
from shared.domain.keys import KeyRing
from shared.domain.records import Tenant
from shared.domain.user_signals import Signals

DEFAULT_SIMILAR = 20
"""Number of videos when the request names no limit."""
TOGETHER, SUBJECT = "watched_together", "same_subject"
BECAUSE: dict[str, str] = {
    TOGETHER: "People who watched the given video long also watched this one long.",
    SUBJECT: "It has the creator, the category or a tag of the given video.",
}
"""Why a video is on the list."""
SIMILAR_FEED = fingerprint("\nsimilar")
"""Identifies these lists in receipts. No feed has a name with a line break."""
_OF_THE_LIST = ("served", "seen", "not_interested", "filtered_out")
"""Filters that do not apply to the video whose neighbors are requested: a link can lead to a seen one."""
_SAYS = (b',"because":"%b"}' % SUBJECT.encode(), b',"because":"%b"}' % TOGETHER.encode())


@dataclass(slots=True, eq=False)
class SimilarPage:
    """The list and the catalog that its rows refer to; use both before the next await. `together` is by position."""

    mode: str
    reason: str | None
    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    together: NDArray[np.bool_]
    feed_request_id: str
    model_version: str
    signals_at: float | None
    include: tuple[str, ...]
    catalog: Catalog

    def body(self) -> bytes:
        """Return the JSON of the response, joined from the catalog's JSON of each video."""
        rows = self.rows.tolist()
        items = with_included(self.catalog, rows, self.include) if self.include else self.catalog.items
        listed = zip(rows, self.scores.tolist(), self.together.tolist(), strict=True)
        videos = [
            b'%b,"score":%.6f,"rank":%d%b' % (items[row], score, rank, _SAYS[together])
            for rank, (row, score, together) in enumerate(listed)
        ]
        head = orjson.dumps({"mode": self.mode, "reason": self.reason})
        tail = orjson.dumps({"feedRequestId": self.feed_request_id, "modelVersion": self.model_version})
        return b'%b,"items":[%b],%b' % (head[:-1], b",".join(videos), tail[1:])

    def etag(self, source: str, user_key: str, now: float) -> str:
        """Return a weak ETag, like a page's: it covers the user and the whole response except scores. It matches for at
        most `ETAG_SECONDS`."""
        head = (
            f"{source}\n{user_key}\n{now // ETAG_SECONDS}\n{self.mode}\n{self.reason}\n{self.model_version}\n"
            f"{self.signals_at}\n{','.join(self.include)}\n"
        )
        listed = self.together.tobytes() + digests_of(self.catalog, self.rows)
        return f'W/"{blake2b(head.encode() + listed, digest_size=12).hexdigest()}"'


class SimilarVideos:
    """Lists the videos similar to one video. A process has one; it shares all caches with the feed."""

    def __init__(
        self, feed: Feed, flags: Flags, tenants: TenantDirectory, keys: KeyRing, receipts_know_their_page: bool
    ) -> None:
        self._feed = feed
        self._flags = flags
        self._tenants = tenants
        self._receipt_keys = keys.for_purpose("feed-request")
        self._receipts_know_their_page = receipts_know_their_page

    async def of(
        self, video_id: str, query: FeedQuery, tenant: Tenant, user_key: str, now: float, *, overloaded: bool = False
    ) -> SimilarPage:
        """Return the list for a viewer. Raises a 404 `Problem` for a video that does not exist or that the viewer
        cannot see, `StoreUnavailable` when the tenant's catalog was never loaded and cannot be."""
        reason = await self._feed.reason_against(query, tenant, user_key) or (OVERLOADED if overloaded else None)
        signals: Signals | None = None
        if reason is None:
            signals, reason = await self._feed.signals_of(tenant.id, user_key)
        catalog = await self._feed.catalogs.get(tenant.id)

        # No await from here on: the catalog must not change during the request.
        row = catalog.columns.row(video_id)
        if row is None:
            raise not_found()
        session = FeedSession(query, tenant, user_key, Served(int(now), 0), now)
        return self._list(session, catalog, row, signals, reason)

    def _list(
        self, session: FeedSession, catalog: Catalog, row: int, signals: Signals | None, reason: str | None
    ) -> SimilarPage:
        tenant, user_key, columns = session.tenant, session.user_key, catalog.columns
        editorial = self._tenants.editorial(tenant.id)
        self._feed.narrow(session, editorial, catalog, signals)
        steering = self._feed.rulebook.of(tenant, editorial, columns, session.hints, session.now)
        viewer = session.viewer(signals, steering)
        filtered = apply_filters(columns, viewer)
        asked, anything = np.array([row]), replace(viewer, wanted=None)
        if not _may_be_seen(filtered, row) or not enforce_serving_policy(columns, asked, anything).all():
            raise not_found()
        learned = self._flags.on(CO_WATCH, tenant.id, user_key, tenant.feature_flags)
        model = self._model(tenant, user_key, reason, learned)
        diverse = self._flags.on(NEW_DIVERSIFIER, tenant.id, user_key, tenant.feature_flags)
        options = replace(session.ranking_options(catalog, diverse=diverse), streak_cap=0)  # they share a category
        listed = similar(
            columns,
            catalog.stats,
            row,
            filtered.kept,
            model,
            signals if reason is None else None,
            options,
            learned=learned,
            adjustment=steering.adjustment,
        )
        allowed = enforce_serving_policy(columns, listed.slate.rows, viewer)
        slate, together = keep_allowed(listed.slate, allowed), listed.together[allowed]
        receipt = FeedReceipt(
            int(session.now),
            reason is None,
            signals is not None and signals.events >= COLD_START_EVENTS,
            fingerprint(slate.model_version),
            feed=SIMILAR_FEED,
        )
        videos = columns.key[slate.rows] if self._receipts_know_their_page else None
        return SimilarPage(
            mode=PERSONALIZED if reason is None else FALLBACK,
            reason=reason,
            rows=slate.rows,
            scores=slate.scores,
            together=together,
            feed_request_id=feed_receipt.sign(receipt, self._receipt_keys, tenant.id, user_key, videos),
            model_version=slate.model_version,
            signals_at=signals.updated_at if signals is not None and reason is None else None,
            include=session.query.include,
            catalog=catalog,
        )

    def _model(self, tenant: Tenant, user_key: str, reason: str | None, learned: bool) -> LinearModel:
        """Return the model that orders the list. Experiments compare feeds, so they do not apply here."""
        models = self._feed.models.of(tenant)
        if reason is not None:
            return models.popularity
        held_out = self._feed.is_held_out(tenant, user_key, models)
        model = models.for_user(held_out)
        return model if learned else without_next_watch(model)


def _may_be_seen(filtered: Filtered, row: int) -> bool:
    return all(mask[row] for name, mask in filtered.masks.items() if name not in _OF_THE_LIST)
