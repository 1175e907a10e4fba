"""Tests that need a program this machine lacks are left out, in so many words; where nothing may be, they fail.

`.ci/run` sets LEAVE_NOTHING_OUT. `tests/conftest.py` prints one line for each thing that was left out.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

PREFIX = "left out: "


def leave_out(what: str, *, required_by_ci: bool = False) -> NoReturn:
    """Skip the test, saying what is missing and how to get it; fail where nothing, or not this, may be left out."""
    for variable in ("LEAVE_NOTHING_OUT", *(["CI"] if required_by_ci else [])):
        if os.environ.get(variable):
            pytest.fail(f"{what} (and {variable} is set)", pytrace=False)
    pytest.skip(PREFIX + what)
