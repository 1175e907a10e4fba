"""The error for every unreadable file that a night builds for the ranking."""

from __future__ import annotations


class UnreadableTable(ValueError):
    """The bytes are damaged, or no table of this version."""
