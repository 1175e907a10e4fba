"""Tests that need a missing program are skipped with a reason; they fail where nothing may be skipped.

`.ci/run` sets LEAVE_NOTHING_OUT. `tests/conftest.py` prints one line for each missing program.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

PREFIX = "left out: "


def leave_out(what: str, *, unless: str = "LEAVE_NOTHING_OUT") -> NoReturn:
    """Skip the test with the missing program and how to install it; fail where the variable `unless` is set."""
    if os.environ.get(unless):
        pytest.fail(f"{what} (and {unless} is set)", pytrace=False)
    pytest.skip(PREFIX + what)
