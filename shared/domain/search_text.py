"""Normalizes text for searches: removes case, accents and spelling variants. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import category, normalize

_MARKS = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\ufe00-\ufe0f]+")
"""Marks to remove: accents (Latin, Greek, Cyrillic), points of Hebrew and vowels of Arabic, which many writers omit,
and variation selectors of emoji. Marks of other scripts act as letters and stay."""
_ALIKE = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
"""Replacements for letters without a decomposition in Unicode, as typed on keyboards that lack them."""


def folded(text: str) -> str:
    """Return the text in its form for comparison. A part between white space, folded alone, occurs in the result."""
    text = text.casefold()
    if not text.isascii():
        text = _MARKS.sub("", normalize("NFKD", normalize("NFKD", text).casefold())).translate(_ALIKE)
    return text


def searched_words(text: str) -> list[str]:
    """Return the folded words of a query, without duplicates. Punctuation around a word is removed, unless the word
    consists of it."""
    words = (_without_marks_around(word) for word in folded(text).split())
    return list(dict.fromkeys(words))


def searchable(parts: Iterable[str]) -> str:
    """Return the text that queries search: each part folded, on its own line, with line ends at both ends."""
    return "\n".join(["", *(folded(part) for part in parts if part), ""])


def _without_marks_around(word: str) -> str:
    first, end = 0, len(word)
    while first < end and category(word[first])[0] == "P":
        first += 1
    while end > first and category(word[end - 1])[0] == "P":
        end -= 1
    return word[first:end] or word
