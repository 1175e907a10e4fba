"""Checkov's rules for Azure, with a reviewed list of skips."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "infra" / "checkov.yaml"


def run_checkov(folder: Path, configuration: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(summary, [(check, file)] that failed); one run takes half a minute."""
    own = ROOT / ".venv" / "checkov" / "bin" / "checkov"
    program = os.environ.get("CHECKOV") or (str(own) if own.exists() else shutil.which("checkov"))
    assert program, "checkov is not installed: run `make .venv/.checkov`"
    command = [program, "--directory", str(folder), "--config-file", str(configuration), "--output", "json"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    failed = [(each["check_id"], each["file_path"]) for each in answer["results"]["failed_checks"]]
    return answer["summary"], failed


def test_checkov_finds_nothing_but_the_planted_mistakes_and_every_skip_is_needed(tmp_path: Path):
    text = CONFIGURATION.read_text()
    skips = dict(re.findall(r"^  - (CKV\w+)\s+# (.+)$", text, re.M))
    assert len(skips) == text.count("- CKV"), "each skip needs its reason beside it"
    everything = tmp_path / "everything.yaml"
    everything.write_text(text[: text.index("skip-check:")])
    shutil.copytree(ROOT / "infra" / "bicep", tmp_path / "files" / "real")
    planted = tmp_path / "files" / "planted"
    planted.mkdir()
    vault = (ROOT / "infra" / "bicep" / "modules" / "keyVault.bicep").read_text()
    (planted / "keyVault.bicep").write_text(vault.replace("'Deny'", "'Allow'").replace("'Disabled'", "'Enabled'"))

    summary, failed = run_checkov(tmp_path / "files", everything)

    assert summary["parsing_errors"] == 0  # checkov itself passes over a file it cannot read
    assert summary["resource_count"] > 100
    real = Counter(check for check, file in failed if file.startswith("/real"))
    assert real.keys() == skips.keys()
    assert "CKV_AZURE_109" in {check for check, file in failed if file.startswith("/planted")}
