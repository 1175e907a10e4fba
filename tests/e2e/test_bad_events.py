"""Invalid event batches are refused whole or event by event, with documented codes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from events.schema import REJECTIONS
from shared.domain.event_types import EVENT_TYPES, MAX_BODY_BYTES
from tests.e2e.test_bad_requests import is_problem
from tests.served_app import App, Client, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(app: App) -> AsyncIterator[Client]:
    yield await app.tenant(make_videos(30))


def view(client: Client, **changes: Any) -> dict[str, Any]:
    """A valid event, changed by `changes`."""
    good = {
        "type": "video_view",
        "videoId": "vid_fitness_1",
        "timestamp": client.app.now_ms(60),
        "watchTimeMs": 20_000,
        "feedRequestId": "req-1",
        "rankPosition": 1,
    }
    return {**good, **changes}


# ---- the body as a whole


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"\xff\xfe",
        b'{"sentAt": NaN, "events": [{}]}',
        b'{"events": ' + b"[" * 100_000,
        b"[" * 3_000,
    ],
)
async def test_a_body_that_is_not_json_is_refused(client: Client, body: bytes) -> None:
    assert is_problem(await client.post_raw(body), 400, "invalid_json")


@pytest.mark.parametrize(
    "event",
    ["NaN", '{"watchTimeMs": NaN}', '{"watchTimeMs": Infinity}', r'{"videoId": "\ud800"}', "[" * 9_000 + "]" * 9_000],
)
async def test_an_event_that_is_not_json_is_refused_by_index(client: Client, event: str) -> None:
    answer = await client.post_raw(b'{"events": [%b]}' % event.encode())
    assert [(each["index"], each["code"]) for each in answer.json["rejected"]] == [(0, "unreadable")]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"events"', b"42", b"{}", b'{"events": {}}', b'{"events": null}'])
async def test_body_of_another_shape_is_refused_with_the_expected_shape(client: Client, body: bytes) -> None:
    answer = await client.post_raw(body)
    assert is_problem(answer, 400, "invalid_batch")
    assert '"events"' in answer.json["detail"]


async def test_an_empty_batch_is_refused(client: Client) -> None:
    assert is_problem(await client.post([]), 400, "empty_batch")


async def test_100_events_are_accepted_and_101_are_not(client: Client) -> None:
    events = [view(client, eventId=f"limit-{number}") for number in range(101)]
    assert (await client.post(events[:100])).json["accepted"] == 100
    assert is_problem(await client.post(events), 400, "too_many_events")


async def test_body_of_256_kb_is_accepted_and_a_byte_more_is_not(client: Client) -> None:
    body = orjson.dumps({"events": [view(client)], "padding": ""})
    full = body[:-2] + b"x" * (MAX_BODY_BYTES - len(body)) + body[-2:]
    assert len(full) == MAX_BODY_BYTES
    assert (await client.post_raw(full)).status == 202
    assert is_problem(await client.post_raw(full + b" "), 413, "body_too_large")


async def test_257_kb_are_refused(client: Client) -> None:
    assert is_problem(await client.post_raw(b"x" * 257 * 1024), 413, "body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "*/*"])
async def test_another_media_type_is_refused(client: Client, kind: str) -> None:
    answer = await client.post_raw(orjson.dumps({"events": [view(client)]}), {"Content-Type": kind})
    assert is_problem(answer, 415, "unsupported_media_type")


async def test_charset_beside_the_media_type_is_accepted(client: Client) -> None:
    body = orjson.dumps({"events": [view(client)]})
    assert (await client.post_raw(body, {"Content-Type": "Application/JSON; charset=utf-8"})).status == 202


async def test_an_idempotency_key_of_200_characters_is_accepted_and_a_longer_one_is_not(client: Client) -> None:
    assert (await client.post([view(client)], {"Idempotency-Key": "k" * 200})).status == 202
    answer = await client.post([view(client)], {"Idempotency-Key": "k" * 201})
    assert is_problem(answer, 400, "invalid_idempotency_key")


# ---- one event


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("unknown_type", {"type": "purchase"}),
    ("unknown_type", {"type": ""}),
    ("unknown_type", {"type": None}),
    ("unknown_type", {"type": 7}),
    ("unknown_type", {"type": ["skip"]}),
    ("unknown_type", {"type": "SKIP"}),
    ("invalid_video_id", {"videoId": ""}),
    ("invalid_video_id", {"videoId": None}),
    ("invalid_video_id", {"videoId": 42}),
    ("invalid_video_id", {"videoId": "../../etc"}),
    ("invalid_video_id", {"videoId": "a b"}),
    ("invalid_video_id", {"videoId": "vid\n"}),
    ("invalid_video_id", {"videoId": "x" * 129}),
    ("invalid_video_id", {"videoId": "vidéo"}),
    ("invalid_timestamp", {"timestamp": None}),
    ("invalid_timestamp", {"timestamp": "yesterday"}),
    ("invalid_timestamp", {"timestamp": ""}),
    ("invalid_timestamp", {"timestamp": True}),
    ("invalid_timestamp", {"timestamp": -1}),
    ("invalid_timestamp", {"timestamp": 10**15}),
    ("invalid_timestamp", {"timestamp": 10**30}),
    ("invalid_timestamp", {"timestamp": {"at": 1}}),
    ("invalid_timestamp", {"timestamp": "9999-12-31T24:61:61Z"}),
    ("too_old", {"timestamp": 0}),
    ("too_old", {"timestamp": "1970-01-01T00:00:00Z"}),
    ("too_old", {"timestamp": 1_000_000_000}),
    ("timestamp_in_seconds", {"timestamp": 1_700_000_000}),
    ("timestamp_in_seconds", {"timestamp": 1_795_000_000.25}),
    ("too_old", {"timestamp": "0001-01-01T00:00:00+14:00"}),
    ("missing_watch_time", {"watchTimeMs": None}),
    ("invalid_watch_time", {"watchTimeMs": -1}),
    ("invalid_watch_time", {"watchTimeMs": 86_400_001}),
    ("invalid_watch_time", {"watchTimeMs": 1e300}),
    ("invalid_watch_time", {"watchTimeMs": "20 s"}),
    ("invalid_watch_time", {"watchTimeMs": True}),
    ("invalid_watch_time", {"watchTimeMs": [1]}),
    ("invalid_feed_request_id", {"feedRequestId": 7}),
    ("invalid_feed_request_id", {"feedRequestId": "x" * 257}),
    ("invalid_rank_position", {"rankPosition": -1}),
    ("invalid_rank_position", {"rankPosition": 1.5}),
    ("invalid_rank_position", {"rankPosition": "first"}),
    ("invalid_rank_position", {"rankPosition": 100_001}),
    ("invalid_event_id", {"eventId": ""}),
    ("invalid_event_id", {"eventId": 7}),
    ("invalid_event_id", {"eventId": "x" * 129}),
    ("missing_play", {"type": "progress"}),
    ("missing_play", {"playId": "p1"}),
    ("invalid_play_id", {"playId": ""}),
    ("invalid_play_id", {"playId": 7}),
    ("invalid_position", {"type": "progress", "positionMs": -1}),
    ("invalid_position", {"type": "progress", "positionMs": "10 s"}),
    ("invalid_started_at", {"playId": "p1", "startedAt": "yesterday"}),
    ("invalid_started_at", {"playId": "p1", "startedAt": 0}),
    ("invalid_session_id", {"sessionId": ""}),
    ("invalid_session_id", {"sessionId": ["s1"]}),
    ("invalid_follow", {"type": "follow"}),
    ("invalid_follow", {"type": "unfollow", "followKind": "person", "followId": "anna"}),
    ("invalid_follow", {"followKind": ["creator"]}),
]


@pytest.mark.parametrize(("code", "changes"), REFUSED)
async def test_bad_event_is_refused_by_index_and_the_others_are_accepted(
    client: Client, code: str, changes: dict[str, Any]
) -> None:
    mark = secrets.token_hex(4)
    events = [view(client, eventId=f"{mark}-1"), view(client, **changes), view(client, eventId=f"{mark}-2")]
    answer = await client.post(events)
    assert answer.status == 202
    assert answer.json["accepted"] == 2
    assert answer.json["rejected"] == [{"index": 1, "code": code, "message": REJECTIONS[code]}]


@pytest.mark.parametrize("row", [None, 7, "skip", [], ["skip"], True])
async def test_an_event_that_is_no_object_is_refused_by_index(client: Client, row: Any) -> None:
    answer = await client.post([row, view(client)])
    assert answer.json["accepted"] == 1
    assert [(each["index"], each["code"]) for each in answer.json["rejected"]] == [(0, "not_an_object")]


@pytest.mark.parametrize("name", ["type", "videoId", "timestamp"])
async def test_an_event_without_a_required_field_is_refused_by_that_fields_code(client: Client, name: str) -> None:
    event = {key: value for key, value in view(client).items() if key != name}
    code = {"type": "unknown_type", "videoId": "invalid_video_id", "timestamp": "invalid_timestamp"}[name]
    assert (await client.post([event])).json["rejected"][0]["code"] == code


async def test_every_refusal_code_is_reached_by_these_tests() -> None:
    assert {code for code, _ in REFUSED} | {"not_an_object", "unreadable"} == set(REJECTIONS)


async def test_batch_of_only_bad_events_is_answered_event_by_event(client: Client) -> None:
    answer = await client.post([view(client, type="x"), 7])
    assert answer.status == 202
    assert answer.json["accepted"] == 0
    assert [each["index"] for each in answer.json["rejected"]] == [0, 1]


async def test_refused_values_are_not_quoted(client: Client) -> None:
    mark = "mark-4711@example.com"
    fields = {"type": mark, "videoId": mark, "timestamp": mark, "watchTimeMs": mark, "eventId": [mark]}
    answer = await client.post([view(client, **{name: value}) for name, value in fields.items()])
    assert len(answer.json["rejected"]) == len(fields)
    assert mark not in answer.body.decode()


async def test_unknown_fields_are_dropped_however_deep_they_nest(client: Client) -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    viewer = client.as_user()
    answer = await viewer.post([view(viewer, email="jane@example.com", deep=deep)])
    assert answer.json["accepted"] == 1
    await client.app.folded()
    assert "jane@example.com" not in (await viewer.signals()).body.decode()


async def test_a_deeply_nested_value_in_a_known_field_is_a_wrong_type(client: Client) -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = {"deeper": deep}
    answer = await client.post([view(client, videoId=deep)])
    assert [each["code"] for each in answer.json["rejected"]] == ["invalid_video_id"]


@pytest.mark.parametrize("ahead", [301, 86_400, 10 * 365 * 86_400])
async def test_future_event_counts_as_of_now(client: Client, ahead: float) -> None:
    viewer = client.as_user()
    answer = await viewer.post([view(client, timestamp=client.app.now_ms(-ahead))])
    assert answer.json["accepted"] == 1
    await client.app.folded()
    seen = (await viewer.signals()).json
    assert seen["totalViewsLast7d"] == 1
    assert seen["lastActiveAt"][:10] <= seen["updatedAt"][:10]


async def test_times_can_be_iso_8601_with_any_zone(client: Client) -> None:
    from datetime import UTC, datetime, timedelta, timezone

    at = datetime.fromtimestamp(client.app.clock.now() - 60, UTC)
    spelled = [
        at.isoformat(),
        at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        at.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
        at.replace(tzinfo=None).isoformat(),
    ]
    assert (await client.post([view(client, timestamp=text) for text in spelled])).json["rejected"] == []


async def test_every_event_type_is_accepted(client: Client) -> None:
    types = (await client.get("/v1/config")).json["events"]["types"]
    assert types == list(EVENT_TYPES)
    play = {"playId": "p1", "startedAt": client.app.now_ms(80), "positionMs": 10_000}
    play |= {"followKind": "creator", "followId": "anna"}
    answer = await client.post([view(client, type=kind, **play) for kind in types])
    assert answer.json == {"accepted": len(types), "rejected": [], "batchId": answer.json["batchId"]}


async def test_event_of_the_first_design_is_accepted(client: Client) -> None:
    event = {
        "type": "skip",
        "videoId": "vid_cooking_1",
        "timestamp": client.app.now_ms(),
        "watchTimeMs": None,
        "feedRequestId": "req-1",
        "rankPosition": 1,
    }
    assert (await client.post([event])).json["accepted"] == 1


async def test_an_event_about_a_video_that_does_not_exist_is_accepted_and_counted(client: Client) -> None:
    viewer = client.as_user()
    before = client.app.counted("events_unknown_video", client.tenant_id)
    assert (await viewer.post([view(client, videoId="vid_of_nobody"), view(client)])).json["accepted"] == 2
    await client.app.folded()
    assert client.app.counted("events_unknown_video", client.tenant_id) == before + 1
    seen = (await viewer.signals()).json
    assert seen["totalViewsLast7d"] == 2, "it counts for what needs no facts"
    assert list(seen["categoryStats"]) == ["fitness"]


async def test_refused_and_accepted_events_are_counted(client: Client) -> None:
    app, tenant = client.app, client.tenant_id
    accepted = app.counted("events_accepted", tenant)
    refused = app.counted("events_rejected", tenant, "unknown_type")
    await client.post([view(client, type="x"), view(client)])
    assert app.counted("events_accepted", tenant) == accepted + 1
    assert app.counted("events_rejected", tenant, "unknown_type") == refused + 1
