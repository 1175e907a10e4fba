"""A user's lists: reads one, and builds a page of the entries that the viewer can see.

The same checks apply as for links into an app (`feed/videos_by_id.py`): a list can show videos that were seen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from feed.catalog import Catalog
from feed.filters import Viewer
from feed.page import with_included
from feed.query import FeedQuery
from feed.videos_by_id import look_up
from shared.adapters.documents.port import USER_ACTIVITY, DocumentStore, StoreUnavailable
from shared.domain.formats import iso_time
from shared.domain.user_lists import CONTINUE, Entry, NewerList, UnreadableList, UserList, document_id
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.lists")


class ListsReader:
    """Reads lists by user and name. Nothing is cached, since lists are read rarely."""

    def __init__(self, documents: DocumentStore, telemetry: Telemetry) -> None:
        self._documents = documents
        self._telemetry = telemetry

    async def read(self, user_key: str, name: str) -> UserList:
        """Return a list; empty if there is none or it is damaged. Raises `StoreUnavailable`."""
        document = await self._documents.read(USER_ACTIVITY, user_key, document_id(name))
        if document is None:
            return UserList(name)
        try:
            return UserList.from_document(document.body)
        except NewerList as error:
            self._telemetry.count("store_failures", "newer_list")
            raise StoreUnavailable("a list of a newer version") from error
        except UnreadableList:
            self._telemetry.count("store_failures", "unreadable_list")
            log.error("a user's list could not be read")
            return UserList(name)


@dataclass(frozen=True, slots=True)
class ListPage:
    """Entries of a list that the viewer can see, newest first, as JSON, and the position where the next page starts."""

    items: list[bytes]
    next: list[Any] | None


def page_of_videos(
    stored: UserList, catalog: Catalog, viewer: Viewer, query: FeedQuery, after: list[Any] | None
) -> ListPage:
    """Return a page of a list of videos. Videos that were taken down, or that the viewer cannot see, are left out."""
    entries = after_place(stored.listed(viewer.now), after)
    found = look_up(catalog, viewer, [name for name, _ in entries])
    visible = {catalog.columns.ids[row]: row for row in found.rows}
    listed = [(name, entry) for name, entry in entries if name in visible]
    shown = listed[: query.limit]
    items = with_included(catalog, [visible[name] for name, _ in shown], query.include)
    return ListPage(
        [b"%b%b}" % (items[visible[name]], _standing(stored, entry)) for name, entry in shown],
        place_after(listed, query.limit),
    )


def after_place(entries: list[tuple[str, Entry]], after: list[Any] | None) -> list[tuple[str, Entry]]:
    """Return the entries after a position; all for None."""
    if after is None:
        return entries
    on_ms, last = after
    return [(name, entry) for name, entry in entries if (-entry.on_ms, name) > (-on_ms, last)]


def place_after(listed: list[tuple[str, Entry]], limit: int) -> list[Any] | None:
    """Return the position after a page of this many entries; None if nothing follows."""
    if len(listed) <= limit:
        return None
    name, entry = listed[limit - 1]
    return [entry.on_ms, name]


def _standing(stored: UserList, entry: Entry) -> bytes:
    """Return the members of an item that describe its entry on the list."""
    position = b',"positionMs":%d' % entry.position_ms if stored.name == CONTINUE else b""
    return b',"listedAt":"%b"%b' % (iso_time(entry.on_ms / 1000).encode(), position)
