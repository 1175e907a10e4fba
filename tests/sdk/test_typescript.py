"""The committed TypeScript SDK is built from its source, is small, and passes its tests."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from shared.domain.event_types import EVENT_TYPES
from tests.generators.programs import Failed, run
from tests.sdk.built import SDK, TYPES, files_below, make_built, make_types, sdk_program

Record = Callable[[str, object], None]
BUILT = SDK / "dist" / "video-feed.js"
MAX_BYTES = 8_000
"""Gzipped size, as an app downloads it."""
WRITE = "write it anew: python -m tests.sdk.built"


def test_types_equal_those_of_the_api_document(tmp_path: Path) -> None:
    make_types(tmp_path / "types.ts")
    assert (tmp_path / "types.ts").read_text() == (SDK / TYPES).read_text(), WRITE


def test_built_file_and_declarations_match_the_source(tmp_path: Path) -> None:
    make_built(tmp_path)
    assert files_below(tmp_path) == files_below(SDK / "dist"), WRITE


def test_built_file_is_small_and_has_no_dependency(record_property: Record) -> None:
    built = BUILT.read_bytes()
    size = len(gzip.compress(built, 9))
    record_property("tested with", f"sdk/typescript: {len(built):,} bytes, {size:,} gzipped (at most {MAX_BYTES:,})")
    assert size <= MAX_BYTES
    assert b"import" not in re.sub(rb'"[^"]*"', b"", built)
    assert "dependencies" not in json.loads((SDK / "package.json").read_text())


def test_sdk_reports_every_event_type() -> None:
    built = BUILT.read_text()
    assert [name for name in EVENT_TYPES if f'"{name}"' not in built] == []


def test_source_and_tests_are_strict_typescript() -> None:
    compiler = sdk_program("tsc")
    run(compiler, "-p", SDK)
    run(compiler, "-p", SDK / "tests")


def test_sdk_passes_its_tests_against_the_real_service(record_property: Record) -> None:
    vitest = sdk_program("vitest")
    os.environ.setdefault("PYTHON", sys.executable)
    try:
        printed = run(vitest, "run", "--no-color", cwd=SDK)
    except Failed as failed:
        raise AssertionError(str(failed)) from None
    passed = re.search(r"Tests +(\d+) passed", printed)
    assert passed, printed
    installed = json.loads((SDK / "node_modules" / "vitest" / "package.json").read_text())["version"]
    record_property("tested with", f"vitest {installed}: {passed[1]} promises of sdk/typescript")
