"""Promises of `shared/observability`."""
