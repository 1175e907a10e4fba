from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import base64url
from shared.domain.alphabet import from_text, to_text


@given(st.binary(max_size=120))
def test_text_has_only_letters_digits_dots_and_underscores(raw: bytes) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._]*", to_text(raw))
    assert from_text(to_text(raw)) == raw


@given(st.binary(max_size=120))
def test_base64url_text_of_older_releases_is_read(raw: bytes) -> None:
    assert from_text(base64url.to_text(raw)) == raw


@pytest.mark.parametrize("text", ["-.", ".-AA", "AA=", "A", "é", "A B"])
def test_text_outside_the_alphabet_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"alphabet|base64|codec|decoded|padding"):
        from_text(text)
