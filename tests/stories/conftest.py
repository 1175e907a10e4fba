"""Provides the served app of the end-to-end tests."""

from tests.e2e.conftest import _no_secret_is_ever_logged, app

__all__ = ["_no_secret_is_ever_logged", "app"]
