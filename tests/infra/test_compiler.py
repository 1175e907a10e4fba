"""The official compiler reports nothing about the Bicep files, and finds planted mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.infra import compiler
from tests.infra.compiler import BICEP, Compiled, Compiler


def test_every_file_compiles_without_error_or_warning(record_property: Callable[[str, object], None]):
    compiled = compiler.compiled()
    assert compiled.findings == []
    record_property("tested with", f"Bicep compiler {compiled.version}")


def test_every_file_is_in_the_standard_format(compiled: Compiled):
    assert compiled.unformatted == [], "run: bicep format"


def test_both_environments_resolve_without_diagnostics(compiled: Compiled):
    for environment in ("dev", "prod"):
        made = compiled.snapshots[environment]["predictedResources"]
        assert len(made) > 100
        assert compiled.snapshots[environment]["diagnostics"] == []
        assert set(compiled.parameters[environment]) <= set(compiled.templates["main.bicep"]["parameters"])


def test_compiler_treats_warnings_as_errors():
    rules = json.loads((BICEP / "bicepconfig.json").read_text())["analyzers"]["core"]["rules"]
    assert {rule["level"] for rule in rules.values()} == {"error"}


PLANTED = {
    "a property that does not exist": ("enableSoftDelete: true", "enableSoftDeletion: true", "BCP089"),
    "a value that the property cannot have": ("InDays: recoveryDays", "InDays: '90'", "BCP036"),
    "a parameter that nothing uses": ("output vaultId", "param idle string\n\noutput vaultId", "no-unused-params"),
    "an open brace": ("sku: {", "sku: ", "BCP"),
    "a region by name": ("location: location", "location: 'westeurope'", "no-hardcoded-location"),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Compiler]:
    with Compiler(compiler.program()) as started:
        yield started


@pytest.mark.parametrize(("right", "wrong", "code"), PLANTED.values(), ids=PLANTED.keys())
def test_compiler_finds_a_planted_mistake(running: Compiler, tmp_path: Path, right: str, wrong: str, code: str):
    vault = (BICEP / "modules" / "keyVault.bicep").read_text()
    assert right in vault, "the mistake no longer fits the file: plant it anew"
    (tmp_path / "bicepconfig.json").write_text((BICEP / "bicepconfig.json").read_text())
    (tmp_path / "types.bicep").write_text((BICEP / "types.bicep").read_text())
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "planted.bicep").write_text(vault.replace(right, wrong, 1))
    (tmp_path / "main.bicep").write_text(
        "module vault 'modules/planted.bicep' = {\n  params: {\n    location: 'westeurope'\n    tags: {}\n"
        "    vaultName: 'vault'\n    recoveryDays: 7\n    recover: false\n  }\n}\n"
    )

    found = running.findings(running.ask("compile", tmp_path / "main.bicep"))

    assert any(re.match(rf"planted\.bicep:\d+ {code}", line) for line in found), found


def test_compiler_finds_a_wrong_parameter(running: Compiler, tmp_path: Path):
    (tmp_path / "main.bicep").write_text("@minValue(1)\nparam units int\n")
    (tmp_path / "planted.bicepparam").write_text("using 'main.bicep'\n\nparam units = 0\nparam unit = 1\n")
    found = running.findings(running.ask("compileParams", tmp_path / "planted.bicepparam", parameterOverrides={}))
    assert {"planted.bicepparam:3 BCP328", "planted.bicepparam:4 BCP259"} <= {line[:27] for line in found}


def test_unformatted_file_is_found(running: Compiler, tmp_path: Path):
    (tmp_path / "planted.bicep").write_text("param  a   string\noutput b string=a\n")
    assert running.unformatted(tmp_path) == ["planted.bicep"]


def test_pipeline_fails_without_a_compiler(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiler, "find", lambda: None)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="az bicep install --version v"):
        compiler.program()
    monkeypatch.delenv("CI")
    monkeypatch.delenv("LEAVE_NOTHING_OUT", raising=False)
    with pytest.raises(pytest.skip.Exception, match="the Bicep compiler is not here"):
        compiler.program()


def test_workflows_use_the_compiler_version_of_the_tests(compiled: Compiled):
    assert compiler.PINNED is not None
    assert f"v{compiled.version}" == compiler.PINNED[1], "another version than the pipeline's has other findings"
