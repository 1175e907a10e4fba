"""The first bytes of a file decide its type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.media_types import CONTENT_TYPES, SNIFFED_BYTES, sniffed
from tests.media.files import BAD, GOOD


@pytest.mark.parametrize("kind", GOOD)
def test_images_and_clips_are_recognized_by_their_first_bytes(kind: str) -> None:
    assert sniffed(GOOD[kind][:SNIFFED_BYTES]) == kind


@pytest.mark.parametrize("kind", BAD)
def test_other_content_types_are_refused(kind: str) -> None:
    assert sniffed(BAD[kind]) is None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_checked_and_text_is_never_accepted(first: bytes) -> None:
    assert sniffed(first) in (None, *CONTENT_TYPES)
    for markup in (b"<", b" <", b"\n<", b"\xef\xbb\xbf<", b"%PDF", b"#!"):
        assert sniffed(markup + first) is None
