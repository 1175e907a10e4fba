"""Provides the served app and an editor's client."""

from tests.e2e.conftest import _no_secret_is_ever_logged, app

__all__ = ["_no_secret_is_ever_logged", "app"]
