"""Text as a search compares it: without case, accents and other ways of writing the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import category, normalize

_MARKS = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\ufe00-\ufe0f]+")
"""Accents (Latin, Greek, Cyrillic), points of Hebrew and vowels of Arabic, which many leave out, and selectors of how
an emoji is drawn. Marks of other scripts are letters to their readers, and stay."""
_ALIKE = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
"""Letters that Unicode does not take apart, as people type them who do not have them on the keyboard."""


def folded(text: str) -> str:
    """The text as it is compared. What is a part of one text is a part of its folded form, folded, at white space."""
    text = text.casefold()
    if not text.isascii():
        text = _MARKS.sub("", normalize("NFKD", normalize("NFKD", text).casefold())).translate(_ALIKE)
    return text


def searched_words(text: str) -> list[str]:
    """The folded words that a query asks for, each once; marks around a word do not count, unless it is all marks."""
    words = (_without_marks_around(word) for word in folded(text).split())
    return list(dict.fromkeys(words))


def searchable(parts: Iterable[str]) -> str:
    """The text that queries search: each part folded, on a line of its own between line ends."""
    return "\n".join(["", *(folded(part) for part in parts if part), ""])


def _without_marks_around(word: str) -> str:
    first, end = 0, len(word)
    while first < end and category(word[first])[0] == "P":
        first += 1
    while end > first and category(word[end - 1])[0] == "P":
        end -= 1
    return word[first:end] or word
