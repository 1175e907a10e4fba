"""Accepted types of pictures and clips, and their detection by first bytes. No other type is ever served, such as SVG
or HTML, whatever content type the client declared.

Sources of the signatures:

- JPEG: ITU-T T.81, B.1.1.2
- PNG: RFC 2083, 3.1
- WebP: RFC 9649, 2.4
- MP4: the file type box of ISO base media files, ISO/IEC 14496-12, 4.3
- WebM: EBML and its DocType, RFC 8794, 11.2.4
"""

from __future__ import annotations

from collections.abc import Mapping

SNIFFED_BYTES = 4_096
"""First bytes of a file that are checked."""
JPEG, PNG, WEBP, MP4, WEBM = "image/jpeg", "image/png", "image/webp", "video/mp4", "video/webm"
PICTURES, CLIPS = (JPEG, PNG, WEBP), (MP4, WEBM)
CONTENT_TYPES = (*PICTURES, *CLIPS)
"""Accepted content types."""
LARGEST_BYTES = 1_000_000_000
"""Upper bound of the settings for file sizes."""


def most_bytes(picture: float = 10e6, clip: float = 100e6) -> Mapping[str, int]:
    """Return content type → largest file in bytes, from the settings `STORY_PICTURE_BYTES` and `STORY_CLIP_BYTES`."""
    return {**dict.fromkeys(PICTURES, int(picture)), **dict.fromkeys(CLIPS, int(clip))}


SUFFIXES: Mapping[str, str] = {JPEG: ".jpg", PNG: ".png", WEBP: ".webp", MP4: ".mp4", WEBM: ".webm"}
"""Content type → file suffix of media keys."""
TYPES: Mapping[str, str] = {suffix: kind for kind, suffix in SUFFIXES.items()}

_MP4_BRANDS = frozenset(
    (
        b"isom",
        b"iso2",
        b"iso3",
        b"iso4",
        b"iso5",
        b"iso6",
        b"mp41",
        b"mp42",
        b"avc1",
        b"M4V ",
        b"MSNV",
        b"dash",
        b"mmp4",
    )
)
"""Major brands of clips. Brands of pictures in the same container format (`heic`, `avif`) are left out."""
_DOC_TYPE = b"\x42\x82"


def sniffed(first: bytes) -> str | None:
    """Detect the content type from a file's first `SNIFFED_BYTES`; None if it is not an accepted type."""
    if first.startswith(b"\xff\xd8\xff"):
        return JPEG
    if first.startswith(b"\x89PNG\r\n\x1a\n") and first[12:16] == b"IHDR":
        return PNG
    if first.startswith(b"RIFF") and first[8:15] == b"WEBPVP8":
        return WEBP
    if first[4:8] == b"ftyp" and first[8:12] in _MP4_BRANDS and 16 <= int.from_bytes(first[:4], "big") <= SNIFFED_BYTES:
        return MP4
    if first.startswith(b"\x1a\x45\xdf\xa3") and _doc_type(first) == b"webm":
        return WEBM
    return None


def _doc_type(first: bytes) -> bytes:
    """Return the DocType of an EBML header, empty if there is none. Its length is one byte with the highest bit set."""
    at = first.find(_DOC_TYPE, 4, 64)
    if at < 0 or len(first) < at + 3 or not first[at + 2] & 0x80:
        return b""
    start = at + 3
    return first[start : start + (first[at + 2] & 0x7F)].rstrip(b"\0")
