"""Writes one of every document that the app stores; `docs/data-model.md` is compared with them.

`python -m tests.stored_documents` prints every kind of document with its size and what Cosmos DB would charge for it.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.measured import record
from benchmarks.results import STORED, keep_table
from events.archive import from_lines
from events.batch import decode, encode
from events.daily_statistics import COLUMNS, DayTable
from events.fold_markers import MARKER_PREFIX
from infra.capacity import read_units, write_units
from learning.gate import decide
from learning.holdout import HoldoutDay, WatchedDay
from learning.learner import Night
from learning.nightly import LEARNED
from learning.promotion import model_body
from learning.take_back import with_holdout_day
from ranking.model import global_model, popularity_model
from ranking.stats import StatsTable
from shared.adapters.blobs.port import ARCHIVE, BLOB_CONTAINERS
from shared.adapters.bus.port import ROLLUP, SIGNALS, OutgoingMessage
from shared.adapters.documents.port import CONTAINERS, DAY_SECONDS, TENANTS, DocumentStore, Upsert
from shared.domain.auto_model import AutoModel
from shared.domain.removal_receipt import GRACE_SECONDS
from shared.domain.user_signals import MAX_DOCUMENT_BYTES
from tests.cms.editor import RULE, VIDEO, Editor
from tests.served_app import App, new_user, served
from tests.stories.social import Someone, stories_on
from tests.user_tokens import signer

Json = dict[str, Any]

COMMAND = "python -m tests.stored_documents"
EVENTS_OF_A_DAY = 600 * 20 * 86_400 // 120
"""One of 120 tenants, at 600 batches of 20 events a second."""
TAGS = ("fitness", "cooking", "travel")
FEED_IN_FULL: Json = {
    "title": "Kitchen",
    "base": {"categories": ["cooking"], "playlists": ["weekend"], "tags": ["dinner", "quick"]},
    "fallbackOrder": "editorial",
    "weights": {"recency": 0.5},
    "defaultLimit": 10,
    "streakCap": 0,
    "creatorCap": 5,
    "diversity": 0.2,
    "maturityCeiling": "PG",
}
RULE_IN_FULL = {
    **RULE,
    "audience": {"countries": ["DE"], "platforms": ["ios"]},
    "startsAt": "2026-11-28T18:00:00Z",
    "endsAt": "2027-11-28T18:00:00Z",
}
MODEL = {
    "type": "linear",
    "version": "2026-11-a",
    "weights": {"quality": 0.5, "cowatch": 1.0},
    "weightsWithoutCoWatch": {"quality": 0.7},
}


MEDIA = {
    "posterUrl": "https://cdn.example/poster.jpg",
    "width": 720,
    "height": 1280,
    "renditions": [{"url": "https://cdn.example/720.m3u8", "height": 1280, "bitrate": 2_500_000}],
    "captions": [{"language": "en", "url": "https://cdn.example/en.vtt"}],
    "metadata": {"sku": "A-12"},
    "action": {"label": "Buy", "url": "https://shop.example/"},
    "seriesId": "garden",
    "season": 1,
    "episode": 3,
}


@dataclass
class Stored:
    """Stored documents by (container, kind, whether a tombstone), and the rest by name."""

    documents: dict[tuple[str, str, bool], list[Json]] = field(default_factory=dict)
    archived: list[Json] = field(default_factory=list)
    messages: list[OutgoingMessage] = field(default_factory=list)
    blobs: dict[str, list[str]] = field(default_factory=dict)

    def kinds(self) -> Iterator[tuple[str, str, list[Json]]]:
        """Yield container, kind and documents, without tombstones of deleted ones."""
        for (container, kind, gone), bodies in sorted(self.documents.items()):
            if not gone:
                yield container, kind, bodies

    def tombstones(self) -> list[Json]:
        return [body for (_, _, gone), bodies in self.documents.items() if gone for body in bodies]


async def one_of_everything(folder: Path) -> Stored:
    """Run the app with its stores in `folder`, store one of everything, and read the stores."""
    async with served(folder) as app:
        found = Stored()
        _listen(app, found)
        editor = await _tenant(app)
        await _steer(editor)
        await _collect(app.documents, found)
        await _socialize(app, editor)
        await _collect(app.documents, found)
        await _watch(app, editor)
        await _hand_on_late(app, found)
        await app.services.blobs.write("cms-uploads", f"{editor.tenant_id}/probe.ndjson", b"{}")
        await _collect(app.documents, found)
        await _forget(app, editor, found)
        await _remove(app, found)
        await _collect(app.documents, found)
        for container in BLOB_CONTAINERS:
            found.blobs[container] = [blob.name async for blob in app.services.blobs.list(container)]
        for name in found.blobs[ARCHIVE]:
            found.archived += list(from_lines(await app.services.blobs.read(ARCHIVE, name) or b""))
    return found


def _listen(app: App, found: Stored) -> None:
    """Record what is published from now on."""
    publish = app.services.bus.publish

    async def published(message: OutgoingMessage) -> None:
        found.messages.append(message)
        await publish(message)

    app.services.bus.publish = published  # type: ignore[method-assign]


async def _tenant(app: App) -> Editor:
    """Create a tenant as an operator does, with keys, a public key, and sixty videos, one of which expires."""
    operator = Editor(app, await app.tenant(), app.ops_key)
    made = await operator.post("tenants", {"tenantId": "showcase", "maturityPolicy": "PG13"})
    assert made.status == 201, made.body
    editor = Editor(app, await app.tenant(), app.ops_key)
    rows = [{**VIDEO, "id": f"vid_{tag}_{n}", "mainTag": tag, "tags": [tag]} for tag in TAGS for n in range(20)]
    assert (await editor.post("imports", {"videos": rows})).status == 200
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    for path, body in (
        ("keys", {"name": "Anna", "scopes": ["cms"], "expiresAt": "2027-01-01T00:00:00Z"}),
        ("user-token-keys", {"keyId": "backend-1", "publicKey": pem}),
        ("videos", {**VIDEO, "id": "vid_rich", **MEDIA}),
        ("videos", {**VIDEO, "id": "vid_core", "creatorId": "anna", "expiresAt": "2027-01-01T00:00:00Z"}),
    ):
        assert (await editor.post(path, body)).status == 201, path
    return editor


async def _steer(editor: Editor) -> None:
    """Write everything a content team can write, and delete one thing again."""
    for path, body in (
        ("rules", {**RULE_IN_FULL, "id": "more-fitness"}),
        ("playlists", {"id": "weekend", "name": "Weekend picks", "videoIds": ["vid_fitness_1", "vid_core"]}),
        ("playlists", {"id": "over", "name": "Over", "videoIds": []}),
        ("feeds", {"id": "kitchen", **FEED_IN_FULL}),
        ("models", MODEL),
        ("experiments", {"id": "quality", "name": "More quality", "arms": _arms()}),
    ):
        answer = await editor.post(path, body)
        assert answer.status == 201, (path, answer.body)
    live = (await editor.get("configuration")).json
    draft = {name: live[name] for name in ("maturityPolicy", "weights")} | {"weights": {"quality": 2.0}}
    for path, body in (
        ("rules/later/draft", RULE_IN_FULL),
        ("configuration/draft", draft),
        ("feeds/later/draft", FEED_IN_FULL),
    ):
        answer = await editor.call("PUT", path, body)
        assert answer.status == 200, (path, answer.body)
    assert (await editor.post("videos", {**VIDEO, "id": "vid_down"})).status == 201
    assert (await editor.post("videos/vid_down/takedown")).status == 200
    assert (await editor.change("DELETE", "playlists/over")).status == 204
    assert (await editor.post("experiments/quality/start")).status == 200
    await _learn(editor)
    rows = b"\n".join(orjson.dumps({**VIDEO, "id": f"vid_row_{n:05}"}) for n in range(1_001))
    queued = await editor.call("POST", "imports", rows, {"Content-Type": "application/x-ndjson"})
    assert queued.status == 202, queued.body
    past = {"user": new_user(), "type": "like", "videoId": "vid_core"}
    rows = [{**past, "timestamp": editor.app.now_ms(DAY_SECONDS * day)} for day in range(1, 41)]
    asked = await editor.post("history", {"events": [*rows, {**past, "timestamp": "soon"}]})
    assert asked.status == 202, asked.body
    await editor.app.host.run_timer("run_jobs")


async def _learn(editor: Editor) -> None:
    """Promote a nightly model, and roll back another."""
    auto = AutoModel(
        "2026-11-28", None, "2026-11-a", "2026-11-a", "it won on the newest day", {"lift": [0.2, 0.1, 0.3]}
    )
    for day in range(22, 29):
        figures = HoldoutDay(WatchedDay(9_000, 4.5e6, 4.5e9), WatchedDay(180, 108_000.0, 1.3e8))
        auto = with_holdout_day(auto, f"2026-11-{day}", "2026-11-a", figures)
    found = Night(0, popularity_model(), global_model(), decide([]), 0)
    version = model_body("2026-11-28", found, found.report(), editor.app.clock.now())
    await editor.app.documents.write(TENANTS, editor.tenant_id, [Upsert(auto.to_document()), Upsert(version)])
    assert await editor.app.services.take_backs.run() == 1


def _arms() -> list[Json]:
    return [
        {"name": "as it is", "percent": 50},
        {"name": "quality", "percent": 50, "modelVersion": "2026-11-a", "weights": {"quality": 1.0}},
    ]


async def _watch(app: App, editor: Editor) -> None:
    """Let two users watch served videos, more than once, and one opted-out user; then run the nightly jobs."""
    await app.see_content()
    draw = random.Random(1)
    for client in (editor.client, editor.client.as_user()):
        for _ in range(3):
            page = (await client.feed(limit=20)).json
            events = [
                {
                    "type": draw.choice(("video_view", "video_view", "skip", "like")),
                    "videoId": item["videoId"],
                    "timestamp": app.now_ms(at),
                    "watchTimeMs": draw.randrange(1_000, 40_000),
                    "feedRequestId": page["feedRequestId"],
                    "rankPosition": item["rank"],
                }
                for at, item in enumerate(page["items"])
            ]
            playing = {**events[0], "playId": "p", "startedAt": app.now_ms(9), "positionMs": 9_000, "sessionId": "s"}
            events += [{**playing, "type": "start"}, {**playing, "type": "progress"}]
            likes = {"videoId": "vid_rich", "timestamp": app.now_ms()}
            events += [{**likes, "type": "save"}, {**likes, "type": "video_view", "watchTimeMs": 9_000}]
            events.append({**likes, "type": "complete"})
            events.append({"type": "follow", "followKind": "creator", "followId": "anna", "timestamp": app.now_ms()})
            assert (await client.post(events)).status == 202
            assert (await client.post([*events[:1], {**events[0], "type": "complete"}])).status == 202  # packed again
            await app.folded()
    unnamed = editor.client.as_user()
    off = {"X-Personalization": "off"}
    page = (await unnamed.feed(off)).json
    view = {"type": "impression", "videoId": page["items"][0]["videoId"], "timestamp": app.now_ms()}
    assert (await unnamed.post([{**view, "feedRequestId": page["feedRequestId"]}], off)).status == 202
    await app.rolled_up()
    await app.services.table_builder.build(editor.tenant_id)
    today = datetime.fromtimestamp(app.clock.now(), UTC).date().isoformat()
    assert await app.services.learning.run(editor.tenant_id, today) == LEARNED
    await app.services.experiment_reports.store_all()


async def _socialize(app: App, editor: Editor) -> None:
    """Let people follow, block, post, view, react and report, and an editor decide."""
    await stories_on(app)
    own = signer("ES256")
    assert (await editor.post("user-token-keys", {"keyId": own.kid, "publicKey": own.pem})).status == 201
    assert await app.services.tenants_refresher.refresh()
    author, viewer = Someone(editor.client), Someone(editor.client.as_user())
    author_id, viewer_id = [(await each.get("me")).json["id"] for each in (author, viewer)]
    for each in (viewer, Someone(editor.client.as_user())):
        assert (await each.call("PUT", f"follow/{author_id}")).status == 200
    story = {
        "visibility": "friends",
        "text": "Off to the lake, with everybody who likes to swim before breakfast.",
        "audienceUserIds": [viewer_id],
        "category": "travel",
        "tags": ["lake", "summer"],
    }
    ids = []
    for key in ("one", "two"):
        posted = await author.call("POST", "stories", story, {"Idempotency-Key": key})
        assert posted.status == 201, posted.body
        ids.append(posted.json["id"])
    for story_id in ids:
        assert (await viewer.call("PUT", f"stories/{story_id}/view")).status == 204
        assert (await viewer.call("PUT", f"stories/{story_id}/reaction", {"emoji": "🔥"})).status == 200
        report = {"reason": "spam", "text": "The same every day."}
        assert (await viewer.call("POST", f"stories/{story_id}/report", report)).status == 202
    for _ in range(2):  # the second run finds the sums of the first
        await app.services.social.count()
    await app.services.social.expire()
    assert (await editor.post(f"stories/{ids[0]}/remove", {"reason": "an advertisement"})).status == 200
    assert (await viewer.call("PUT", f"blocks/{author_id}")).status == 204


async def _hand_on_late(app: App, found: Stored) -> None:
    """Publish a batch again by a second delivery before its first copy arrives."""
    latest = next(message for message in reversed(found.messages) if message.to == ROLLUP)
    batch = replace(decode(latest.body)[0], id="late", again=True)
    await app.services.bus.publish(replace(latest, message_id="late.rollup", body=encode(batch)))
    await app.rolled_up()


async def _forget(app: App, editor: Editor, found: Stored) -> None:
    """Erase a user, who returns."""
    headers = {**editor.client.headers, "X-Api-Key": app.ops_key}
    erased = await app.request("POST", "/v1/privacy/erase", headers)
    assert erased.status == 200, erased.body
    await _collect(app.documents, found)
    await editor.client.post([{"type": "like", "videoId": "vid_core", "timestamp": app.now_ms()}])
    await app.folded()


async def _remove(app: App, found: Stored) -> None:
    """Remove the tenant that was only created."""
    operator = Editor(app, await app.tenant(), app.ops_key)
    asked = await operator.post("tenants/showcase/removal", {"confirm": "showcase", "reason": "only made"})
    assert asked.status == 202, asked.body
    await _collect(app.documents, found)
    app.clock.advance(GRACE_SECONDS + 1)
    await app.host.run_timer("run_jobs")
    receipt = await operator.get("tenants/showcase/removal")
    assert receipt.json["state"] == "done", receipt.body


async def _collect(documents: DocumentStore, found: Stored) -> None:
    """Add every document of every container in its current state."""
    for container in CONTAINERS.values():
        token, more = None, True
        while more:
            changes = await documents.changes(container, token)
            token, more = changes.token, changes.more
            for document in changes.documents:
                body = {**document.body, container.partition_field: document.partition}
                kind = "marker" if document.id.startswith(MARKER_PREFIX) else str(body.get("kind"))
                key = (container.name, kind, bool(body.get("deleted")))
                known = found.documents.setdefault(key, [])
                if body not in known:
                    known.append(body)


def sizes(stored: Stored) -> Iterator[tuple[str, str, int]]:
    """Container, kind, and the bytes of the median document as JSON."""
    for container, kind, bodies in stored.kinds():
        ordered = sorted(len(orjson.dumps(body)) for body in bodies)
        yield container, kind, ordered[len(ordered) // 2]


def statistics_bytes(videos: int) -> int:
    """Return the size of a tenant's packed statistics when all its videos were watched this week."""
    draw, table = random.Random(1), StatsTable()
    kinds = ("impression", "impression", "video_view", "skip", "like")
    table.add(
        (f"vid_{n}", 1.7e9 - draw.uniform(0, 7 * DAY_SECONDS), draw.choice(kinds), draw.uniform(0, 40_000), 30.0)
        for n in range(videos)
        for _ in range(30)
    )
    return len(table.pack())


def daily_bytes(videos: int) -> int:
    """Return the size of a tenant's packed daily sums: the load model's events, spread over its videos by Zipf's
    law."""
    draw = np.random.default_rng(1)
    events = (EVENTS_OF_A_DAY / np.arange(1, videos + 1) / sum(1 / np.arange(1, videos + 1))).astype(np.int64)
    shares = {"impressions": 0.4, "views": 0.4, "completions": 0.05, "likes": 0.1, "playbackErrors": 0.01}
    sums = {name: draw.binomial(events, share) for name, share in shares.items()}
    sums["starts"] = sums["stalls"] = np.zeros(videos, np.int64)  # the load model sends no plays
    sums["watchMs"] = 20_000 * sums["views"] + draw.integers(0, 20_000, videos)
    day = DayTable()
    day.add(draw.integers(1, 2**63, videos, dtype=np.uint64), np.stack([sums[name] for name in COLUMNS], axis=1))
    return len(day.pack())


def _row(name: str, size: int) -> None:
    print(f"{name:34}{size:8,}{read_units(size):9.1f}{write_units(size):10.1f}")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        stored = asyncio.run(one_of_everything(Path(folder)))
    print(f"{'document':34}{'bytes':>8}{'RU read':>9}{'RU write':>10}")
    for container, kind, size in sizes(stored):
        _row(f"{container} · {kind}", size)
    _row("a user at every cap", MAX_DOCUMENT_BYTES)
    for videos in (2_000, 10_000):
        _row(f"statistics of {videos:,} videos", statistics_bytes(videos))
        _row(f"a day of {videos:,} videos", daily_bytes(videos))
    rows = [(f"`{kind}` in `{container}`", size) for container, kind, size in sizes(stored)]
    rows += [("a user's signals at every cap", MAX_DOCUMENT_BYTES)]
    rows += [(f"statistics of {videos:,} watched videos", statistics_bytes(videos)) for videos in (2_000, 10_000)]
    keep_table(
        "stored documents",
        ("document", "bytes", "RU to read", "RU to write"),
        [(name, f"{size:,}", f"{read_units(size):.1f}", f"{write_units(size):.1f}") for name, size in rows],
        topic=STORED,
        what="Stored documents: bytes of the median, and request units by the published table",
        command=COMMAND,
        against="one of everything, written by the app",
    )
    for subscription in (SIGNALS, ROLLUP):
        bodies = [len(message.body) for message in stored.messages if message.to == subscription]
        print(f"{'message · ' + subscription:34}{max(bodies):8,}")
    video = next(size for _, kind, size in sizes(stored) if kind == "video")
    record("video_kb", video / 1024, "kB", COMMAND)
    record("statistics_kb", statistics_bytes(2_000) / 1024, "kB", f"{COMMAND}, 2,000 watched videos")
    record("daily_kb", daily_bytes(2_000) / 1024, "kB", f"{COMMAND}, a day of 2,000 videos")


if __name__ == "__main__":
    main()
