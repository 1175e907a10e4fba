"""Formats of received values: ids, hashes, hints about a viewer, times. Each is defined here once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Format:
    """Regular expression for a whole value; `description` completes the sentence "must be …"."""

    pattern: str
    description: str
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", re.compile(self.pattern))

    def matches(self, value: str) -> bool:
        """Whether the whole of `value` has this format."""
        return self._compiled.fullmatch(value) is not None


VIDEO_ID = Format(
    r"[A-Za-z0-9_-][A-Za-z0-9._:~-]{0,127}", "1 to 128 letters, digits or . _ : ~ -, not beginning with . : or ~"
)
SERIES_ID = VIDEO_ID
"""As for videos: without a comma, which separates values in a URL."""
PLAY_ID = Format(r"[A-Za-z0-9._~-]{1,64}", "1 to 64 letters, digits or . _ ~ -")
"""Also for app sessions. Without an @, so that it cannot be an e-mail address."""
SLUG = Format(
    r"[a-z0-9][a-z0-9_-]{0,63}",
    "1 to 64 lower-case letters, digits, - or _, a letter or digit first, such as summer-push",
)
TENANT_ID = Format(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "1 to 64 letters, digits, - or _, a letter or digit first")
MODEL_VERSION = Format(
    r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}",
    "a model version of 1 to 64 letters, digits or . _ + -, a letter or digit first",
)
TOKEN_KEY_ID = Format(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "1 to 64 letters, digits or . _ -, a letter or digit first")
FLAG_NAME = Format(r"[a-z0-9][a-z0-9-]{0,63}", "1 to 64 lower-case letters, digits or -, a letter or digit first")
API_KEY = Format(r"[\x21-\x2b\x2d-\x7e]{8,200}", "8 to 200 printable characters without a comma")
"""Without a comma: a header that is sent twice arrives as one, joined by a comma."""
KEY_NAME = Format(r"[^\x00-\x1f\x7f]+", "a name such as Anna (newsroom)")
KEY_ID = Format(r"[\w .()@-]{1,80}", "1 to 80 letters, digits, spaces or . ( ) @ - _")
AUDIT_ENTRY_ID = Format(r"[0-9]{14}[0-9a-f]{8}", "14 digits and 8 lower-case hex digits")
USER_HASH = Format(r"[0-9a-f]{64}", "64 lower-case hex digits")
PUBLIC_ID = Format(r"[A-Za-z0-9._]{22}", "22 letters, digits, . or _")
"""Id of a person that other users can see."""
KEY_HASH = Format(r"[0-9a-f]{64}", "64 lower-case hex digits")
PLATFORM = Format(r"[a-z0-9_]{1,16}", "a platform such as ios, android or web")
_SEPARATORS = re.compile(r"[ ._-]+")

MIN_RSA_BITS = 2_048
"""Shorter RSA keys are refused."""


def canonical_platform(text: str) -> str | None:
    """Return a platform in lower case with `_` between its words (`Android-TV` → `android_tv`); None if malformed."""
    if len(text) > 64:
        return None
    folded = _SEPARATORS.sub("_", text.strip().lower()).strip("_")
    return folded if PLATFORM.matches(folded) else None


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number; False for booleans."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def iso_time(at: float) -> str:
    """Return seconds since the epoch as ISO 8601 text in UTC, whole seconds: `2026-11-20T12:00:00Z`."""
    return f"{datetime.fromtimestamp(int(at), UTC).isoformat()[:19]}Z"  # in half the time of strftime


def iso_time_or_none(at: float | None) -> str | None:
    """Return `iso_time` of a time; None for None."""
    return None if at is None else iso_time(at)
