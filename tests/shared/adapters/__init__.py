"""Promises of `shared/adapters`."""
