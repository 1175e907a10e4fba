"""`@compiled`: compiles a function over arrays to machine code.

The deployment package has the machine code in the extension module `ranking/_loops`, compiled when the package was
built (`infra/machine_code.py`). In a checkout, numba compiles the same source at import (`ranking/just_in_time.py`);
only then numba is imported. A test checks that both give the same bits. A compiled function takes only numbers and
arrays (`ranking/array_types.py`) and allocates little.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

PREBUILT = "ranking._loops"
_LOOPS: Any = import_module(PREBUILT) if find_spec(PREBUILT) else None
_just_in_time: Any = None if _LOOPS else import_module("ranking.just_in_time").just_in_time


def compiled(function: Function) -> Function:
    """Return the machine code of a function. Division by zero gives infinity. Functions it calls must be defined above
    it."""
    return cast(Function, getattr(_LOOPS, prebuilt_name(function)) if _LOOPS else _just_in_time(function))


def prebuilt_name(function: Callable[..., Any]) -> str:
    """Return the function's name in the extension module: its module's name and its own."""
    return f"{function.__module__.rpartition('.')[2]}_{function.__name__}"
