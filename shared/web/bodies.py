"""Reads request bodies: undoes `Content-Encoding`, limits the length, parses JSON."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import azure.functions as func

from shared.domain.json_text import InvalidJson, parse_document, with_cut_characters_marked
from shared.web.problems import Problem, bad_request

ACCEPTED_ENCODINGS = "gzip, deflate, identity"
_GZIP, _ZLIB, _RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""`wbits` of zlib for the three formats."""
GZIP_MAGIC = b"\x1f\x8b"
MAX_RATIO, ALWAYS_BYTES = 100, 65_536
"""A body can unpack to `MAX_RATIO` times its length, or to `ALWAYS_BYTES` if that is more. Batches of events, whose
texts repeat, stay below 30 times."""


def read_json(request: func.HttpRequest, max_bytes: int) -> Any:
    """Return the body as JSON. Raises a 4xx `Problem`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in ("application/json", "application/merge-patch+json"):
        raise Problem(415, "unsupported_media_type", "Send the body with Content-Type application/json.")
    too_large = Problem(413, "body_too_large", f"The body can have at most {max_bytes:,} bytes. Send less.")
    body = decoded_body(request.get_body(), request.headers, max_bytes, too_large)
    try:
        return parse_document(body)
    except InvalidJson:
        pass
    try:
        return parse_document(with_cut_characters_marked(body))
    except InvalidJson:
        raise bad_request("invalid_json", "The body is not valid JSON, or it is nested too deeply.") from None


def read_object(request: func.HttpRequest, max_bytes: int) -> dict[str, Any]:
    """Return the body as a JSON object. Raises a 4xx `Problem`."""
    read = read_json(request, max_bytes)
    if not isinstance(read, dict):
        raise bad_request("invalid_body", "Send a JSON object.")
    return read


def decoded_body(body: bytes, headers: Mapping[str, str], max_bytes: int, too_large: Problem) -> bytes:
    """Return a body without its content coding. Raises `too_large` above `max_bytes`, and other 4xx `Problem`s.

    Unpacks at most `max_bytes`, and at most `MAX_RATIO` times the length of a small body.
    """
    coding = headers.get("content-encoding", "")
    if coding:
        body = _decoded(body, coding, max_bytes, too_large)
    if len(body) > max_bytes:
        raise too_large
    return body


def _decoded(body: bytes, coding: str, max_bytes: int, too_large: Problem) -> bytes:
    named = [each for part in coding.split(",") if (each := part.strip().lower()) not in ("", "identity")]
    if not named or not body:
        return body
    if len(body) > max_bytes:
        raise too_large
    if named in (["gzip"], ["x-gzip"]):
        return _unpacked(body, _GZIP, max_bytes, too_large)
    if named == ["deflate"]:
        # RFC 9110 means zlib's format; many clients send the bare deflate stream, so that is read too.
        is_zlib = body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _unpacked(body, _ZLIB if is_zlib else _RAW_DEFLATE, max_bytes, too_large)
    raise Problem(
        415,
        "unsupported_content_encoding",
        f"Content-Encoding must be one of {ACCEPTED_ENCODINGS}, or left out.",
        headers={"Accept-Encoding": ACCEPTED_ENCODINGS},
    )


def _unpacked(body: bytes, format: int, max_bytes: int, too_large: Problem) -> bytes:
    most = min(max_bytes, max(ALWAYS_BYTES, MAX_RATIO * len(body)))
    stream = zlib.decompressobj(format)
    try:
        unpacked = stream.decompress(body, most + 1)
        if len(unpacked) > most:
            raise too_large
        if not stream.eof or stream.unused_data:  # cut off, or followed by more data, such as a second member
            raise zlib.error
    except zlib.error:
        raise bad_request(
            "invalid_content_encoding",
            "The body does not match its Content-Encoding. Compress it again, or send it uncompressed.",
        ) from None
    return unpacked
