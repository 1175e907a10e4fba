"""Classifies the answers of Azure services: outage, refusal, conflict or absent.

Each adapter has one table from its service's status, sub-status or AMQP condition to a kind. An answer that the table
lacks is an outage, so an unforeseen answer never loses data.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Kind of a service's answer."""

    OUTAGE = "outage"
    """Wait, keep the message, or fall back. The account, the caller's rights, load or the network is at fault, or the
    answer came from another program."""
    REFUSAL = "refusal"
    """Final, and about this document or message alone: a repeat is refused too."""
    CONFLICT = "conflict"
    """Another writer was first, or the caller itself before an answer was lost: read again."""
    ABSENT = "absent"
    """The document does not exist."""
