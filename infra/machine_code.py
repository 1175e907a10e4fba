"""Compiles the ranking's loops for the deployment package: `python infra/machine_code.py FOLDER`.

FOLDER has the app's own files. Its `ranking` is imported with numba, and every compiled function is exported to the
extension module `ranking/_loops` by numba's ahead-of-time compiler (numba.pycc: deprecated, so numba is pinned). That
needs a C compiler here, but none on the instances. Code is for the generic processor of the architecture, so the
package runs on any machine. The same source gives the same bytes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any


def add_machine_code(folder: Path) -> None:
    """Run this program for a folder in its own process, as it must import that folder's `ranking` and no other.

    Raises `subprocess.CalledProcessError`; the cause is on standard error.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    fixed = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    subprocess.run([sys.executable, __file__, str(folder)], env=environment | fixed, check=True)  # noqa: S603
    shutil.rmtree(folder / "ranking" / "__pycache__", ignore_errors=True)  # numba's cache files


def build(folder: Path) -> None:
    """Export every compiled function of the folder's `ranking` to its extension module."""
    sys.path[:] = [str(folder), *sys.path[1:]]
    warnings.simplefilter("ignore")
    compiled, just_in_time = import_module("ranking.compiled"), import_module("ranking.just_in_time")
    compiler = import_module("numba.pycc").CC(compiled.PREBUILT.rpartition(".")[2])
    compiler.output_dir = str(folder / "ranking")
    for function, dispatcher in just_in_time.MADE:
        (arguments,) = dispatcher.signatures
        result = dispatcher.overloads[arguments].signature.return_type
        name = compiled.prebuilt_name(function)
        compiler.export(name, result(*arguments))(_calling(dispatcher, name, len(arguments)))
    compiler.compile()


def _calling(dispatcher: Any, name: str, arguments: int) -> Any:
    """Return a function that only calls another: exported code itself would raise for a division by zero."""
    names = ", ".join(f"a{number}" for number in range(arguments))
    space = {"dispatcher": dispatcher}
    exec(f"def {name}({names}):\n    return dispatcher({names})\n", space)  # noqa: S102 - the text is ours
    return space[name]


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve())
