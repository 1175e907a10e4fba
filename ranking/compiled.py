"""`compiled`: a loop over candidates as machine code, for what a chain of array operations would say less plainly.

A compiled function takes numbers and arrays, allocates little, and knows no object of ours. Its annotations are its
signature, so everything is compiled, or read from disk, at import: never within a request. Arrays are read-only unless
they are `Written…`, and vectors have no gaps. Indices are not checked, but in tests they are (`NUMBA_BOUNDSCHECK=1`).
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np
from numba import config, from_dtype, njit, types
from numba.core.caching import InTreeCacheLocator
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

WRITTEN = "written"
Keys = NDArray[np.uint64]
Fingerprints = NDArray[np.uint32]
Codes = NDArray[np.int32]
Integers = NDArray[np.int64]
Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]
SinglesTable = Annotated[NDArray[np.float32], 2]
DoublesTable = Annotated[NDArray[np.float64], 2]
CodesTable = Annotated[NDArray[np.int32], 2]
WrittenDoubles = Annotated[NDArray[np.float64], WRITTEN]
WrittenBytes = Annotated[NDArray[np.uint8], WRITTEN]

_ROOM = Path(__file__).parent
INLINED = (*sorted(_ROOM.glob("*.py")), _ROOM.parent / "shared" / "domain" / "user_signals.py")
"""Where what is compiled may have its constants and helpers from."""


def _folder() -> Path:
    """Where machine code is kept: beside the byte code, or in a copy of it on a disk that cannot be written to, so that
    what does not fit there (it is of another version of the compiler) can still be compiled and kept."""
    beside = _ROOM / "__pycache__"
    if vars(config)["BOUNDSCHECK"]:
        beside /= "checked"  # other code: every index is checked, which tests ask for
    if os.access(beside if beside.exists() else _ROOM, os.W_OK):
        return beside
    copy = beside
    with suppress(OSError):
        copy = Path(tempfile.mkdtemp(prefix="ranking-"))
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        for file in [*beside.glob("*.nbi"), *beside.glob("*.nbc")]:
            shutil.copy(file, copy)
    return copy


_FOLDER = _folder()
_STAMP = hashlib.sha256(b"\0".join(source.read_bytes() for source in INLINED)).digest()


class KeptCode(InTreeCacheLocator):
    """Tells the compiler where to look for machine code, and which sources it must have been made from."""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> KeptCode:
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(_FOLDER)

    def get_source_stamp(self) -> bytes:
        return _STAMP


if not any(_FOLDER.glob("*.nbi")):
    logging.getLogger(__name__).warning("compiling the ranking's loops: this takes some seconds, and is done once")
vars(config)["CACHE_LOCATOR_CLASSES"] = f"{__name__}.{KeptCode.__name__}"
# Code for any processor of its kind, so that what the package brings along suits the machine it lands on. Wider
# registers gain nothing here: the loops gather.
vars(config)["CPU_NAME"] = "generic"


def compiled(function: Function) -> Function:
    """The function as machine code; a division by zero is infinite. What it calls must be above it."""
    # Without the folder, so that machine code is the same bytes wherever it is made.
    code = function.__code__
    function.__code__ = code.replace(co_filename=Path(code.co_filename).relative_to(_ROOM.parent).as_posix())
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return")
    signature = tuple(_type_of(hint) for hint in hints.values())
    try:
        return cast(Function, njit(signature, cache=True, error_model="numpy")(function))
    except Exception:  # nowhere to keep it (every disk is full, say), or what was kept is damaged; others come again
        for damaged in _FOLDER.glob(f"*.{function.__qualname__}-*.nb?"):
            with suppress(OSError):
                damaged.unlink()
        return cast(Function, njit(signature, error_model="numpy")(function))


def _type_of(hint: Any) -> Any:
    """The compiler's name for an annotation."""
    notes: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *noted = get_args(hint)
        notes = tuple(noted)
    if hint in (int, float):
        return types.int64 if hint is int else types.float64
    if isinstance(hint, type) and issubclass(hint, np.generic):
        return from_dtype(np.dtype(hint))
    element = get_args(get_args(hint)[1])[0]
    dimensions = next((note for note in notes if isinstance(note, int)), 1)
    layout: Literal["C", "A"] = "C" if dimensions == 1 else "A"
    written = WRITTEN in notes
    return types.Array(from_dtype(np.dtype(element)), dimensions, layout, readonly=not written, aligned=written)
