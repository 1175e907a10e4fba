"""Normalizes text that people write, and refuses characters that hide or reorder text. Pure."""

from __future__ import annotations

import re
from typing import Any
from unicodedata import category, normalize

_AROUND = (
    " \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000\u200b\u2060\ufeff"
)
"""Characters that are stripped: white space, and characters without width at an end."""
_LONGEST = 10_000
"""Longer text fits no field, and normalizing a long run of marks takes quadratic time."""
_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls except tab and line ends
    "\u202a-\u202e\u2065\u206a-\u206f\ufeff\ufff0-\ufffb"  # overrides of the direction, and unassigned controls
    "\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff"  # surrogates, private use
    "\ufdd0-\ufdef\ufffe\uffff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xF0000, 0x10000))
    + "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"  # tags
)
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{1,16}\U000e007f")
"""Flags of England, Scotland and Wales, which consist of tag characters."""
_OPENS_ISOLATE, _ENDS_ISOLATE = "\u2066\u2067\u2068", "\u2069"
_INVISIBLE = "\u115f\u1160\u3164\uffa0\u2800"
"""Letters and symbols without a visible form."""
_VISIBLE_FORMATS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2"
NO_CHARACTER = "\uffff"
"""For a lone surrogate, which cannot be stored; validation refuses it."""


def composed(text: str) -> str:
    """Return the text in Unicode's normal form C, so that equal texts compare equal; a text above `_LONGEST`
    unchanged."""
    return text if text.isascii() or len(text) > _LONGEST else normalize("NFC", text)


def all_composed(value: Any) -> Any:
    """Return a JSON value with its texts in normal form C; names of members are unchanged."""
    if isinstance(value, str):
        return composed(value)
    if isinstance(value, list):
        return [all_composed(each) for each in value]
    if isinstance(value, dict):
        return {name: all_composed(each) for name, each in value.items()}
    return value


def clean(text: str) -> str:
    """Return the text in normal form C, without white space around it."""
    return composed(text).strip(_AROUND)


def what_is_wrong(text: str) -> str | None:
    """Return why the text must not be shown, as the rest of a sentence that begins with the field; None if it can.

    Joiners (emoji, Persian), direction marks (Hebrew, Arabic), closed isolates and empty text are allowed.
    """
    if text.isascii() and text.isprintable():
        return None
    odd = _REFUSED.search(_FLAG.sub("", text))
    if odd:
        point = ord(odd[0])
        if odd[0] == NO_CHARACTER or 0xD800 <= point <= 0xDFFF:
            return "has half of a character, such as an emoji that was cut. Write it again."
        return f"has the character U+{point:04X}, which is invisible or reverses text. Remove it."
    if not _isolates_are_closed(text):
        return "has a text-direction character (U+2066 to U+2069) without its partner. Remove it."
    if text.strip(" \t\r\n") and not any(map(_is_visible, text)):
        return "has no visible character."
    return None


def without_odd_characters(text: str) -> str:
    """Return the text on one line, with a space for each character that `what_is_wrong` refuses."""
    return " ".join(re.sub(r"[\u2066-\u2069]|[^\S ]", " ", _REFUSED.sub(" ", composed(text))).split())


def _isolates_are_closed(text: str) -> bool:
    depth = 0
    for character in text:
        if character in _OPENS_ISOLATE:
            depth += 1
        elif character == _ENDS_ISOLATE:
            depth -= 1
            if depth < 0:
                return False
    return depth == 0


def _is_visible(character: str) -> bool:
    """Whether a character is visible. One that this Python's Unicode does not know counts as visible: a new emoji."""
    kind = category(character)
    return (kind[0] in "LNPS" or kind == "Cn" or character in _VISIBLE_FORMATS) and character not in _INVISIBLE
