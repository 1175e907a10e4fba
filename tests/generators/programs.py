"""Runs client generators: each turns a document into a folder of code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.skip_reasons import leave_out

NODE = Path(__file__).parent / "node"
BIN = NODE / "node_modules" / ".bin"
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


class Failed(Exception):
    """A generator or a compiler refused its input; its output says why."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program and return its output. Raises `Failed` with it when the program fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **QUIET})
    if done.returncode:
        raise Failed(done.stdout + done.stderr)
    return done.stdout


def node_program(name: str) -> Path:
    """Return a program of the Node packages; skips the test where Node is missing."""
    if shutil.which("node") is None or not (BIN / name).exists():
        leave_out("clients in TypeScript are not made: `npm --prefix tests/generators/node ci` gets the generators")
    return BIN / name


def node_version(package: str) -> str:
    """Return `name version` of a Node package."""
    found: dict[str, Any] = json.loads((NODE / "node_modules" / package / "package.json").read_text(encoding="utf-8"))
    return f"{package} {found['version']}"


def write(document: dict[str, Any], path: Path) -> Path:
    """Write the document to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def python_client(document: Path, folder: Path) -> None:
    """Generate a package with openapi-python-client."""
    settings = document.parent / "settings.yaml"
    settings.write_text("post_hooks: []\n")  # no formatting: nobody reads the output
    made = run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--config", settings),
        *("--meta", "none", "--output-path", folder, "--fail-on-warning"),
    )
    assert "WARNING" not in made


def typescript_types(document: Path, file: Path) -> None:
    """Generate types with openapi-typescript."""
    run(node_program("openapi-typescript"), document, "-o", file)


def typescript_client(document: Path, folder: Path) -> None:
    """Generate a client with @hey-api/openapi-ts."""
    node_program("openapi-ts")
    run("node", NODE / "generate.js", document, folder)


def compile_typescript(folder: Path) -> None:
    """Compile every file below the folder by the strict rules of `tsconfig.json`."""
    shutil.copyfile(NODE / "tsconfig.json", folder / "tsconfig.json")
    (folder / "package.json").write_text('{"type": "module"}')
    run(node_program("tsc"), "-p", folder)


def lint(*documents: Path) -> str:
    """Lint documents with Redocly. Raises `Failed` for an error."""
    return run(node_program("redocly"), "lint", *documents, "--format=stylish")


def kotlin_and_swift(document: Path, folder: Path) -> str:
    """Generate clients with openapi-generator in both languages, in one Java process; return its version."""
    if shutil.which("java") is None:
        leave_out("clients in Kotlin and Swift are not made: openapi-generator-cli needs Java 11 or newer")
    settings = []
    for name in ("kotlin", "swift6"):
        chosen = {"generatorName": name, "inputSpec": str(document), "outputDir": str(folder / name)}
        settings.append(write(chosen, document.parent / f"{name}.json"))
    program = Path(sys.executable).parent / "openapi-generator-cli"
    run(program, "batch", "--fail-fast", "-r", "2", *settings)
    return f"openapi-generator-cli {version('openapi-generator-cli')}"
