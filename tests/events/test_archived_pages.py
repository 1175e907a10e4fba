"""Searches the archive for events that quote one page, within a budget."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import archived_pages
from events.archive import HISTORY, LIVE, request_fields
from events.archived_pages import ArchivedPages, reported_in
from shared.adapters.blobs.port import ARCHIVE, BlobInfo
from shared.domain.feed_receipt import FeedReceipt
from shared.observability.metrics import Telemetry

NOW = 1_700_000_000.0
US, OTHER = "a" * 32, "b" * 32
PAGE = FeedReceipt(int(NOW), personalized=True, warm=True, model=7)
OTHER_PAGE = FeedReceipt(int(NOW) + 1, personalized=True, warm=True, model=7)


def line(user: str | None, video: str, page: FeedReceipt | None, origin: str = LIVE, version: int = 1) -> bytes:
    request = None if page is None else request_fields(page)
    return orjson.dumps(
        {"v": version, "origin": origin, "tenant": "t", "user": user, "videoId": video, "request": request}
    )


def blob(*lines: bytes) -> bytes:
    return gzip.compress(b"".join(each + b"\n" for each in lines))


LINES = st.lists(
    st.tuples(
        st.sampled_from([US, OTHER, None]),
        st.sampled_from(["v1", "v2", f'"user":"{US}"', "ü"]),
        st.sampled_from([PAGE, OTHER_PAGE, None]),
        st.sampled_from([LIVE, HISTORY]),
    )
)


@given(LINES)
def test_only_videos_reported_by_this_user_for_this_page_are_found(lines: list[tuple[Any, str, Any, str]]) -> None:
    wanted = {video for user, video, page, origin in lines if user == US and page is PAGE and origin == LIVE}
    assert reported_in(blob(*(line(*each) for each in lines)), US, PAGE) == wanted


def test_last_line_without_a_newline_is_read() -> None:
    assert reported_in(gzip.compress(line(US, "v1", PAGE)), US, PAGE) == {"v1"}


@dataclass
class Store:
    """Blobs by name; records what was read."""

    blobs: dict[str, bytes]
    read_names: list[str] = field(default_factory=list)

    async def list(self, container: str, prefix: str = "") -> AsyncIterator[BlobInfo]:
        assert container == ARCHIVE
        for name, content in sorted(self.blobs.items()):
            if name.startswith(prefix):
                yield BlobInfo(name, len(content), NOW)

    async def read(self, container: str, name: str) -> bytes | None:
        self.read_names.append(name)
        return self.blobs[name]


def at(hours: float, tenant: str = "t") -> str:
    """Return the name of a blob that many hours after the page."""
    return f"{tenant}/{datetime.fromtimestamp(NOW + hours * 3_600, UTC):%Y/%m/%d/%H}/0-1-1.jsonl.gz"


def search(store: Store) -> ArchivedPages:
    return ArchivedPages(store, lambda user_key: US, Telemetry())  # type: ignore[arg-type]


async def test_exactly_the_hours_whose_events_can_quote_a_page_are_read() -> None:
    names = [at(hours) for hours in (-2, -1, 0, 1, 24, 26)]
    store = Store({name: blob(line(US, f"v{n}", PAGE)) for n, name in enumerate(names)} | {at(0, "other"): blob()})
    found = await search(store).reported("t", "key", PAGE, NOW + 40 * 3_600)
    assert (found.ids, found.whole) == ({"v1", "v2", "v3", "v4"}, True)
    assert store.read_names == names[1:5]


async def test_search_ends_with_its_budget_and_is_marked_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = blob(line(US, "v1", PAGE)), blob(line(US, "v2", PAGE))
    monkeypatch.setattr(archived_pages, "MAX_BYTES", len(first) + len(second) - 1)
    found = await search(Store({at(0): first, at(1): second})).reported("t", "key", PAGE, NOW + 7_200)
    assert (found.ids, found.whole) == ({"v1"}, False)


@pytest.mark.parametrize(
    "damaged", [b"no gzip", blob(line(US, "v2", PAGE))[:-9], blob(line(US, "v2", PAGE, version=9))]
)
async def test_damaged_blob_costs_only_what_follows_in_it(damaged: bytes) -> None:
    found = await search(Store({at(0): blob(line(US, "v1", PAGE)), at(1): damaged})).reported("t", "k", PAGE, NOW + 9e3)
    assert (found.ids, found.whole) == ({"v1"}, False)
