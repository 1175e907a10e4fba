"""Promises of `shared/web`."""
