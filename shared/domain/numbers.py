"""Numbers in what others send: digits in text, and whole numbers written as 3.0. Pure."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
_LARGEST = 1e40
"""No field takes more: a number beyond it is a slip of the pen, or meant to cost memory."""


def number_in(value: object) -> object:
    """The number that a text spells in ASCII digits, as JSON writes it; anything else as it is.

    Some systems send 64-bit numbers as text. NaN, infinities, `1_000`, `0x10` and other scripts' digits are no numbers.
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        return value
    number = float(value)
    if abs(number) > _LARGEST:
        return value
    return int(value) if value.lstrip("-").isdigit() else number


def whole_number(value: object) -> object:
    """The integer that a number such as 3.0 is, which JSON Schema counts as one; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST else value
