"""Tunes the memory of the process: one heap for all threads, and a garbage collector that skips permanent objects.

The imports leave about 175,000 objects that never become garbage; a full collection of them stops the process for
0.1 s. Catalogs are columns and bytes, which the collector does not visit.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

M_ARENA_MAX = -8
"""Constant of glibc's malloc.h."""
THRESHOLDS = (5_000, 20, 20)
"""New objects before a collection of the youngest generation, which then takes about 5 ms; collections of a generation
before one of the next. Python's defaults, 700, 10 and 10, cost a fold 10 % more CPU."""


def use_one_heap() -> None:
    """Limit glibc's allocator to one arena for all threads. With one arena each, memory freed by one thread is of no
    use to the others.

    The variable `MALLOC_ARENA_MAX` is read when a process starts, which on the platform is before it gets its settings.
    If the C library does not know this option, nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def pause_collection() -> None:
    """Stop collecting garbage, before the imports: they make none, and looking for it takes a tenth of their time."""
    gc.disable()


def resume_collection() -> None:
    """Collect garbage again, after the imports, but skip all objects that exist now."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
