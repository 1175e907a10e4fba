"""The kinds of answer a service can give, the same for every adapter.

Each adapter has one table from what its service says (status, sub-status, AMQP condition) to a kind. What no table
names is an outage: nothing may be lost by an answer that nobody thought of.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Meaning of an answer for the caller."""

    OUTAGE = "outage"
    """Everything about the account, the caller's rights, load, the network, or an answer that is none: wait, keep the
    message, fall back."""
    REFUSAL = "refusal"
    """Final, and about this document or message alone: the same again is refused again."""
    CONFLICT = "conflict"
    """Somebody else was first, or the caller itself, before an answer was lost: read back."""
    ABSENT = "absent"
    """There is no such document."""
