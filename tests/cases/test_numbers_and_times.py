"""Ids, numbers and times are accepted in every unambiguous spelling by every API and import."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.schema import REJECTIONS, Rejected, parse_event
from local import importer
from shared.domain.formats import VIDEO_ID
from shared.domain.numbers import number_in, whole_number
from shared.domain.times import time_in
from tests.cms.editor import RULE, VIDEO, new_editor
from tests.served_app import App, make_video

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDS = ("-9BsEvS2uHU", "_OBlgSz8sSM", "7", "a.b:c~d-e_f")
NOT_IDS = (".", "..", ":a", "~audit:1", "a/b", "a b", "é", "", "x" * 129)


def event(at: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "impression", "videoId": "vid", "timestamp": at, **fields}


async def sent(app: App, *events: dict[str, Any], **batch: Any) -> list[str]:
    """Return the code of every event, "" for accepted ones."""
    client = await app.tenant()
    answer = await client.post_raw(json.dumps({"events": events, **batch}).encode())
    assert answer.status == 202, answer.json
    refused = {each["index"]: each["code"] for each in answer.json["rejected"]}
    return [refused.get(at, "") for at in range(len(events))]


# ---- ids


async def test_ids_that_begin_with_a_dash_or_an_underscore_are_valid(app: App) -> None:
    editor = await new_editor(app)
    for id in IDS:
        assert (await editor.post("videos", {"id": id, **VIDEO})).status == 201
        assert (await editor.change("PATCH", f"videos/{id}", {"title": "New"})).status == 200
    rule = {"id": "one", **RULE, "match": {"videoIds": list(IDS)}}
    assert (await editor.post("rules", rule)).status == 201
    assert (await editor.post("playlists", {"id": "one", "name": "One", "videoIds": list(IDS)})).status == 201
    rows = {"videos": [{"id": id, "title": "Imported"} for id in IDS]}
    assert (await editor.post("imports", rows)).json["counts"] == {"updated": len(IDS)}
    assert [video["id"] for video in (await editor.get("videos")).json["videos"]] == sorted(IDS)
    await editor.seen()
    assert sorted((await editor.client.feed()).ids) == sorted(IDS)
    now = int(app.clock.now() * 1000)
    assert await sent(app, *(event(now, videoId=id) for id in IDS)) == [""] * len(IDS)
    assert (await editor.post(f"videos/{IDS[0]}/takedown")).status == 200


async def test_invalid_id_is_refused_in_the_same_words_everywhere(app: App) -> None:
    editor = await new_editor(app)
    for id in NOT_IDS:
        created = await editor.post("videos", {"id": id, **VIDEO})
        assert created.json["errors"][0]["message"] == f"id must be {VIDEO_ID.description}."
        row = (await editor.post("imports", {"videos": [{"id": id, **VIDEO}]})).json["rows"][0]
        assert [each["message"] for each in row["errors"]] == [f"id must be {VIDEO_ID.description}."]
    now = int(app.clock.now() * 1000)
    assert set(await sent(app, *(event(now, videoId=id) for id in NOT_IDS))) == {"invalid_video_id"}
    assert VIDEO_ID.description in REJECTIONS["invalid_video_id"]


@given(st.text("azAZ09._:~-", min_size=1, max_size=9))
async def test_documented_id_rule_matches_the_checked_one(id: str) -> None:
    assert "not beginning with . : or ~" in VIDEO_ID.description
    assert VIDEO_ID.matches(id) == (id[0] not in ".:~")


# ---- numbers


async def test_event_numbers_can_be_digits_in_text(app: App) -> None:
    now = int(app.clock.now() * 1000)
    accepted = [
        event(str(now)),
        event(f"{now}.25"),
        event(now, rankPosition=3.0),
        event(now, rankPosition="3"),
        event(now, rankPosition="3.0"),
        event(now, type="video_view", watchTimeMs="1200"),
        event(now, type="video_view", watchTimeMs="1.2e3"),
        event(str(now), type="video_view", watchTimeMs="1200.5", rankPosition="0"),
    ]
    assert await sent(app, *accepted, sentAt=str(now)) == [""] * len(accepted)
    assert await sent(app, event(str(now // 1000))) == ["timestamp_in_seconds"]


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "inf", "1e999", "1e99", "1_000", "1,000", "0x10", "١٢٠٠", "１２",
             " 12", "12 ", "+12", ".5", "5.", "", "-", "1e", "9" * 60]
)  # fmt: skip
async def test_ambiguous_number_is_refused_in_every_field(app: App, text: str) -> None:
    assert number_in(text) == text
    now = int(app.clock.now() * 1000)
    assert await sent(
        app,
        event(text),
        event(now, rankPosition=text),
        event(now, type="video_view", watchTimeMs=text),
    ) == ["invalid_timestamp", "invalid_rank_position", "invalid_watch_time"]
    editor = await new_editor(app)
    if text.strip().isascii() and not text.strip("+ ").isdigit():
        for name in ("durationSeconds", "editorialBoost", "popularityOverride"):
            refused = await editor.post("videos", {"id": "v1", **VIDEO, name: text})
            assert (refused.status, refused.json["errors"][0]["field"]) == (422, name)


async def test_a_number_in_text_is_the_same_event_as_the_number(app: App) -> None:
    now = int(app.clock.now() * 1000)
    view = event(now, type="video_view", watchTimeMs=1200, rankPosition=3)
    spelled = event(str(now), type="video_view", watchTimeMs="1200", rankPosition="3.0")
    assert parse_event(view, now / 1000) == parse_event(spelled, now / 1000)


async def test_video_numbers_can_be_digits_in_text(app: App) -> None:
    editor = await new_editor(app)
    numbers = {"durationSeconds": "41.5", "editorialBoost": "-2", "popularityOverride": "50"}
    for body, kind in (
        (json.dumps({"videos": [{"id": "v1", **VIDEO, **numbers}]}), "application/json"),
        (json.dumps({"id": "v1", **VIDEO, **numbers}), "application/x-ndjson"),
    ):
        assert (await editor.post("imports", body.encode(), {"Content-Type": kind})).json["counts"].keys() <= {
            "created",
            "unchanged",
        }
    video = (await editor.get("videos/v1")).json
    assert (video["durationSeconds"], video["editorialBoost"], video["popularityOverride"]) == (41.5, -2, 50)
    refused = await editor.change("PATCH", "videos/v1", {"durationSeconds": "41000"})
    assert refused.json["errors"][0]["code"] == "unclear_unit"


async def test_whole_numbers_can_be_written_with_a_decimal_point(app: App) -> None:
    editor = await new_editor(app)
    rule = {"id": "one", **RULE, "action": "pin", "multiplier": None, "positions": [2.0], "priority": 3.0}
    assert (await editor.post("rules", rule)).json["positions"] == [2]
    changed = await editor.change("PATCH", "configuration", {"defaultLimit": 10.0, "streakCap": 3.0})
    assert (changed.json["defaultLimit"], changed.json["streakCap"]) == (10, 3)
    assert (await editor.change("PATCH", "configuration", {"defaultLimit": 10.5})).status == 422


@given(st.floats() | st.integers() | st.text() | st.text("0123456789.eE+-_ ", max_size=12) | st.booleans() | st.none())
async def test_read_numbers_are_finite_and_read_back_the_same(value: Any) -> None:
    read = number_in(value)
    assert number_in(read) is read
    if isinstance(value, str) and not isinstance(read, str):
        assert math.isfinite(read)
        assert read == float(value)
    whole = whole_number(value)
    assert whole is value or (isinstance(whole, int) and whole == value)


async def test_local_import_reads_numbers_and_times_in_text(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"user_id": 1, "video_id": "v1", "time_ms": "1795903420362", "play_time_ms": "1200", "is_like": "0"}
    none = {**row, "play_time_ms": "0", "is_forward": "true", "is_hate": "False"}
    odd = {**row, "time_ms": "1_795"}
    events = importer.to_events([row, none, odd], importer.DEFAULT_COLUMNS, 1_800_000_000.0)[1]
    assert [each["type"] for each in events] == ["impression", "video_view", "impression", "skip", "share"]
    assert events[1]["watchTimeMs"] == 1200
    assert "1 exposures refused" in capsys.readouterr().out


# ---- times

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
SPELLINGS = {
    "2026-11-28t12:00:00z": NOON,
    "2026-11-28T24:00:00Z": NOON + 43_200,
    "2026-11-28T24:00Z": NOON + 43_200,
    "2026-11-27T24:00:00.000+12:00": NOON - 86_400,
    "2026-11-28T11:59:60Z": NOON,
    "2026-11-28 17:29:60.5+05:30": NOON + 0.5,
    "20261128T115960Z": NOON,
    "2026-11-28T12:00:00-00:00": NOON,
    "2026-11-28T12:00:00,000Z": NOON,
    "2026-11-28T12:00:00.000000000Z": NOON,
    "2026-11-28T12:00:00": NOON,
    "2026-11-28": NOON - 43_200,
}


@pytest.mark.parametrize("text", SPELLINGS)
async def test_times_are_read_as_rfc_3339_and_iso_8601_write_them(app: App, text: str) -> None:
    assert time_in(text) == SPELLINGS[text]
    sent_at = int(SPELLINGS[text] * 1000)
    read, _ = parse_event(event(text), SPELLINGS[text])
    assert read.at_ms == sent_at
    editor = await new_editor(app)
    assert (await editor.post("videos", {"id": "v1", **VIDEO, "publishedAt": text})).status == 201
    row = {"id": "v2", **VIDEO, "publishedAt": text}
    assert (await editor.post("imports", {"videos": [row]})).json["counts"] == {"created": 1}
    stored = [(await editor.get(f"videos/{id}")).json["publishedAt"] for id in ("v1", "v2")]
    assert stored == [datetime.fromtimestamp(int(SPELLINGS[text]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")] * 2


@pytest.mark.parametrize(
    "text", ["2026-11-28T25:00:00Z", "2026-11-28T24:00:01Z", "2026-11-28T12:00:61Z", "2026-11-28T12:60:00Z",
             "2026-02-30T12:00:00Z", "٢٠٢٦-11-28", "2026-11-28T12:00:00+25:00", "now", ""]
)  # fmt: skip
async def test_invalid_time_is_refused(text: str) -> None:
    now = 1_795_903_420.0
    with pytest.raises(Rejected, match="invalid_timestamp"):
        parse_event(event(text), now)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)),
    st.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    st.sampled_from("Tt "),
)
async def test_every_time_is_read_as_the_instant_it_names(at: datetime, zone: timezone, separator: str) -> None:
    at = at.replace(tzinfo=zone)
    assert time_in(at.isoformat(separator)) == at.timestamp()
    assert time_in(at.astimezone(UTC).isoformat(separator).replace("+00:00", "z")) == at.timestamp()


async def test_every_video_id_sorts_before_the_reserved_prefix() -> None:
    assert all(make_video(id).id < "~" for id in IDS)
