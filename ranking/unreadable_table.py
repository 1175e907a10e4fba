"""The error of every file that a night makes for the ranking."""

from __future__ import annotations


class UnreadableTable(ValueError):
    """Raised for bytes that are not a table of this version, or damaged."""
