"""Searches the archive for the videos of a served page that the app reported events about."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import orjson

from events.archive import SCHEMA_VERSION, is_live, request_fields
from shared.adapters.blobs.port import ARCHIVE, BlobInfo, Blobs, BlobsError
from shared.domain.feed_receipt import VALID_SECONDS, FeedReceipt
from shared.domain.reported_videos import ReportedVideos
from shared.observability.metrics import Telemetry

MAX_BYTES = 8_000_000
"""Limit of compressed bytes read by one search: about a million events."""
MAX_SECONDS = 4.0
_HOUR = timedelta(hours=1)


class ArchivedPages:
    """Searches the hours in which events can quote a page, within a limit of bytes and time."""

    def __init__(self, blobs: Blobs, pseudonym: Callable[[str], str], telemetry: Telemetry) -> None:
        self._blobs = blobs
        self._pseudonym = pseudonym
        self._telemetry = telemetry

    async def reported(self, tenant_id: str, user_key: str, receipt: FeedReceipt, now: float) -> ReportedVideos:
        """Return the videos found within the limits. `whole` is False when the search was cut short or a blob could not
        be read. Never raises for a failing store."""
        found: set[str] = set()
        user, left = self._pseudonym(user_key), MAX_BYTES
        try:
            async with asyncio.timeout(MAX_SECONDS):
                async for blob in self._hours(tenant_id, receipt, now):
                    left -= blob.size
                    if left < 0:
                        return ReportedVideos(frozenset(found), whole=False)
                    content = await self._blobs.read(ARCHIVE, blob.name)
                    if content is not None:
                        found |= await asyncio.to_thread(reported_in, content, user, receipt)
        except (BlobsError, TimeoutError, ValueError, OSError, EOFError):
            self._telemetry.count("store_failures", "archived_page")
            return ReportedVideos(frozenset(found), whole=False)
        return ReportedVideos(frozenset(found), whole=True)

    async def _hours(self, tenant_id: str, receipt: FeedReceipt, now: float) -> AsyncIterator[BlobInfo]:
        """Yield the blobs that can have events about the page: those accepted while it was valid, oldest hour first."""
        last = datetime.fromtimestamp(min(now, receipt.served_at + VALID_SECONDS), UTC)
        # A blob is named after its first message, so it can begin an hour before the page was served.
        hour = datetime.fromtimestamp(receipt.served_at, UTC).replace(minute=0, second=0, microsecond=0) - _HOUR
        while hour <= last:
            async for blob in self._blobs.list(ARCHIVE, f"{tenant_id}/{hour:%Y/%m/%d/%H}/"):
                yield blob
            hour += _HOUR


def reported_in(content: bytes, user: str, receipt: FeedReceipt) -> set[str]:
    """Return the videos of this user's events in a blob that quote the page. Parses only lines that contain the user.

    Raises `ValueError`, `OSError` or `EOFError` for an unreadable blob.
    """
    text = gzip.decompress(content)
    named, wanted = b'"user":"%b"' % user.encode(), request_fields(receipt)
    found: set[str] = set()
    at = text.find(named)
    while at >= 0:
        end = text.find(b"\n", at)
        line = orjson.loads(text[text.rfind(b"\n", 0, at) + 1 : end if end >= 0 else len(text)])
        if line.get("v") != SCHEMA_VERSION:
            raise ValueError("an archived line of another version")
        if is_live(line) and line.get("request") == wanted:
            found.add(line["videoId"])
        at = text.find(named, end) if end >= 0 else -1
    return found
