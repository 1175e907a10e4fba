"""`python -m tests.e2e.shifted_clock FILE MODULE …` runs a module with its wall clock shifted by the seconds in FILE.

FILE is read several times a second, so the clock can be changed while the module runs. Monotonic clocks are not
shifted, as when somebody sets a machine's clock.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
import threading
import time
from pathlib import Path

LOOK_EVERY_SECONDS = 0.1


def shift(file: Path) -> None:
    """Shift `time.time` and `time.time_ns` by the seconds in the file; by none while the file is missing."""
    true_time, true_time_ns = time.time, time.time_ns
    off = 0.0

    def follow() -> None:
        nonlocal off
        while True:
            with contextlib.suppress(FileNotFoundError, ValueError):
                off = float(file.read_text() or 0.0)
            time.sleep(LOOK_EVERY_SECONDS)

    time.time = lambda: true_time() + off
    time.time_ns = lambda: true_time_ns() + int(off * 1e9)
    threading.Thread(target=follow, name="shifted clock", daemon=True).start()


if __name__ == "__main__":
    shift(Path(sys.argv[1]))
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
