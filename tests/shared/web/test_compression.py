"""Decides when a response is compressed, and joins compressed parts into one gzip body."""

from __future__ import annotations

import gzip
import zlib

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.compression import (
    ALWAYS,
    BESIDE_BYTES,
    LEAST_BYTES,
    NEVER,
    deflated,
    encoded,
    gzip_around,
    gzipped,
    gzipped_once,
    least_bytes,
)


@pytest.mark.parametrize(
    ("accepted", "least"),
    [
        (None, NEVER),
        ("", NEVER),
        ("gzip", LEAST_BYTES),
        ("x-gzip", LEAST_BYTES),
        ("GZip ; Q=0.5", LEAST_BYTES),
        ("br, gzip, deflate", LEAST_BYTES),
        ("*", LEAST_BYTES),
        ("*;q=0.1, br;q=0", LEAST_BYTES),
        ("gzip;q=0", NEVER),
        ("gzip;q=0.0, *", NEVER),
        ("gzip;q=0.000, br", NEVER),
        ("*;q=0", NEVER),
        ("br, deflate", NEVER),
        ("identity", NEVER),
        ("identity;q=1, gzip;q=0.5", NEVER),
        ("gzip, identity", LEAST_BYTES),
        ("gzip;q=0.5, identity;q=0.5", LEAST_BYTES),
        ("gzip, identity;q=0", ALWAYS),
        ("gzip;q=0.001, *;q=0", ALWAYS),
        ("identity;q=0", NEVER),
        ("gzip;q=2", NEVER),
        ("gzip;q=high", NEVER),
        ("gzip;q=", NEVER),
        (", ,gzip,", LEAST_BYTES),
        ("gzip" + "," * 1_000, NEVER),
    ],
)
def test_accept_encoding_weights_decide_about_compression(accepted: str | None, least: int) -> None:
    assert least_bytes({} if accepted is None else {"accept-encoding": accepted}) == least


@given(st.text(max_size=60))
def test_no_header_crashes_and_gzip_is_never_sent_unasked(text: str) -> None:
    least = least_bytes({"accept-encoding": text})
    assert least in (ALWAYS, LEAST_BYTES, NEVER)
    if "gzip" not in text.lower() and "*" not in text:
        assert least == NEVER


parts = st.binary(max_size=300) | st.binary(min_size=1, max_size=8).map(lambda few: few * 2_000)


@given(st.binary(max_size=200), parts, st.binary(max_size=5_000))
def test_deflated_parts_join_into_one_gzip_body(head: bytes, part: bytes, tail: bytes) -> None:
    whole = gzip_around(head, part, deflated(part), tail)
    assert gzip.decompress(whole) == head + part + tail
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    stream.decompress(whole)
    assert stream.eof
    assert not stream.unused_data, "one member: clients that read no further lose nothing"


@given(parts)
def test_every_body_round_trips(body: bytes) -> None:
    assert gzip.decompress(gzipped(body)) == gzip.decompress(gzipped_once(body)) == body


@pytest.mark.parametrize("size", [LEAST_BYTES, BESIDE_BYTES])
async def test_a_long_text_is_compressed_and_keeps_status_type_and_headers(size: int) -> None:
    given = {"ETag": 'W/"x"', "Cache-Control": "no-store"}
    plain = func.HttpResponse(b"x" * size, status_code=404, headers=given, mimetype="application/problem+json")
    packed = await encoded(plain, {"accept-encoding": "gzip"})
    assert gzip.decompress(packed.get_body()) == plain.get_body()
    assert (packed.status_code, packed.mimetype, packed.charset) == (404, "application/problem+json", "utf-8")
    assert dict(packed.headers) == {**given, "Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    "response",
    [
        func.HttpResponse(b"x" * (LEAST_BYTES - 1), mimetype="application/json"),
        func.HttpResponse(b"x" * 5_000, mimetype="image/png"),
        func.HttpResponse(b"x" * 5_000, mimetype="application/json", headers={"Content-Encoding": "gzip"}),
        func.HttpResponse(b"", status_code=304, mimetype="application/json"),
    ],
    ids=["short", "packed by its format", "compressed already", "without a body"],
)
async def test_incompressible_body_stays_unchanged(response: func.HttpResponse) -> None:
    assert await encoded(response, {"accept-encoding": "gzip"}) is response


async def test_client_that_refuses_identity_gets_short_bodies_compressed_too() -> None:
    response = func.HttpResponse(b"{}", mimetype="application/json")
    packed = await encoded(response, {"accept-encoding": "gzip, identity;q=0"})
    assert gzip.decompress(packed.get_body()) == b"{}"
