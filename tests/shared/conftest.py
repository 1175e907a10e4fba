"""Restores the package loggers to their initial state, whatever app still runs beside these tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from shared.observability.logs import ROOT


@pytest.fixture(autouse=True)
def the_logger_as_at_the_start() -> Iterator[None]:
    """Remove the log handler of an app served by other tests of this process, and restore it afterwards."""
    logger = logging.getLogger(ROOT)
    handlers, propagate = logger.handlers[:], logger.propagate
    logger.handlers.clear()
    logger.propagate = True
    yield
    logger.handlers[:] = handlers
    logger.propagate = propagate
