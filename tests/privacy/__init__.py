"""Promises of `privacy`."""
