"""Parses JSON of other writers: skips a byte order mark, and one unreadable row does not lose the others.

orjson refuses a whole text for one lone surrogate, one number that JSON does not have, or one value nested too deeply.
`parse_rows` then reads the elements of the list one by one, so that only the broken ones are lost.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from shared.domain.text import NO_CHARACTER

MAX_DEPTH = 64
"""Most levels of lists and objects in a document."""
_WRITER_DEPTH = 254
"""Most levels that orjson writes; deeper values raise an error."""
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)
"""A pair of surrogates, a lone one, or any other escape; the last, so that an escaped backslash starts no surrogate."""
_MARKS = (b"[", b"]", b"{", b"}", b",", b'"')
_CLOSES = {b"]": b"[", b"}": b"{"}


class InvalidJson(ValueError):
    """The text is not JSON, or a value is nested too deeply."""


class Unreadable:
    """Placeholder for an unreadable element of a list."""


UNREADABLE: Final = Unreadable()


def parse(text: bytes) -> Any:
    """Parse JSON. Raises `InvalidJson`."""
    try:
        return orjson.loads(text.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        raise InvalidJson from None


def with_cut_characters_marked(text: bytes) -> bytes:
    """Replace each lone surrogate by `NO_CHARACTER`, so that validation of the form can name the field."""
    return _ESCAPE.sub(_or_mark, text)


def _or_mark(escape: re.Match[bytes]) -> bytes:
    is_half = escape["half"] is not None
    return b"\\u%04x" % ord(NO_CHARACTER) if is_half else escape[0]


def parse_document(text: bytes) -> Any:
    """Parse JSON that is stored as it is. Raises `InvalidJson`, also for more than `MAX_DEPTH` levels."""
    parsed = parse(text)
    if is_too_deep(parsed):
        raise InvalidJson
    return parsed


def is_too_deep(value: Any) -> bool:
    """Whether a JSON value has more than `MAX_DEPTH` levels."""
    for _ in range(_WRITER_DEPTH - MAX_DEPTH):  # so that orjson, which is fast, reaches its limit at `MAX_DEPTH`
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False


def parse_rows(text: bytes, name: str, most_marks: int | None = None) -> Any:
    """Parse a list, or an object whose member `name` is a list. Broken elements become `UNREADABLE`.

    Raises `InvalidJson` when the text around the elements is not JSON. Also raises it for a broken text with more than
    `most_marks` brackets, commas and quotes, since the search for elements takes about a microsecond for each.
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    if most_marks is not None and sum(map(text.count, _MARKS)) > most_marks:
        raise InvalidJson
    start, end, elements = _elements(text, b'"%b"' % name.encode())
    around = parse(text[:start] + text[end:])
    rows = [_element(each) for each in elements]
    if isinstance(around, dict):
        return {**around, name: rows}
    return rows


def _element(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return UNREADABLE


def _elements(text: bytes, name: bytes) -> tuple[int, int, list[bytes]]:
    """Return start, end and elements of the list that is the text itself or its member `name`.

    Looks only at strings and brackets. Raises `InvalidJson` where those are unbalanced, or without such a list.
    """
    open_brackets: list[bytes] = []
    found: tuple[int, int, list[bytes]] | None = None
    list_depth, start, element_start, values = 0, 0, 0, 0
    elements: list[bytes] = []
    last = b""
    for at, token in _tokens(text):
        depth = len(open_brackets)
        if token in (b"[", b"{"):
            is_the_list = token == b"[" and (depth == 0 or (depth == 1 and last == name))
            if is_the_list and not list_depth:
                list_depth, start, element_start, values, elements = depth + 1, at + 1, at + 1, 0, []
            elif depth == list_depth:
                values += 1
            open_brackets.append(token)
        elif token in _CLOSES:
            if not open_brackets or open_brackets.pop() != _CLOSES[token]:
                raise InvalidJson
            if depth == list_depth:
                if elements or text[element_start:at].strip():
                    elements.append(_checked(text[element_start:at], values))
                found, list_depth = (start, at, elements), 0
        elif token == b"," and depth == list_depth:
            elements.append(_checked(text[element_start:at], values))
            element_start, values = at + 1, 0
        last = token
    if found is None or open_brackets:
        raise InvalidJson
    return found


def _checked(element: bytes, values: int) -> bytes:
    """Return an element. Raises `InvalidJson` for two values without a comma between them."""
    if values > 1 or not element.strip():
        raise InvalidJson
    return element


def _tokens(text: bytes) -> Iterator[tuple[int, bytes]]:
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == b'"':
            raise InvalidJson  # a string that does not end
        yield match.start(), token
