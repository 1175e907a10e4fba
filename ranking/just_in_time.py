"""Compiles the ranking's loops when they are imported: numba.njit, signatures from the annotations, cached on disk.

Used in checkouts only: the deployment package has no compiler (`infra/machine_code.py` compiles when it is built).
Every signature is explicit, so functions are compiled, or loaded from disk, at import and never within a request.
Indices are checked only in tests (`NUMBA_BOUNDSCHECK=1`).
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from numba import config, from_dtype, njit, types
from numba.core.caching import InTreeCacheLocator

from ranking.array_types import WRITTEN

_PACKAGE = Path(__file__).parent
INLINED = (*sorted(_PACKAGE.glob("*.py")), _PACKAGE.parent / "shared" / "domain" / "user_signals.py")
"""Sources that compiled functions take constants and helpers from; a change in any of them discards the cache."""


def _folder() -> Path:
    """Return the folder of the machine-code cache, beside the byte code."""
    beside = _PACKAGE / "__pycache__"
    return beside / "checked" if vars(config)["BOUNDSCHECK"] else beside  # "checked": with index checks, for tests


_FOLDER = _folder()
_STAMP = hashlib.sha256(b"\0".join(source.read_bytes() for source in INLINED)).digest()


class CacheLocator(InTreeCacheLocator):
    """Tells numba the folder of the machine-code cache and the stamp of the sources it must match."""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> CacheLocator:
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(_FOLDER)

    def get_source_stamp(self) -> bytes:
        return _STAMP


if not any(_FOLDER.glob("*.nbi")):
    logging.getLogger(__name__).warning("compiling the ranking's loops: this takes some seconds, and is done once")
vars(config)["CACHE_LOCATOR_CLASSES"] = f"{__name__}.{CacheLocator.__name__}"
# Code for the generic processor of the architecture, so the shipped package runs on any machine. Wider registers gain
# nothing here: the loops are gathers.
vars(config)["CPU_NAME"] = "generic"


MADE: list[tuple[Any, Any]] = []
"""Every compiled function in order, as Python function and as dispatcher. The package is built from these."""


def just_in_time(function: Any) -> Any:
    """Compile a function to machine code. Division by zero gives infinity. Functions it calls must be defined above
    it."""
    # A relative file name makes the machine code the same bytes in every folder.
    code = function.__code__
    function.__code__ = code.replace(co_filename=Path(code.co_filename).relative_to(_PACKAGE.parent).as_posix())
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return")
    signature = tuple(_type_of(hint) for hint in hints.values())
    try:
        dispatcher = njit(signature, cache=True, error_model="numpy")(function)
    except Exception:  # no space for the cache, or a damaged cache file; other errors occur again below
        for damaged in _FOLDER.glob(f"*.{function.__qualname__}-*.nb?"):
            with suppress(OSError):
                damaged.unlink()
        dispatcher = njit(signature, error_model="numpy")(function)
    MADE.append((function, dispatcher))
    return dispatcher


def _type_of(hint: Any) -> Any:
    """Translate an annotation to a numba type."""
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
