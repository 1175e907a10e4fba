"""Tests that need a program this machine lacks are left out, in so many words; where nothing may be, they fail.

`.ci/run` sets LEAVE_NOTHING_OUT. `tests/conftest.py` prints one line for each thing that was left out.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

PREFIX = "left out: "


def leave_out(what: str, *, unless: str = "LEAVE_NOTHING_OUT") -> NoReturn:
    """Skip the test, saying what is missing and how to get it; fail where the variable `unless` is set."""
    if os.environ.get(unless):
        pytest.fail(f"{what} (and {unless} is set)", pytrace=False)
    pytest.skip(PREFIX + what)
