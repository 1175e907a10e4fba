"""The Studio's code has small modules, passes the TypeScript checker, and holds each text once."""

from __future__ import annotations

import json
from pathlib import Path

from cms.studio.api import FOLDER
from tests.generators.programs import run
from tests.sdk.built import sdk_program

MAX_LINES = 300
OPTIONS = {
    "allowJs": True,
    "checkJs": True,
    "noEmit": True,
    "target": "ES2023",
    "module": "ES2022",
    "moduleResolution": "bundler",
    "lib": ["ES2023", "DOM", "DOM.Iterable"],
    "types": [],
}


def test_studio_code_passes_the_type_checker(tmp_path: Path) -> None:
    compiler = sdk_program("tsc")
    project = tmp_path / "tsconfig.json"
    project.write_text(json.dumps({"compilerOptions": OPTIONS, "include": [f"{FOLDER}/*.js"]}))
    run(compiler, "-p", tmp_path)


def test_no_module_of_the_studio_is_longer_than_300_lines() -> None:
    modules = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in FOLDER.glob("*.js")}
    assert modules
    assert {name: lines for name, lines in modules.items() if lines > MAX_LINES} == {}
