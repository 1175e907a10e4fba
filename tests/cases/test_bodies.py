"""Request bodies: one malformed element costs only itself; compression and byte order marks are handled."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import random
import tracemalloc
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cms.request import MAX_BODY_BYTES
from events.schema import REJECTIONS
from shared.domain.event_types import MAX_BODY_BYTES as MAX_BATCH_BYTES
from shared.domain.json_text import UNREADABLE, InvalidJson, parse_rows
from shared.web.bodies import ALWAYS_BYTES, MAX_RATIO, decoded_body
from shared.web.problems import Problem
from tests.cms.editor import VIDEO, new_editor
from tests.served_app import App, Client, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROKEN = {
    "lone surrogate": rb'"cut \ud83d"',
    "bytes that are no UTF-8": b'"cut \xf0\x9f"',
    "NaN": b"NaN",
    "infinite": b"1e999",
    "deep nesting": b"[" * 2_000 + b"]" * 2_000,
    "bare word": b"undefined",
    "bad escape": rb'"\x41"',
}


def event(client: Client, extra: bytes = b"1") -> bytes:
    return b'{"type": "skip", "videoId": "vid_fitness_1", "timestamp": %d, "note": %b}' % (client.app.now_ms(), extra)


def batch(*events: bytes) -> bytes:
    return b'{"events": [%b]}' % b", ".join(events)


@pytest.mark.parametrize("name", BROKEN)
async def test_one_malformed_event_is_rejected_and_the_others_count(app: App, name: str) -> None:
    client = await app.tenant(make_videos(3))
    answer = await client.post_raw(batch(event(client), event(client, BROKEN[name]), event(client)))
    assert answer.status == 202
    assert answer.json["accepted"] == 2
    assert answer.json["rejected"] == [{"index": 1, "code": "unreadable", "message": REJECTIONS["unreadable"]}]


@pytest.mark.parametrize("mark", [b"[", b"{", b'"",', b"{},"])
async def test_batch_of_punctuation_only_is_invalid_json(app: App, mark: bytes) -> None:
    client = await app.tenant()
    assert (await client.post_raw(batch(mark * (200_000 // len(mark)) + b"NaN"))).code == "invalid_json"


@pytest.mark.parametrize(
    "body",
    [b'{"events": [', b'{"events": [{]}', b'{"events": [{"a": NaN}, ]}', b'{"events": [{"a": NaN} {}]}',
     b'{"events": [{"a": NaN}]', b'{"events": [{"a": NaN}], "x": NaN}', b'{"other": [{"a": NaN}]}', b"NaN", b'"events'],
)  # fmt: skip
async def test_batch_with_a_broken_envelope_is_refused_whole(app: App, body: bytes) -> None:
    client = await app.tenant()
    assert (await client.post_raw(body)).code == "invalid_json"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=6), st.dictionaries(st.text(min_size=1), JSON, max_size=2), st.data())
async def test_rows_beside_a_broken_row_are_read_unchanged(
    rows: list[Any], around: dict[str, Any], data: st.DataObject
) -> None:
    around.pop("rows", None)
    written = [orjson.dumps(row) for row in rows]
    broken = data.draw(st.sampled_from(list(BROKEN.values())))
    at = data.draw(st.integers(0, len(rows)))
    written.insert(at, b'{"a": %b}' % broken)
    before = orjson.dumps(around)[:-1] + (b", " if around else b"")
    parsed = parse_rows(before + b'"rows": [' + b",".join(written) + b"]}", "rows")
    assert parsed == {**around, "rows": [*rows[:at], UNREADABLE, *rows[at:]]}
    assert parse_rows(b"[" + b",".join(written) + b"]", "rows") == [*rows[:at], UNREADABLE, *rows[at:]]


@given(st.text(alphabet='{}[]",:\\ a1', max_size=30))
async def test_no_text_around_rows_crashes_the_reader(text: str) -> None:
    with contextlib.suppress(InvalidJson):
        parse_rows(text.encode(), "a")


async def test_too_deeply_nested_document_is_refused_and_no_server_error(app: App) -> None:
    editor = await new_editor(app)
    for levels in (64, 200, 300, 1_000, 5_000):
        trained = b'{"a":' * levels + b"1" + b"}" * levels
        model = b'{"type": "linear", "version": "deep", "weights": {"quality": 1}, "trained": %b}' % trained
        assert (await editor.post("models", model)).code == "invalid_json"


# ---- content codings

CODED = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "identity": bytes,
    "deflate": zlib.compress,
    " gzip , identity": gzip.compress,
}


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize("coding", CODED)
async def test_every_endpoint_with_a_body_accepts_compression(app: App, coding: str) -> None:
    pack, headers = CODED[coding], {"Content-Encoding": coding}
    editor = await new_editor(app, make_videos(1))
    client = editor.client
    assert (await client.post_raw(pack(batch(event(client))), headers)).json["accepted"] == 1
    created = await editor.post("videos", pack(orjson.dumps({"id": "v1", **VIDEO})), headers)
    assert created.status == 201
    imported = await editor.post("imports", pack(orjson.dumps({"videos": [{"id": "v2", **VIDEO}]})), headers)
    assert imported.json["counts"] == {"created": 1}
    assert (await editor.post("preview", pack(b'{"limit": 5}'), headers)).status == 200
    why = pack(b'{"reason": "late"}')
    assert (await editor.call("POST", "videos/v1/takedown", why, headers)).json["state"] == "taken_down"


async def test_raw_deflate_without_zlib_header_is_accepted(app: App) -> None:
    client = await app.tenant()
    packed = raw_deflate(batch(event(client)))
    assert (await client.post_raw(packed, {"Content-Encoding": "deflate"})).status == 202


async def test_compressed_and_plain_copies_are_one_batch(app: App) -> None:
    client = await app.tenant()
    body = batch(event(client))
    plain = await client.post_raw(body)
    packed = await client.post_raw(gzip.compress(body), {"Content-Encoding": "gzip"})
    assert plain.json["batchId"] == packed.json["batchId"]


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "*", "none"])
async def test_unsupported_content_coding_is_refused_with_the_supported_ones(app: App, coding: str) -> None:
    editor = await new_editor(app)
    headers = {"Content-Encoding": coding}
    for answer in (
        await editor.client.post_raw(batch(event(editor.client)), headers),
        await editor.post("videos", {"id": "v1", **VIDEO}, headers),
        await editor.post("imports", {"videos": [{"id": "v1", **VIDEO}]}, headers),
    ):
        assert (answer.status, answer.code) == (415, "unsupported_content_encoding")
        assert answer.headers["Accept-Encoding"] == "gzip, deflate, identity"


@pytest.mark.parametrize(
    "body",
    [
        b"plain",
        gzip.compress(b"{}")[:-3],
        gzip.compress(b"{}") + b"more",
        gzip.compress(b"x" * 99)[:-9],
        gzip.compress(b"{") + gzip.compress(b"}"),
        gzip.compress(b"{}") + bytes(9),
    ],
    ids=["plain", "cut at the end", "with more behind it", "cut in the middle", "two members", "padded with zeros"],
)
async def test_body_that_contradicts_its_content_coding_is_refused(app: App, body: bytes) -> None:
    editor = await new_editor(app)
    headers = {"Content-Encoding": "gzip"}
    assert (await editor.client.post_raw(body, headers)).code == "invalid_content_encoding"
    assert (await editor.post("videos", body, headers)).code == "invalid_content_encoding"
    assert (await editor.post("imports", body, headers)).code == "invalid_content_encoding"


async def test_decompression_bomb_is_refused_within_the_limit(app: App) -> None:
    editor = await new_editor(app)
    bomb, headers = gzip.compress(bytes(200_000_000), 9), {"Content-Encoding": "gzip"}
    assert len(bomb) < MAX_BATCH_BYTES
    assert (await editor.client.post_raw(bomb, headers)).code == "body_too_large"
    assert (await editor.post("videos", bomb, headers)).code == "body_too_large"
    assert (await editor.post("imports", bomb, headers)).code == "file_too_large"


@given(st.integers(1, 2_000), st.binary(min_size=1, max_size=64), st.integers(0, 400_000))
async def test_decompression_stops_at_the_size_limit_and_the_ratio(seed: int, block: bytes, length: int) -> None:
    """Any content comes back whole or is refused for its size."""
    body = (random.Random(seed).randbytes(seed) + block * (length // len(block)))[:length]
    packed, too_large = gzip.compress(body), Problem(413, "too_large", "")
    most = min(300_000, max(ALWAYS_BYTES, MAX_RATIO * len(packed)))
    if len(body) <= most:
        assert decoded_body(packed, {"content-encoding": "gzip"}, 300_000, too_large) == body
    else:
        with pytest.raises(Problem) as refused:
            decoded_body(packed, {"content-encoding": "gzip"}, 300_000, too_large)
        assert refused.value is too_large


async def test_decompression_bomb_takes_no_more_memory_than_the_ratio_allows() -> None:
    bomb, too_large = gzip.compress(bytes(50_000_000), 9)[:2_000], Problem(413, "too_large", "")
    tracemalloc.start()
    with pytest.raises(Problem) as refused:
        decoded_body(bomb, {"content-encoding": "gzip"}, 8_000_000, too_large)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value is too_large
    assert peak < 2 * MAX_RATIO * len(bomb) + 100_000


async def test_largest_repetitive_batch_stays_far_below_the_ratio(app: App) -> None:
    client = await app.tenant(make_videos(1))
    one = orjson.loads(event(client))
    told = batch(*[orjson.dumps({**one, "eventId": f"{n:032x}", "watchTimeMs": n}) for n in range(100)])
    packed = gzip.compress(told, 9)
    assert len(told) < MAX_RATIO / 3 * len(packed)
    assert (await client.post_raw(packed, {"Content-Encoding": "gzip"})).json["accepted"] == 100


async def test_compressed_body_at_the_size_limit_is_accepted(app: App) -> None:
    editor = await new_editor(app)
    video = orjson.dumps({"id": "v1", **VIDEO})
    padded = video + bytes(random.Random(1).choices(b" \t\r\n", k=MAX_BODY_BYTES - len(video)))
    assert (await editor.post("videos", gzip.compress(padded), {"Content-Encoding": "gzip"})).status == 201
    packed = gzip.compress(padded + b" ")
    assert (await editor.post("videos", packed, {"Content-Encoding": "gzip"})).code == "body_too_large"


# ---- byte order marks


async def test_a_byte_order_mark_is_skipped_wherever_json_is_read(app: App) -> None:
    editor = await new_editor(app)
    mark, client = codecs.BOM_UTF8, editor.client
    assert (await client.post_raw(mark + batch(event(client)))).json["accepted"] == 1
    cut = mark + batch(event(client), event(client, BROKEN["lone surrogate"]))
    assert (await client.post_raw(cut)).json["accepted"] == 1
    assert (await editor.post("videos", mark + orjson.dumps({"id": "v1", **VIDEO}))).status == 201
    assert (await editor.change("PATCH", "videos/v1", mark + b'{"title": "Another"}')).json["title"] == "Another"
