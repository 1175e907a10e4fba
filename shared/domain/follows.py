"""Subjects a user can follow (creator, category, series), and their fingerprints in signals. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.domain.fingerprint import fingerprint_of_name
from shared.domain.user_lists import UserList
from shared.domain.user_signals import MAX_FOLLOWS, Timeline

CREATOR, CATEGORY, SERIES = "creator", "category", "series"
KINDS = (CREATOR, CATEGORY, SERIES)
MAX_NAME_CHARS = 128
_MS_PER_DAY = 86_400_000
_MARKS = {CREATOR: 0, CATEGORY: 0x5BD1E995, SERIES: 0x9E3779B9}
"""Bits that are flipped in a name's fingerprint, by kind, so that equal names of different kinds differ."""


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """Followed subject, in place of a video in an event. `kind`: one of `KINDS`; `id`: as content teams write it."""

    kind: str
    id: str

    @property
    def name(self) -> str:
        """Kind and id as one text, which `named` reads."""
        return f"{self.kind}:{self.id}"

    @classmethod
    def named(cls, name: str) -> Subject:
        """Read a text of `name`."""
        kind, _, id = name.partition(":")
        return cls(kind, id)

    @property
    def fingerprint(self) -> int:
        """32 bits that stand for the subject in the signals."""
        return fingerprint_of_name(self.id) ^ _MARKS[self.kind]


def names_of_kind(fingerprints: NDArray[np.uint32], kind: str) -> NDArray[np.uint32]:
    """Return the fingerprints of names for followed subjects of this kind. Those of other kinds match no name."""
    return fingerprints ^ np.uint32(_MARKS[kind])


def followed(following: UserList, now: float) -> list[tuple[Subject, int]]:
    """Return the newest `MAX_FOLLOWS` subjects that a user follows, with the time in ms, newest first."""
    listed = following.listed(now)[:MAX_FOLLOWS]
    return [(Subject.named(name), entry.on_ms) for name, entry in listed]


def followed_ring(following: UserList, now: float) -> Timeline:
    """Return the followed subjects as stored in the signals."""
    subjects = followed(following, now)
    keys = np.array([subject.fingerprint for subject, _ in subjects], np.uint32)
    return Timeline(keys, np.array([at_ms // _MS_PER_DAY for _, at_ms in subjects], np.int32))
