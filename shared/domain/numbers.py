"""Reads numbers that other systems send as text, and whole numbers written as 3.0. Pure."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
_LARGEST = 1e40
"""Larger than any field allows: a greater number is a mistake, or an attempt to use memory."""


def number_in(value: object) -> object:
    """Return the number of a text in ASCII digits, in JSON's syntax; any other value unchanged.

    Some systems send 64-bit numbers as text. NaN, infinities, `1_000`, `0x10` and other scripts' digits stay text.
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        return value
    number = float(value)
    if abs(number) > _LARGEST:
        return value
    return int(value) if value.lstrip("-").isdigit() else number


def whole_number(value: object) -> object:
    """Return a number such as 3.0 as an integer, as JSON Schema does; any other value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST else value
