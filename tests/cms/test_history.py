"""Imported past events count once, in signals and learning only."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from cms.history.models import HISTORY, HISTORY_FILE, HistoryCounts
from cms.imports.job_queue import LEASE_SECONDS
from events.archive import from_lines, is_live
from events.counting import MAX_A_DAY
from events.history_rows import ROW_REJECTIONS
from learning.night import night_before
from learning.nightly import LEARNED
from shared.adapters.blobs.port import ARCHIVE, SAMPLES, UPLOADS
from shared.adapters.documents.port import USER_ACTIVITY, VIDEO_STATS, query_all
from shared.domain.cowatch_pointer import POINTER_ID
from shared.domain.event_types import MAX_EVENTS
from shared.domain.history import JOB_KIND, STATUSES
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID, Signals
from tests.cms.editor import Editor, new_editor
from tests.docs.pages import ROOT
from tests.served_app import Answer, App, Client, eventually, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}
DAY = 86_400


def past(client: Client, count: int, *, first_ago: float = 2 * DAY, step: float = 3_000.0, **fields: Any) -> list[Any]:
    """Views of a second each, one every 50 minutes, back from two days ago."""
    return [
        {
            "user": client.user,
            "type": "video_view",
            "videoId": f"vid_fitness_{1 + n % 6}",
            "timestamp": client.app.now_ms(first_ago + n * step),
            "watchTimeMs": 1_000,
            **fields,
        }
        for n in range(count)
    ]


def live(client: Client, count: int) -> list[Any]:
    """Views of the last minutes, as an app sends them."""
    return [{k: v for k, v in row.items() if k != "user"} for row in past(client, count, first_ago=60, step=7)]


def lines(rows: list[Any]) -> bytes:
    return b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows)


async def sent(editor: Editor, rows: list[Any]) -> Answer:
    return await editor.post("history", lines(rows), NDJSON)


async def worked_off(editor: Editor, answer: Answer) -> dict[str, Any]:
    """Return the job after the worker has run."""
    assert answer.status == 202, answer.json
    await editor.app.services.tenants.refresh()
    job: dict[str, Any] = {}

    async def is_done() -> bool:
        await editor.app.services.history.run()
        job.update((await editor.get(f"history/{answer.json['id']}")).json)
        return job["state"] in ("done", "failed")

    await eventually(is_done)
    return job


async def imported(editor: Editor, rows: list[Any]) -> dict[str, Any]:
    return await worked_off(editor, await sent(editor, rows))


def counts(**of: int) -> dict[str, int]:
    return {name: of.get(name, 0) for name in STATUSES}


async def signals_of(client: Client) -> Signals:
    await client.app.folded()
    found = await client.app.documents.read(USER_ACTIVITY, client.user_key, SIGNALS_ID, latest=True)
    assert found is not None
    signals = from_document(found.body)
    assert signals is not None
    return signals


async def statistics_of(client: Client) -> dict[str, Any]:
    found = await query_all(client.app.documents, VIDEO_STATS, client.tenant_id)
    return {each.id: each.body.get("packed") for each in found}


async def blobs(client: Client, container: str) -> dict[str, list[dict[str, Any]]]:
    store = client.app.services.blobs
    names = [blob.name async for blob in store.list(container, f"{client.tenant_id}/")]
    return {name: list(from_lines(await store.read(container, name) or b"")) for name in names}


async def sampled(client: Client) -> list[dict[str, Any]]:
    """Return every past event in the sample."""
    return [line for name, of in (await blobs(client, SAMPLES)).items() if "/history-" in name for line in of]


async def test_batch_and_past_events_repeated_count_once(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    batch = live(client, MAX_EVENTS)
    await client.post(batch)
    await app.folded()
    await app.rolled_up()
    statistics = await statistics_of(client)
    archive = await blobs(client, ARCHIVE)
    assert sum(map(len, archive.values())) == MAX_EVENTS
    job = await imported(editor, past(client, 1_000))
    assert (job["state"], job["processed"], job["counts"]) == ("done", 1_000, counts(counted=1_000))
    assert (await signals_of(client)).events == MAX_EVENTS + 1_000
    for again in (batch, batch[50:], batch[::-1]):  # the same bytes, and repacked
        await client.post(again)
        await app.folded()
        await app.rolled_up()
    assert (await signals_of(client)).events == MAX_EVENTS + 1_000
    assert await blobs(client, ARCHIVE) == archive
    assert await statistics_of(client) == statistics
    written = await sampled(client)
    assert len(written) == 1_000
    assert len({line["batch"] for line in written}) == 1_000, "each has an identity of its own: job and row"


async def test_past_events_already_sent_by_the_app_count_once(app: App) -> None:
    """Also before the archive has them: the ring of accepted events is checked too."""
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    batch = live(client, 20)
    rows = [{**event, "user": client.user} for event in batch]
    await client.post(batch)
    await app.folded()
    assert (await imported(editor, rows))["counts"] == counts(known=20)
    await app.rolled_up()
    later = [{**row, "timestamp": row["timestamp"] // 1_000 * 1_000} for row in rows]  # to the second
    job = await imported(editor, [*later, *past(client, 5)])
    assert job["counts"] == counts(known=20, counted=5)
    assert (await signals_of(client)).events == 25


async def test_past_events_of_an_earlier_file_count_once(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    rows = past(client, 30)
    assert (await imported(editor, [*rows[:20], *rows[:5]]))["counts"] == counts(counted=20, known=5)
    assert (await imported(editor, rows))["counts"] == counts(counted=10, known=20)
    assert (await signals_of(client)).events == 30
    assert len(await sampled(client)) == 30


async def test_same_file_is_the_same_job_even_after_it_is_done(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    rows = past(editor.client, 30)
    job = await imported(editor, rows)
    again = await sent(editor, rows)
    assert (again.json["id"], again.json["state"]) == (job["id"], "done")
    app.clock.advance(40 * DAY)
    assert (await sent(editor, rows)).json["id"] == job["id"]
    assert [each["id"] for each in (await editor.get("history")).json["jobs"]] == [job["id"]]


async def test_each_past_event_is_sampled_under_its_own_day(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    job = await imported(editor, past(client, 40, step=DAY))
    written = await blobs(client, SAMPLES)
    for name, of in written.items():
        day = "/".join(name.split("/")[1:4])
        assert name.endswith(f"/history-{job['id']}-0.jsonl.gz")
        assert {datetime.fromtimestamp(line["timestamp"] / 1000, UTC).strftime("%Y/%m/%d") for line in of} == {day}
    (line,) = next(iter(written.values()))
    assert not is_live(line)
    assert line["counted"] is True
    assert line["user"] == app.services.identity.archive_pseudonym(client.user_key)
    assert line["batch"].startswith(f"{job['id']}:")


async def test_past_long_views_are_ordered_by_time_among_live_ones(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    await client.post([{**event, "watchTimeMs": 29_000} for event in live(client, 3)])
    await imported(editor, past(client, 20, watchTimeMs=29_000))
    signals = await signals_of(client)
    minutes = signals.watched_minutes.tolist()
    assert minutes == sorted(minutes, reverse=True)
    assert len(signals.watched.keys) == 6
    assert len(signals.identities.keys) == 3, "only what was accepted is in the ring"


async def test_bad_rows_are_refused_one_by_one_with_a_reason(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    (good,) = past(client, 1)
    bad: list[tuple[Any, str]] = [
        ({**good, "timestamp": app.now_ms(-3_600)}, "in_future"),
        ({**good, "timestamp": app.now_ms(90 * DAY + 60)}, "too_old"),
        ({**good, "timestamp": "yesterday"}, "invalid_timestamp"),
        ({**good, "timestamp": int(app.clock.now()) - DAY}, "timestamp_in_seconds"),
        ({**good, "type": "dance"}, "unknown_type"),
        ({**good, "type": "progress", "playId": "p", "positionMs": 1, "startedAt": 1}, "not_in_history"),
        ({**good, "user": "anna@example.org"}, "invalid_user"),
        ({**good, "user": client.user.upper()}, "invalid_user"),
        ({**good, "user": None}, "invalid_user"),
        ({**good, "videoId": "a/b"}, "invalid_video_id"),
        ({**good, "watchTimeMs": -1}, "invalid_watch_time"),
        ({name: value for name, value in good.items() if name != "watchTimeMs"}, "missing_watch_time"),
        ({**good, "eventId": ""}, "invalid_event_id"),
        ({**good, "rankPosition": -1}, "invalid_rank_position"),
        ({**good, "personalization": "maybe"}, "invalid_personalization"),
        (b'{"user": ', "invalid_json"),
        (b"[1, 2]", "not_an_object"),
    ]  # fmt: skip
    good_ones = past(client, len(bad))
    rows = [row for n, (row, _) in enumerate(bad) for row in (row, good_ones[n])]
    job = await imported(editor, rows)
    assert job["counts"] == counts(counted=len(bad), rejected=len(bad))
    told = [(each["row"], each["errors"][0]["code"]) for each in job["rejected"]]
    assert told == [(1 + 2 * n, code) for n, (_, code) in enumerate(bad)]
    assert {code for _, code in told} <= {*ROW_REJECTIONS, "invalid_json", "not_an_object"}


async def test_no_hash_and_no_unknown_field_of_a_file_is_stored(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    rows = [*past(editor.client, 3, email="anna@example.org"), {"user": "anna@example.org", "type": "like"}]
    answer = await sent(editor, rows)
    stored = await app.services.blobs.read(UPLOADS, f"{editor.tenant_id}/{answer.json['id']}.ndjson")
    assert stored is not None
    assert b"example.org" not in stored
    assert editor.client.user.encode() not in stored
    await worked_off(editor, answer)
    left = [blob.name async for blob in app.services.blobs.list(UPLOADS, f"{editor.tenant_id}/")]
    assert left == []


async def test_table_is_read_like_json_lines(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    when = datetime.fromtimestamp(app.clock.now() - 3 * DAY, UTC).strftime("%Y-%m-%d %H:%M:%S")
    body = (
        f"User;Video ID;type;Timestamp;watch_time_ms;personalization\n"
        f"{client.user};vid_fitness_1;video_view;{when};12000;\n"
        f"{client.user};vid_fitness_2;like;{app.now_ms(4 * DAY)};;on\n"
        f"{client.user};vid_fitness_3;video_view;{when};none;on\n"
        f"{client.user};vid_fitness_3;like;{when};none;off\n"
    )
    job = await worked_off(editor, await editor.post("history", body.encode(), CSV))
    assert job["counts"] == counts(counted=2, rejected=1, leftOut=1)
    assert [(each["row"], each["errors"][0]["code"]) for each in job["rejected"]] == [(4, "missing_watch_time")]
    whole = await worked_off(editor, await editor.post("history", {"events": past(client, 3)}))
    assert whole["counts"] == counts(counted=3)
    refused = await editor.post("history", b"video;type\nv;like", CSV)
    assert (refused.status, refused.code) == (400, "invalid_csv")
    assert refused.json["detail"].endswith("one of them must be user.")


async def test_past_events_have_the_caps_of_live_events(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    midnight = app.clock.now() // DAY * DAY - 3 * DAY
    rows = past(client, 30, videoId="vid_fitness_1")
    for n, row in enumerate(rows):
        row["timestamp"] = int((midnight + n) * 1000)
    other = [{**row, "user": client.as_user().user} for row in rows[:5]]
    job = await imported(editor, [*rows, *other])
    assert job["counts"] == counts(counted=MAX_A_DAY + 5, overCap=30 - MAX_A_DAY)
    next_file = [{**row, "timestamp": row["timestamp"] + 500_000} for row in rows[:3]]
    assert (await imported(editor, next_file))["counts"] == counts(overCap=3)
    assert (await signals_of(client)).events == 33, "their own signals count whatever the user did"
    lines = [line["counted"] for line in await sampled(client)]
    assert Counter(lines) == {True: MAX_A_DAY + 5, False: 33 - MAX_A_DAY}


async def test_opted_out_or_erased_users_are_skipped(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client, other, opted_out = editor.client, editor.client.as_user(), editor.client.as_user()
    privacy = other.with_key("privacy-key-of-the-tenant")
    await app.save_key(client.tenant_id, privacy.key, "privacy", name="privacy")
    assert (await app.request("POST", "/v1/privacy/erase", privacy.headers)).status == 200
    app.clock.advance(10)
    rows = [*past(client, 5), *past(other, 5), *past(opted_out, 5, personalization="off")]
    job = await imported(editor, [*rows, *past(other, 1, first_ago=1)])
    assert job["counts"] == counts(counted=6, leftOut=10), "what happened after an erasure counts again"
    assert await query_all(app.documents, USER_ACTIVITY, opted_out.user_key) == []
    assert (await signals_of(other)).events == 1
    assert len(await sampled(client)) == 6


async def test_erasure_deletes_imported_past_events_and_pending_ones(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    privacy = client.with_key("another-privacy-key")
    await app.save_key(client.tenant_id, privacy.key, "privacy", name="privacy")
    job = await imported(editor, past(client, 30))
    exported = (await app.request("POST", "/v1/privacy/export", privacy.headers)).json
    assert exported["importedHistory"] == [{"job": job["id"], "rows": 30, "sentAt": job["queuedAt"]}]
    assert exported["signals"]["events"] == 30
    assert exported["foldedBatches"] == []
    waiting = await sent(editor, past(client, 20, first_ago=20 * DAY))
    await app.request("POST", "/v1/privacy/erase", privacy.headers)
    assert [each.id for each in await query_all(app.documents, USER_ACTIVITY, client.user_key)] == [SIGNALS_ID]
    assert (await worked_off(editor, waiting))["counts"] == counts(leftOut=20)
    assert [each.body["kind"] for each in await query_all(app.documents, USER_ACTIVITY, client.user_key)] == ["erased"]


async def test_lines_of_an_erased_user_leave_the_sample_at_night(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client, other = editor.client, editor.client.as_user()
    await app.save_key(client.tenant_id, "a-key-for-privacy", "privacy", name="privacy")
    rows = [row for pair in zip(past(client, 30), past(other, 30), strict=True) for row in pair]
    await imported(editor, rows)
    privacy = client.with_key("a-key-for-privacy")
    assert (await app.request("POST", "/v1/privacy/erase", privacy.headers)).status == 200
    await app.services.sweep()
    left = {line["user"] for line in await sampled(client)}
    assert left == {app.services.identity.archive_pseudonym(other.user_key)}
    assert len(await sampled(client)) == 30
    before = await blobs(client, SAMPLES)
    await app.services.sweep()
    assert await blobs(client, SAMPLES) == before


async def test_history_file_is_deleted_by_the_day_of_its_events(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    client = editor.client
    job = await imported(editor, [*past(client, 2, first_ago=84 * DAY), *past(client, 2, first_ago=88 * DAY)])
    assert job["counts"] == counts(counted=4)
    assert len(await sampled(client)) == 2, "what would be deleted at once is not written"
    app.clock.advance(3 * DAY)
    await app.services.sweep()
    assert await sampled(client) == []


async def test_nightly_tables_learn_from_past_events(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    users = [editor.client.as_user() for _ in range(12)]
    rows = [
        {**row, "videoId": f"vid_fitness_{1 + n}"}
        for user in users
        for n, row in enumerate(past(user, 3, watchTimeMs=29_000))
    ]
    assert (await imported(editor, rows))["counts"] == counts(counted=36)
    assert await app.services.table_builder.build(editor.tenant_id)
    pointer = await app.documents.read(VIDEO_STATS, editor.tenant_id, POINTER_ID)
    assert pointer is not None
    assert pointer.body["videos"] == 3


async def test_first_night_learns_from_past_events(app: App) -> None:
    """Impressions and views, day by day, by users who have sent no live event."""
    editor = await new_editor(app, make_videos(30))
    midnight = app.clock.now() // DAY * DAY
    rows = []
    for n in range(60):
        user = editor.client.as_user().user
        for day, place in itertools.product(range(1, 6), range(4)):
            kind, video = ("fitness", "cooking", "travel")[(n + place) % 3], 1 + (n * 7 + day * 3 + place) % 10
            at = int((midnight - DAY * day + 3_600 * 8 + 60 * n + 7 * place) * 1000)
            row = {"user": user, "videoId": f"vid_{kind}_{video}", "timestamp": at}
            rows.append(
                {**row, "type": "video_view", "watchTimeMs": 29_000 if place == 0 or kind == "fitness" else 1_000}
            )
    assert (await imported(editor, rows))["counts"] == counts(counted=len(rows))
    night = night_before(app.clock.now())
    assert await app.services.learning.run(editor.tenant_id, night) == LEARNED
    await app.services.tenants.refresh()
    learned = (await editor.get("models")).json
    assert learned["models"], "weights of its own on the first night"


async def test_too_long_or_empty_file_is_refused_whole(app: App) -> None:
    editor = await new_editor(app)
    assert (await editor.post("history", b"\n\n", NDJSON)).code == "empty_file"
    long = b'{"user":1}\n' * (HISTORY_FILE.max_rows + 1)
    assert (await editor.post("history", long, NDJSON)).code == "too_many_rows"
    assert (await editor.post("history", b"x" * 32_000_001, NDJSON)).code == "file_too_large"
    assert (await editor.post("history", b"{}", {"Content-Type": "text/xml"})).code == "unsupported_media_type"
    assert (await editor.post("history", {"videos": []})).code == "invalid_file"
    assert (await editor.client.app.request("POST", "/v1/cms/history", editor.client.headers)).status == 403


async def test_jobs_are_invisible_to_other_tenants(app: App) -> None:
    editor, neighbor = await new_editor(app, make_videos(5)), await new_editor(app)
    job = await imported(editor, past(editor.client, 3))
    assert (await neighbor.get(f"history/{job['id']}")).status == 404
    assert (await neighbor.get("history")).json == {"jobs": []}


async def test_documented_row_is_accepted(app: App) -> None:
    page = (ROOT / "docs" / "cms.md").read_text(encoding="utf-8")
    block = re.findall(r"```jsonl\n(.*?)```", page.partition("### Past events")[2], re.DOTALL)[0]
    editor = await new_editor(app, make_videos(3))
    when = datetime.fromtimestamp(app.clock.now() - DAY, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    job = await imported(editor, [{**orjson.loads(block), "timestamp": when}])
    assert job["counts"] == counts(counted=1)


async def test_response_has_a_count_for_every_outcome() -> None:
    assert HISTORY.document_kind == JOB_KIND
    assert tuple(each.alias or name for name, each in HistoryCounts.model_fields.items()) == STATUSES


async def test_jobs_of_one_tenant_run_in_queue_order(app: App) -> None:
    """So the second job finds what the first has written."""
    editor = await new_editor(app, make_videos(20))
    rows = past(editor.client, 40)
    answers = []
    for start in (0, 10, 20):
        answers.append(await sent(editor, rows[start : start + 20]))
        app.clock.advance(1)
    await worked_off(editor, answers[-1])
    jobs = [(await editor.get(f"history/{each.json['id']}")).json["counts"] for each in answers]
    assert jobs == [counts(counted=20), counts(counted=10, known=10), counts(counted=10, known=10)]


async def test_job_of_a_dead_worker_is_finished_by_another(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    users = [editor.client.as_user() for _ in range(60)]
    answer = await sent(editor, [row for user in users for row in past(user, 3)])
    await app.services.tenants.refresh()
    worker = asyncio.create_task(app.services.history.run())
    while not await query_all(app.documents, USER_ACTIVITY, users[20].user_key):  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    app.clock.advance(LEASE_SECONDS + 1)
    done = await worked_off(editor, answer)
    assert (done["state"], done["counts"]) == ("done", counts(counted=180))
    assert Counter([(await signals_of(user)).events for user in users]) == {3: 60}
    assert len(await sampled(editor.client)) == 180
