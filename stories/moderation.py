"""Moderation of stories: stores reports, holds reported stories, and carries out editors' decisions.

    1  people          `reported:STORY` in the reporter's partition, so an erasure finds what they reported
    2  stories         `reported:STORY` in the tenant's partition: the editors' queue
    3  story-activity  `report:USER` in the story's activity partition, one per person
    4  stories         the story itself: held, live again, or removed

`wanted_state` derives the fourth document from the others. After a crash, the next call that reads the story (a
repeated or new report, an editor, the timer of every minute) finishes the change. A decision changes the queue document
in one batch with its audit entry. Reports from before a decision no longer count after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.adapters.documents.port import (
    DAY_SECONDS,
    PEOPLE,
    STORIES,
    STORY_ACTIVITY,
    Container,
    Create,
    Document,
    DocumentStore,
    Json,
    Replace,
    StoreUnavailable,
    WriteRejected,
    query_all,
)
from shared.domain.text import clean, what_is_wrong
from shared.observability.metrics import Telemetry
from shared.web.problems import bad_request
from stories.activity import partition_of
from stories.identity import Person
from stories.media_check import MediaCheck
from stories.story import BROOM_SECONDS, HELD, LIVE, REMOVED, Story, bucket_of
from stories.story_catalog import StoryCatalogs

REASONS = ("spam", "harassment", "hate", "violence", "sexual", "other")
MAX_REPORT_TEXT = 300
REPORTED, REPORT = "reported:", "report:"
OPEN, APPROVED = "open", "approved"
"""States of a queue document; the third is `REMOVED`."""
KEEP_REPORT_SECONDS = 90 * DAY_SECONDS
SHOWN_TEXTS = 10
FINISH_SECONDS = 3_600
"""How long after a decision the timer still checks that it was carried out."""
ATTEMPTS = 10
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Report:
    """One person's report of a story: its reason, an optional text, and its time in seconds since the epoch."""

    reason: str
    text: str | None
    at: float


@dataclass(frozen=True, slots=True)
class ReportedStory:
    """A story that waits for an editor: its queue document, the story, and the reports since the last decision."""

    entry: Document
    story: Story
    reports: list[Report]
    media_url: str | None


def read_report(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """Parse a report's body into reason and text (None for none). Raises a 400 `Problem`."""
    unknown = [name for name in body if name not in ("reason", "text")]
    reason, text = body.get("reason"), body.get("text")
    if unknown or reason not in REASONS:
        raise bad_request("invalid_report", f"reason must be one of {', '.join(REASONS)}. text is optional.")
    if text is None:
        return str(reason), None
    cleaned = clean(text) if isinstance(text, str) and len(text) <= 4 * MAX_REPORT_TEXT else None
    if cleaned is None or len(cleaned) > MAX_REPORT_TEXT:
        raise bad_request("invalid_report", f"text must be a string of at most {MAX_REPORT_TEXT} characters.")
    if wrong := what_is_wrong(cleaned):
        raise bad_request("invalid_report", f"text {wrong}")
    return str(reason), cleaned or None


def queue_document(story: Story, now: float) -> Json:
    """Build the queue document of a story. The store deletes it when it deletes the story."""
    return {
        "id": REPORTED + story.id,
        "kind": "reported",
        "storyId": story.id,
        "reportedAt": now,
        "state": OPEN,
        "decidedAt": None,
        "ttl": max(1, int(story.expires_at - now) + BROOM_SECONDS),
    }


def decided(entry: Json, state: str, story: Story, now: float) -> Json:
    """Return the queue document with an editor's decision."""
    return {**entry, "state": state, "decidedAt": now, "ttl": queue_document(story, now)["ttl"]}


def wanted_state(entry: Json, state: str, reports: int, hold_at: int) -> str:
    """Derive the state that a story should have. Pure.

    `state`: its state now; `reports`: how many people reported it since the last decision; `hold_at`: how many hold it.
    """
    if state not in (LIVE, HELD):
        return state
    if entry.get("state") == REMOVED:
        return REMOVED
    if reports >= hold_at:
        return HELD
    return LIVE if entry.get("state") == APPROVED else state


class Moderation:
    """Stores reports and applies decisions. Can raise `StoreUnavailable`, and `BlobsUnavailable` from a removal;
    repeating the same call is safe then."""

    def __init__(
        self, documents: DocumentStore, catalogs: StoryCatalogs, media: MediaCheck, telemetry: Telemetry
    ) -> None:
        self._documents = documents
        self._catalogs = catalogs
        self._media = media
        self._telemetry = telemetry

    def count_decision(self, tenant_id: str, decision: str) -> None:
        """Count an editor's decision in the metric `story_decisions`."""
        self._telemetry.count("story_decisions", tenant_id, decision)

    async def has_reported(self, reporter: Person, story_id: str) -> bool:
        """Return whether a person has reported a story before."""
        partition = partition_of(reporter.tenant_id, story_id)
        found = await self._documents.read(STORY_ACTIVITY, partition, REPORT + reporter.id, latest=True)
        return found is not None

    async def report(self, reporter: Person, story: Story, reason: str, text: str | None, now: float) -> bool:
        """Store a person's first report of a story; return whether this was the first."""
        note = {"id": REPORTED + story.id, "kind": "reported", "storyId": story.id, "ttl": KEEP_REPORT_SECONDS}
        await self._create(PEOPLE, reporter.partition, note)
        await self._create(STORIES, reporter.tenant_id, queue_document(story, now))
        fact = {
            "id": REPORT + reporter.id,
            "kind": "report",
            "reason": reason,
            "text": text,
            "at": now,
            "ttl": KEEP_REPORT_SECONDS,
        }
        return await self._create(STORY_ACTIVITY, partition_of(reporter.tenant_id, story.id), fact)

    async def settle(self, tenant_id: str, story_id: str, hold_at: int, now: float) -> Story | None:
        """Bring a reported story into its `wanted_state` and return it; None if it has ended or was never reported."""
        for _ in range(ATTEMPTS):
            entry = await self.entry(tenant_id, story_id)
            stored = await self._documents.read(STORIES, bucket_of(tenant_id, story_id), story_id, latest=True)
            story = Story.from_document(stored.body) if stored else None
            if entry is None or stored is None or story is None or story.expires_at <= now:
                return None
            reports = await self._reports(tenant_id, story_id, entry.body)
            wanted = wanted_state(entry.body, story.state, len(reports), hold_at)
            if wanted == story.state:
                self._catalogs.apply(tenant_id, story)
                return story
            if wanted == REMOVED and story.state == LIVE:
                wanted = HELD  # hide it first, because deleting its media can fail
            elif wanted == REMOVED and story.media is not None:
                await self._media.remove(tenant_id, story.media.key)
            body = {**stored.body, "state": wanted, "ttl": story.to_document(now)["ttl"]}
            if wanted == REMOVED:
                body |= {"deletedAt": now, "text": None, "media": None, "why": "editor"}
            try:
                await self._documents.write(STORIES, stored.partition, [Replace(body, stored.etag)])
            except WriteRejected:
                continue
            if wanted == HELD:
                self._telemetry.count("stories_held", tenant_id)
            if (changed := Story.from_document(body)) is not None:
                self._catalogs.apply(tenant_id, changed)
        raise StoreUnavailable("a reported story changes faster than it can be settled", 1.0)

    async def finish(self, tenant_id: str, hold_at: int, now: float) -> None:
        """Settle the reported stories of a tenant, to finish what was interrupted."""
        for entry in await query_all(self._documents, STORIES, tenant_id, REPORTED):
            at = entry.body.get("decidedAt")
            if isinstance(at, int | float) and at < now - FINISH_SECONDS:
                continue
            await self.settle(tenant_id, str(entry.body["storyId"]), hold_at, now)

    async def entry(self, tenant_id: str, story_id: str) -> Document | None:
        """Read the queue document of a story."""
        return await self._documents.read(STORIES, tenant_id, REPORTED + story_id, latest=True)

    async def stored(self, tenant_id: str, story_id: str, now: float) -> Story | None:
        """Read a story that has not ended, without checking who can see it."""
        story = await self._catalogs.stored(tenant_id, story_id)
        return story if story is not None and story.expires_at > now else None

    async def queue(
        self, tenant_id: str, after: str | None, limit: int, hold_at: int, now: float
    ) -> tuple[list[ReportedStory], str | None]:
        """Return a page of stories that wait for an editor, the oldest story first, and the id to continue after.

        A page can be shorter than `limit`, because decided and ended stories are left out.
        """
        page = await self._documents.query(STORIES, tenant_id, id_prefix=REPORTED, after=after, limit=limit)
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(entry: Document) -> ReportedStory | None:
            async with turns:
                return await self.look(tenant_id, entry, hold_at, now)

        found = await asyncio.gather(*map(one, page.documents))
        return [each for each in found if each is not None and each.reports], page.next

    async def look(self, tenant_id: str, entry: Document, hold_at: int, now: float) -> ReportedStory | None:
        """Settle a story of the queue and return it with its reports; None if it has ended or is gone."""
        story = await self.settle(tenant_id, str(entry.body["storyId"]), hold_at, now)
        if story is None or story.state not in (LIVE, HELD):
            return None
        reports = await self._reports(tenant_id, story.id, entry.body)
        link = None if story.media is None else await self._media.link(tenant_id, story.media.key)
        return ReportedStory(entry, story, reports, link)

    async def _reports(self, tenant_id: str, story_id: str, entry: Json) -> list[Report]:
        """Read the reports since the last decision, the newest first."""
        at = entry.get("decidedAt")
        since = at if isinstance(at, int | float) else 0.0
        facts = await query_all(self._documents, STORY_ACTIVITY, partition_of(tenant_id, story_id), REPORT)
        found = [Report(each.body["reason"], each.body["text"], each.body["at"]) for each in facts]
        return sorted((each for each in found if each.at > since), key=lambda each: -each.at)

    async def _create(self, container: Container, partition: str, body: Json) -> bool:
        try:
            await self._documents.write(container, partition, [Create(body)])
        except WriteRejected:
            return False
        return True
