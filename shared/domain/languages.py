"""Language tags: one way to read them and one to compare them, for hints, videos, rules and imports.

A tag is read into `language[-script][-region]` in lower case with canonical codes; variants and extensions are left
out. Two tags match when look-up (RFC 4647, 3.4) finds one for the other, in either direction: `en-US` and `en`, but not
`en-US` and `en-GB`. Before that a region gets the script that is usual there, so that `zh-CN` and `zh-Hans` match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from shared.domain.countries import canonical_country
from shared.domain.language_codes import ALIASES, LANGUAGES, SCRIPTS, SCRIPTS_BY_COUNTRY, USUAL_SCRIPTS

MAX_CHARS = 64
"""Longer texts are no language tags."""
OTHER = "x"
"""As a key, or as the end of one: a language that nobody named. No assigned code, so it matches nothing else."""

_AFTER_TAG = re.compile(r"[.@]")
_TEXT = re.compile(r"[a-z0-9-]+")
_UN_AREA = re.compile(r"[0-9]{3}")
_UNKNOWN = frozenset(("und", "mul", "zxx", "mis"))
"""Codes for: not known, several, no words at all, no code for it."""
_READ_AS = {"nb": "no"}
"""Viewers say `nb` where videos say `no`."""
_WITH_LANGUAGE_SECOND = frozenset(("ar", "ms", "sgn", "zh"))
"""`zh-yue` is an old way to write `yue`."""


def canonical_language(text: str, *, lenient: bool = False) -> str | None:
    """Read a language tag (`iw_IL` → `he-il`, `zh_CN_#Hans` → `zh-hans-cn`); None for what is no assigned language.

    `lenient` leaves out a region or script that is not assigned (`en-XX` → `en`), where else there is no language.
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
    """The form in which languages are compared; None for a language that is not known or cannot be read."""
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
    """Whether two keys match: they are equal, or one of them says less and the other begins with it."""
    return one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")


def reduced_key(key: str, prefixes: frozenset[str]) -> str:
    """A key that matches what `key` does, of a set that named keys alone bound. `prefixes`: `with_prefixes` of those.

    What goes beyond the named keys becomes `OTHER`.
    """
    found = key
    while found and found not in prefixes:
        found = found.rpartition("-")[0]
    if found == key:
        return key
    return f"{found}-{OTHER}" if found else OTHER


def with_prefixes(keys: Iterable[str]) -> frozenset[str]:
    """Keys, and what they begin with: `zh-hans-cn` gives `zh`, `zh-hans` and itself."""
    found = set()
    for key in keys:
        while key:
            found.add(key)
            key = key.rpartition("-")[0]
    return frozenset(found)
