"""Instances that write old and new format versions side by side lose nothing and count nothing twice.

Two instances of the app share one store, one bus and one archive; the new one has every `WRITE_…_VERSION` switched. For
each page of a feed, the test draws which of them serves, accepts, folds and rolls up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bootstrap
from events.api import EventsApi
from events.archive import from_lines, is_live
from events.frame import MARK
from feed.api import FeedApi
from local.demo import save_videos
from ranking.stats import STATS_PREFIX, StatsTable, merged
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.bus.port import SIGNALS
from shared.adapters.documents.port import USER_ACTIVITY, VIDEO_STATS, query_all
from shared.adapters.tenant_directory import save_key, save_tenant
from shared.domain.alphabet import from_text
from shared.domain.fingerprint import fingerprint
from shared.domain.follows import Subject
from shared.domain.records import Tenant, Video
from shared.domain.signals_document import from_document
from shared.domain.user_lists import FOLLOWING, SAVED, UserList, document_id
from shared.domain.user_signals import SIGNALS_ID
from shared.settings import Settings
from shared.web.endpoint import endpoints_of
from tests.emulators.clock import MovableClock
from tests.events.topic import MemoryTopic
from tests.memory_documents import MemoryDocuments
from tests.served_app import make_videos

TENANT, KEY, USER = "tenant_1", "a-key-of-every-scope-0123456789", "a" * 64
PAGE, VIDEOS = 5, 60
FOLLOWS = ((1, "follow"), (2, "follow"), (2, "unfollow"))
"""Which video of a page names the followed creator, and the event sent."""
OLD = {
    "write_signals_version": "2",
    "write_receipt_version": "1",
    "write_message_version": "1",
    "write_cursor_version": "1",
}
NEW = {
    "write_signals_version": "3",
    "write_receipt_version": "2",
    "write_message_version": "2",
    "hand_on_linger_ms": 0.0,
    "write_cursor_version": "2",
}


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module."""


@dataclass(frozen=True)
class Step:
    """One page of the walk: whether the new instance serves it, accepts its events, folds them and rolls them up,
    and whether the other one gets the message as well."""

    serves_new: bool = False
    accepts_new: bool = False
    folds_new: bool = False
    rolls_up_new: bool = False
    folded_again: bool = False


@dataclass
class World:
    """Two instances on the same ports, and what one user has watched."""

    folder: Path
    clock: MovableClock = field(default_factory=MovableClock)
    watched: list[str] = field(default_factory=list)
    cursor: str | None = None
    saved: set[str] = field(default_factory=set)
    followed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.documents, self.topic = MemoryDocuments(self.clock.now), MemoryTopic()
        self.old, self.new = self._instance(OLD), self._instance(NEW)

    def _instance(self, chosen: dict[str, Any]) -> bootstrap.App:
        secret = base64.b64encode(b"for tests only, 32 bytes or more").decode()
        flags = self.folder / "flags.json"
        flags.write_text('{"feature_management": {"feature_flags": [{"id": "personalized-feed", "enabled": true}]}}')
        return bootstrap.build(
            Settings(
                data_folder=str(self.folder),
                flags_file=str(flags),
                signing_keys=f"test:{secret}",
                identity_secret=secret,
                signals_cache_seconds=0.0,
                signals_budget_ms=250.0,
                rollup_seconds=5.0,
                **chosen,
            ),
            clock=self.clock.now,
            elapsed=self.clock.elapsed,
            documents=self.documents,
            bus=self.topic,  # type: ignore[arg-type]
        )

    def instance(self, new: bool) -> bootstrap.App:
        return self.new if new else self.old

    async def start(self) -> None:
        await save_tenant(self.documents, Tenant(TENANT, "PG13"))
        await save_key(self.documents, self.old.identity, TENANT, "app", KEY, frozenset({"sdk"}))
        await save_videos(self.old, TENANT, told_apart(make_videos(VIDEOS)))
        for each in (self.old, self.new):
            assert await each.flags_refresher.refresh()
            assert await each.tenants_refresher.refresh()

    async def call(self, services: bootstrap.App, api: type, name: str, body: bytes = b"", **query: str) -> Any:
        declared = next(each for each in endpoints_of(api) if each.name == name)
        headers = {"x-tenant-id": TENANT, "x-api-key": KEY, "x-user": USER, "content-type": "application/json"}
        url = f"http://localhost/{declared.path}"
        request = func.HttpRequest(declared.method, url, headers=headers, params=query, body=body)
        answer = await services.edge.answer(declared, services.apis[api], request)
        assert answer.status_code in (200, 202), answer.get_body()
        return json.loads(answer.get_body())

    async def live(self, step: Step) -> None:
        more = {} if self.cursor is None else {"cursor": self.cursor}
        page = await self.call(self.instance(step.serves_new), FeedApi, "get_feed", limit=str(PAGE), **more)
        self.cursor = page["nextCursor"]
        assert from_text(page["feedRequestId"])[0] == (2 if step.serves_new else 1)
        ids = [item["videoId"] for item in page["items"]]
        self.watched += ids
        await self.accept(step, page["feedRequestId"], ids)
        await self.fold(step)
        assert await self.instance(step.rolls_up_new).stats_consumer.run() == 1
        self.clock.advance(60.0)

    async def accept(self, step: Step, quoted: str, ids: list[str]) -> None:
        at = int(self.clock.now() * 1000)
        views = [
            {"type": "video_view", "videoId": id, "timestamp": at, "watchTimeMs": 20_000, "feedRequestId": quoted}
            for id in ids
        ]
        kept = [{"type": "save", "videoId": ids[0], "timestamp": at, "feedRequestId": quoted}]
        kept += [{"type": kind, "followKind": "creator", "followId": ids[n], "timestamp": at} for n, kind in FOLLOWS]
        body = json.dumps({"events": [*views, *kept]}).encode()
        answer = await self.call(self.instance(step.accepts_new), EventsApi, "post_events", body)
        assert answer["accepted"] == len(ids) + len(kept)
        self.saved, self.followed = {*self.saved, ids[0]}, {*self.followed, f"creator:{ids[1]}"}

    async def fold(self, step: Step) -> None:
        body = next(message.body for message in reversed(self.topic.published) if message.to == SIGNALS)
        assert (body[0] == MARK) is step.accepts_new
        assert await self.instance(step.folds_new).signals_consumer.handle(body) == "folded"
        handed_on = self.topic.published[-1]
        assert (handed_on.body[0] == MARK) is step.folds_new
        assert (await self.signals()).get("v") == (3 if step.folds_new else None)
        if step.folded_again:
            assert await self.instance(not step.folds_new).signals_consumer.handle(body) == "duplicate"

    async def signals(self) -> Any:
        found = await self.documents.read(USER_ACTIVITY, self.old.identity.user_key(TENANT, USER), SIGNALS_ID)
        assert found is not None
        return found.body

    async def list_named(self, name: str) -> UserList:
        found = await self.documents.read(USER_ACTIVITY, self.old.identity.user_key(TENANT, USER), document_id(name))
        assert found is not None
        return UserList.from_document(found.body)

    async def check(self) -> None:
        assert len(set(self.watched)) == len(self.watched), "a walk shows nothing twice"
        read = from_document(await self.signals())
        assert read is not None
        assert int(read.daily["views"].sum()) == len(self.watched)
        shards = await query_all(self.documents, VIDEO_STATS, TENANT, STATS_PREFIX)
        table = merged(StatsTable.unpack(str(shard.body["packed"])) for shard in shards)
        counted = {id: table.week(id, self.clock.now())["views"] for id in self.watched}
        assert counted == dict.fromkeys(self.watched, 1)
        lines: list[dict[str, Any]] = []
        async for blob in self.old.blobs.list(ARCHIVE):
            lines += from_lines(await self.old.blobs.read(ARCHIVE, blob.name) or b"")
        views = [line for line in lines if line["type"] == "video_view"]
        assert Counter(line["videoId"] for line in views) == Counter(self.watched)
        assert all(line["counted"] and line["request"] and is_live(line) for line in views)
        assert Counter(line["videoId"] for line in lines if line["type"] == "save") == Counter(self.saved)
        follows = [line["subject"]["id"] for line in lines if line["videoId"] is None]
        assert len(follows) == len(FOLLOWS) * len(self.saved)
        assert {id for id, _ in (await self.list_named(SAVED)).listed(self.clock.now())} == self.saved
        following = await self.list_named(FOLLOWING)
        assert {id for id, _ in following.listed(self.clock.now())} == self.followed
        assert set(read.follows.keys.tolist()) == {Subject.named(name).fingerprint for name in self.followed}
        assert self.topic.dead == self.topic.dead_letters == []


def told_apart(videos: list[Video]) -> list[Video]:
    """Drop the videos that a version 1 receipt cannot distinguish: it stores 16 bits per video."""
    return list({fingerprint(video.id) & 0xFFFF: video for video in videos}.values())


STEPS = st.builds(Step, *([st.booleans()] * 5))


@settings(max_examples=8, deadline=None)
@given(st.lists(STEPS, min_size=2, max_size=5))
def test_old_and_new_formats_side_by_side_lose_nothing_and_count_once(steps: list[Step]) -> None:
    async def tell() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder))
            await world.start()
            try:
                switched_back = [Step(folded_again=True), Step()]
                for step in [Step(), *steps, Step(True, True, True, True), *switched_back]:
                    await world.live(step)
                await world.check()
            finally:
                await world.old.close()
                await world.new.close()

    asyncio.run(tell())


def test_archive_line_without_an_origin_counts_as_live() -> None:
    assert [is_live(line) for line in ({}, {"origin": "live"}, {"origin": "history"})] == [True, True, False]
