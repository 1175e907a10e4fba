"""Prints the path of a Python 3.13, which the official worker library needs, or nothing if there is none.

Checks `PYTHON313`, `python3.13` on the path, and pyenv's versions. A shim can exist and fail, so each is asked for its
version. Run by make and by the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def candidates() -> Iterator[str]:
    """Yield programs that may be a Python 3.13, an explicitly named one first."""
    named = os.environ.get("PYTHON313")
    if named:
        yield named
        return
    found = shutil.which("python3.13")
    if found:
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from (str(each) for each in sorted(pyenv.glob("versions/3.13*/bin/python"), reverse=True))


def python313() -> str | None:
    """Return the first candidate that reports 3.13, or None."""
    for program in candidates():
        try:
            said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
        except OSError:
            continue
        if said.returncode == 0 and said.stdout.startswith("Python 3.13."):
            return program
    return None


if __name__ == "__main__":
    print(python313() or "")
