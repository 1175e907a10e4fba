"""Builds the deployment package: the app's own packages and its dependencies, prebuilt and locked by hash.

    python -m infra.package                  build build/package.zip and print its size and SHA-256
    python -m infra.package --lock           write requirements.lock anew from requirements.txt (needs uv)
    python -m infra.package --verify FILE    import it in a new virtual environment; print functions, CPU and memory

An allow-list selects the files, so a new file is not included by accident. The same commit gives the same bytes: the
SHA-256 identifies a package, and a rollback names it.
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import json
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infra.machine_code import add_machine_code
from shared.web.api_reference import SWAGGER_FILES, SWAGGER_UI

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("cms", "commands", "events", "feed", "learning", "media", "privacy", "ranking", "shared", "stories")
"""Folders of the app. Missing ones are ignored."""
FILES = ("function_app.py", "bootstrap.py", "host.json", "requirements.txt")
SITE_PACKAGES = ".python_packages/lib/site-packages"
LOCK = "requirements.lock"
PYTHON = "3.11"
"""Python version of the function app: `pythonVersion` of infra/bicep."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
UNNEEDED_FOLDERS = {"__pycache__", "tests", "test", "bin"}
"""Folders of dependencies that are left out: their tests and console scripts."""
ONLY_FOR_UNUSED_CODE = ("jinja2", "packaging", "pyyaml")
"""Dependencies of Swagger UI's Python code, which is not used; only its files are."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)

LIST_FUNCTIONS = """
import json, os, function_app
cpu = sum(os.times()[:2])
with open("/proc/self/statm") as statm:
    resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
names = sorted(f.get_function_name() for f in function_app.app.get_functions())
print(json.dumps({"functions": names, "cpu_seconds": cpu, "resident_bytes": resident}))
"""


def is_packaged(path: str) -> bool:
    """Whether a file of the repository (path from the root) is part of the package."""
    first, _, rest = path.partition("/")
    return path in FILES or (first in ROOMS and bool(rest) and "__pycache__" not in path and not path.endswith(".pyc"))


def own_files(root: Path) -> list[str]:
    """Return the app's own files that git tracks, so that no other file is shipped."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True)  # noqa: S607
    return sorted(path for path in listed.stdout.split("\0") if path and is_packaged(path))


def build(root: Path, output: Path, python: str = PYTHON) -> str:
    """Write the package to `output`; return its SHA-256 in hex.

    Raises `SystemExit` on a Python version other than the app's: machine code and byte code depend on it.
    """
    if f"{sys.version_info.major}.{sys.version_info.minor}" != python:
        raise SystemExit(
            f"The package is built with Python {python}, the one it runs on: run this with python{python}."
        )
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        for path in own_files(root):
            target = stage / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, target)
        install_dependencies(root / LOCK, stage / SITE_PACKAGES, python)
        add_machine_code(stage)
        compile_ahead(stage)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_zip(stage, output)
    return hashlib.sha256(output.read_bytes()).hexdigest()


def install_dependencies(lock: Path, target: Path, python: str) -> None:
    """Install wheels for the app's platform, whatever machine builds. Each must match its hash in the lock."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-compile"]
    command += ["--requirement", str(lock), "--require-hashes", "--no-deps", "--target", str(target)]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run(command, check=True)  # noqa: S603
    for folder in sorted(target.rglob("*"), reverse=True):
        if folder.is_dir() and folder.name in UNNEEDED_FOLDERS:
            shutil.rmtree(folder)
    for path in (target / SWAGGER_UI).iterdir():
        if path.name not in (*SWAGGER_FILES, "LICENSE"):  # 24 of 25 MB
            path.unlink()


def compile_ahead(stage: Path) -> None:
    """Compile byte code beside each source: the app's disk is read-only, so every start would compile all again."""
    compileall.compile_dir(
        stage,
        quiet=1,
        stripdir=str(stage),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        workers=1,
    )


def write_zip(stage: Path, output: Path) -> None:
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(file for file in stage.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(stage).as_posix(), LONG_AGO)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


class Imported(NamedTuple):
    """Result of importing the package alone, as the host does: CPU of the whole process until then, and its memory."""

    functions: list[str]
    cpu_seconds: float
    resident_bytes: int


def verify(package: Path) -> Imported:
    """Import the package; return its functions, CPU and memory."""
    with tempfile.TemporaryDirectory() as folder:
        app, environment = Path(folder) / "app", Path(folder) / "venv"
        with zipfile.ZipFile(package) as archive:
            archive.extractall(app)
        venv.create(environment, with_pip=False)
        variables = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(app / SITE_PACKAGES)}
        found = subprocess.run(  # noqa: S603
            [environment / "bin" / "python", "-c", LIST_FUNCTIONS],
            cwd=app,
            env=variables,
            check=True,
            capture_output=True,
            text=True,
        )
    return Imported(**json.loads(found.stdout))


def lock(root: Path) -> None:
    """Resolve requirements.txt for the app's platform, with the hash of every file."""
    command = ["uv", "pip", "compile", "requirements.txt", "--generate-hashes", "--no-emit-index-url", "--upgrade"]
    command += ["--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28", "--output-file", LOCK]
    command += ["--custom-compile-command", "python -m infra.package --lock"]
    for name in ONLY_FOR_UNUSED_CODE:
        command += ["--no-emit-package", name]
    subprocess.run(command, cwd=root, check=True)  # noqa: S603


def folders(package: Path) -> Iterator[tuple[str, int, int]]:
    """Yield (folder, number of files, unpacked bytes) of each top-level part."""
    parts: dict[str, list[int]] = {}
    with zipfile.ZipFile(package) as archive:
        for entry in archive.infolist():
            parts.setdefault(entry.filename.partition("/")[0], []).append(entry.file_size)
    yield from ((name, len(sizes), sum(sizes)) for name, sizes in sorted(parts.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "package.zip")
    parser.add_argument("--lock", action="store_true", help="write requirements.lock anew")
    parser.add_argument("--verify", type=Path, metavar="FILE", help="check a package that was built")
    chosen = parser.parse_args()
    if chosen.lock:
        lock(ROOT)
        return 0
    if chosen.verify:
        imported = verify(chosen.verify)
        print("\n".join(imported.functions))
        print(f"import: {imported.cpu_seconds:.2f} s of CPU, {imported.resident_bytes / 1e6:.0f} MB resident")
        return 0
    sha256 = build(ROOT, chosen.output)
    for name, files, size in folders(chosen.output):
        print(f"{name:20} {files:6} files {size / 1e6:8.2f} MB unpacked")
    print(f"{chosen.output}  {chosen.output.stat().st_size / 1e6:.1f} MB")
    print(f"sha256 {sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
