"""Reads and compares language tags of hints, videos, rules and imports.

A tag is read into `language[-script][-region]` in lower case with canonical codes; variants and extensions are left
out. Two tags match when look-up (RFC 4647, 3.4) finds one for the other, in either direction: `en-US` and `en`, but not
`en-US` and `en-GB`. Before the comparison a region adds its usual script, so that `zh-CN` and `zh-Hans` match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from shared.domain.countries import canonical_country
from shared.domain.language_codes import ALIASES, LANGUAGES, SCRIPTS, SCRIPTS_BY_COUNTRY, USUAL_SCRIPTS

MAX_CHARS = 64
"""A longer text is not a language tag."""
OTHER = "x"
"""Key, or end of a key, of a language without an entry of its own. Not an assigned code, so it matches nothing else."""

_AFTER_TAG = re.compile(r"[.@]")
_TEXT = re.compile(r"[a-z0-9-]+")
_UN_AREA = re.compile(r"[0-9]{3}")
_UNKNOWN = frozenset(("und", "mul", "zxx", "mis"))
"""Codes of: undetermined, multiple, no linguistic content, uncoded."""
_READ_AS = {"nb": "no"}
"""Viewers send `nb` where videos have `no`."""
_WITH_LANGUAGE_SECOND = frozenset(("ar", "ms", "sgn", "zh"))
"""Languages that can precede an extended one: `zh-yue` is an old form of `yue`."""


def canonical_language(text: str, *, lenient: bool = False) -> str | None:
    """Read a language tag (`iw_IL` → `he-il`, `zh_CN_#Hans` → `zh-hans-cn`); None if the language is not assigned.

    `lenient` drops a region or script that is not assigned (`en-XX` → `en`); without it, the result is None.
    """
    plain = _AFTER_TAG.split(text.strip().lower().replace("_", "-").replace("#", ""), maxsplit=1)[0]
    if len(text) > MAX_CHARS or not _TEXT.fullmatch(plain):
        return None
    language, *subtags = [part for part in plain.split("-") if part] or [""]
    if language not in LANGUAGES:
        return None
    if language in _WITH_LANGUAGE_SECOND and subtags and len(subtags[0]) == 3 and subtags[0] in LANGUAGES:
        language = subtags.pop(0)
    language, _, implied = ALIASES.get(language, language).partition("-")
    script = implied if len(implied) == 4 else ""
    region = implied if len(implied) == 2 else ""
    for part in subtags:
        if len(part) == 1:  # an extension or private use, to the end
            break
        if len(part) == 4 and part.isalpha():
            if part not in SCRIPTS and not lenient:
                return None
            script = part if part in SCRIPTS else script
        elif (len(part) in (2, 3) and part.isalpha()) or _UN_AREA.fullmatch(part):
            found = part if part.isdigit() else (canonical_country(part) or "").lower()
            if not found and not lenient:
                return None
            region = found or region
    return "-".join(part for part in (language, script, region) if part)


def language_key(text: str | None) -> str | None:
    """Return the key for comparisons; None for an unknown or unreadable language."""
    tag = canonical_language(text, lenient=True) if text else None
    if tag is None:
        return None
    language, *rest = tag.split("-")
    if language in _UNKNOWN:
        return None
    if len(rest) == 1 and len(rest[0]) != 4:
        script = SCRIPTS_BY_COUNTRY.get(tag) or USUAL_SCRIPTS.get(language)
        rest = [script, *rest] if script else rest
    return "-".join([_READ_AS.get(language, language), *rest])


def same_language(one: str, other: str) -> bool:
    """Whether two keys match: they are equal, or one is a prefix of the other."""
    return one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")


def reduced_key(key: str, prefixes: frozenset[str]) -> str:
    """Shorten a key so that it still matches the same named keys. `prefixes`: `with_prefixes` of the named keys.

    Parts beyond the named keys become `OTHER`, so the number of results is bounded by the named keys.
    """
    found = key
    while found and found not in prefixes:
        found = found.rpartition("-")[0]
    if found == key:
        return key
    return f"{found}-{OTHER}" if found else OTHER


def with_prefixes(keys: Iterable[str]) -> frozenset[str]:
    """Return keys and their prefixes: `zh-hans-cn` gives `zh`, `zh-hans` and itself."""
    found = set()
    for key in keys:
        while key:
            found.add(key)
            key = key.rpartition("-")[0]
    return frozenset(found)
