"""Compresses responses with gzip where the client accepts it (RFC 9110, 12.5.3).

What is the same for many is compressed once and well, by zlib; everything else for each request, by ISA-L, which takes
half of zlib's time for no more bytes. Other codings would save little: gzip already takes a page to a quarter.
"""

from __future__ import annotations

import asyncio
import re
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache

import azure.functions as func
from isal import isal_zlib

LEAST_BYTES = 1_024
"""Smaller bodies fit into one packet anyway."""
GZIP = {"Content-Encoding": "gzip"}
ALWAYS, NEVER = 0, 1 << 62
"""From how many bytes a body is compressed, beside `LEAST_BYTES`."""
COMPRESSED_TYPES = ("application/json", "application/problem+json", "text/", "image/svg+xml")
MAX_READ_CHARS = 200
"""A longer `Accept-Encoding` is no browser's: such a client gets plain bytes."""
LEVEL, KEPT_LEVEL = 1, 6
"""ISA-L's and zlib's."""
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_KEPT_BODIES = 64
BESIDE_BYTES = 250_000
"""Larger bodies are compressed beside the event loop: they take milliseconds."""
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def least_bytes(headers: Mapping[str, str]) -> int:
    """From how many bytes on the response to a request with these headers (names in lower case) is compressed."""
    accepted = headers.get("accept-encoding")
    if not accepted or len(accepted) > MAX_READ_CHARS:
        return NEVER
    return _least_bytes(accepted)


@lru_cache(256)
def _least_bytes(accepted: str) -> int:
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        coding, *parameters = (each.strip() for each in part.split(";"))
        if coding:
            weights[coding] = _weight(parameters)
    others = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", others))
    plain = weights.get("identity", 0.0 if weights.get("*") == 0.0 else None)
    if gzip == 0.0 or (plain is not None and plain > gzip):
        return NEVER
    return ALWAYS if plain == 0.0 else LEAST_BYTES


def _weight(parameters: list[str]) -> float:
    """The q-value among a coding's parameters: 1 when there is none, 0 when it cannot be read."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _QUALITY.fullmatch(value := value.strip()) else 0.0
    return 1.0


def gzipped(body: bytes) -> bytes:
    """A body as gzip, quickly: about 20 µs for a page of 20 videos, a quarter of its bytes."""
    return isal_zlib.compress(body, LEVEL, _GZIP_FORMAT)


@lru_cache(_KEPT_BODIES)
def gzipped_once(body: bytes) -> bytes:
    """A body as gzip, well. For files and documents, of which there are few: the result is kept."""
    packer = zlib.compressobj(KEPT_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    return packer.compress(body) + packer.flush()


def deflated(part: bytes) -> bytes:
    """A part of later bodies, compressed by itself: it can stand in any stream, whatever is around it."""
    packer = zlib.compressobj(KEPT_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH)


def gzip_around(head: bytes, part: bytes, deflated_part: bytes, tail: bytes) -> bytes:
    """`head + part + tail` as gzip, of which `part` is deflated already. The others are stored as they are, so they
    must be below 64 kB; what is random, such as a cursor, does not get smaller anyway."""
    checksum = isal_zlib.crc32(tail, isal_zlib.crc32(part, isal_zlib.crc32(head)))
    trailer = struct.pack("<II", checksum, len(head) + len(part) + len(tail))
    return b"".join((_GZIP_HEADER, _stored(0, head), deflated_part, _stored(1, tail), trailer))


def _stored(last: int, part: bytes) -> bytes:
    """A block of a deflate stream (RFC 1951, 3.2.4) that holds bytes as they are."""
    return struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF) + part


async def encoded(response: func.HttpResponse, headers: Mapping[str, str]) -> func.HttpResponse:
    """The response as the client accepts it; the same one where it stays as it is."""
    least, body = least_bytes(headers), response.get_body()
    if not body or len(body) < least or "Content-Encoding" in response.headers:
        return response
    if not response.mimetype.startswith(COMPRESSED_TYPES):
        return response
    packed = gzipped(body) if len(body) < BESIDE_BYTES else await asyncio.to_thread(gzipped, body)
    return func.HttpResponse(
        packed,
        status_code=response.status_code,
        headers={**dict(response.headers), **GZIP},
        mimetype=response.mimetype,
        charset=response.charset,
    )
