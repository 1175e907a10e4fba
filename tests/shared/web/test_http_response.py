"""Our response type: the Functions library sends it as it would send its own."""

from __future__ import annotations

from typing import Any

import azure.functions as func
import pytest
from azure.functions.http import HttpResponseConverter
from hypothesis import given
from hypothesis import strategies as st

from shared.web.http_response import HttpResponse

NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=20)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


def sent(response: func.HttpResponse) -> Any:
    datum = HttpResponseConverter.encode(response, expected_type=None).value
    headers = {name.lower(): each.value for name, each in datum["headers"].items()}
    return datum["status_code"].value, headers, datum["body"].value, datum["cookies"]


@given(
    body=st.binary(max_size=50),
    status=st.integers(200, 599),
    headers=st.dictionaries(NAMES, VALUES, max_size=5).filter(
        lambda headers: len({name.lower() for name in headers}) == len(headers) and "Set-Cookie" not in headers
    ),
    mimetype=st.sampled_from(["application/json", "text/plain", "text/html"]),
)
def test_response_is_sent_like_one_of_the_library(
    body: bytes, status: int, headers: dict[str, str], mimetype: str
) -> None:
    ours = HttpResponse(body, status_code=status, headers=headers, mimetype=mimetype)
    theirs = func.HttpResponse(body, status_code=status, headers=headers, mimetype=mimetype)
    assert sent(ours) == sent(theirs)


@given(name=NAMES, value=VALUES)
def test_header_names_ignore_case(name: str, value: str) -> None:
    headers = HttpResponse(headers={name: value}).headers
    for spelled in (name, name.lower(), name.upper()):
        assert headers[spelled] == headers.get(spelled) == value
        assert spelled in headers


def test_missing_header_reads_as_absent() -> None:
    headers = HttpResponse(headers={"ETag": "x"}).headers
    assert "Vary" not in headers
    assert headers.get("Vary", "none") == "none"
    with pytest.raises(KeyError):
        headers["Vary"]


@pytest.mark.parametrize("made", [HttpResponse, func.HttpResponse])
@pytest.mark.parametrize("value", ["a\nSet-Cookie: b", "a\rb"])
def test_line_break_in_a_header_is_refused_as_by_the_library(made: type[func.HttpResponse], value: str) -> None:
    with pytest.raises(ValueError, match=r"line break|newline"):
        made(headers={"X-Name": value})
    with pytest.raises(ValueError, match=r"line break|newline"):
        made().headers["X-Name"] = value
