"""Tests of `shared/observability`."""
