"""`python -m tests.sdk.built` writes the generated files of the TypeScript SDK; a test compares them.

Generated are `src/api-types.ts`, from the API document for apps, and `dist/`, from `src/`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import function_app
from tests.generators.programs import run, write
from tests.skip_reasons import leave_out

SDK = Path(__file__).resolve().parents[2] / "sdk" / "typescript"
BIN = SDK / "node_modules" / ".bin"
TYPES = "src/api-types.ts"


def sdk_program(name: str) -> Path:
    """Return a program of the SDK's Node packages; skips the test where Node is missing."""
    if shutil.which("node") is None or not (BIN / name).exists():
        leave_out("the TypeScript SDK is not tested: `npm --prefix sdk/typescript ci` gets what it is built with")
    return BIN / name


def make_types(file: Path) -> None:
    """Generate the types of the app's API document."""
    with tempfile.TemporaryDirectory() as folder:
        document = write(function_app.api.sdk_document, Path(folder) / "document.json")
        run(sdk_program("openapi-typescript"), document, "-o", file)


def make_built(folder: Path) -> None:
    """Build the file and its declarations."""
    sdk_program("esbuild")
    run("node", SDK / "build.js", folder)


def files_below(folder: Path) -> dict[str, str]:
    """Return the text of each file by its path from the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def main() -> None:
    """Write both."""
    make_types(SDK / TYPES)
    shutil.rmtree(SDK / "dist", ignore_errors=True)
    make_built(SDK / "dist")
    print(f"written: {SDK / TYPES}, {SDK / 'dist'}", file=sys.stderr)


if __name__ == "__main__":
    main()
