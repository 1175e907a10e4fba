"""Promises of `shared/domain`."""
