"""Checkov's rules for Azure, with a reviewed list of skips."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from tests.infra.compiler import Compiled
from tests.infra.snapshot import templates

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "infra" / "checkov.yaml"


def run_checkov(folder: Path, configuration: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return (summary, failed (check, file) pairs); one run takes half a minute."""
    own = ROOT / ".venv" / "checkov" / "bin" / "checkov"
    program = os.environ.get("CHECKOV") or (str(own) if own.exists() else shutil.which("checkov"))
    assert program, "checkov is not installed: run `make .venv/.checkov`"
    command = [program, "--directory", str(folder), "--config-file", str(configuration), "--output", "json"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    failed = [(each["check_id"], each["file_path"]) for each in answer["results"]["failed_checks"]]
    return answer["summary"], failed


def test_checkov_finds_only_planted_mistakes_and_every_skip_is_needed(tmp_path: Path, compiled: Compiled):
    text = CONFIGURATION.read_text()
    skips = dict(re.findall(r"^  - (CKV\w+)\s+# (.+)$", text, re.M))
    assert len(skips) == text.count("- CKV"), "each skip needs its reason beside it"
    everything = tmp_path / "everything.yaml"
    everything.write_text(text[: text.index("skip-check:")])
    for name, template in compiled.templates.items():
        for file, inner in templates(template, name):
            write(tmp_path / "files" / "real" / f"{name}.{file}.json", plain(inner))
            if file == "app-vault":
                opened = json.dumps(plain(inner)).replace('"Deny"', '"Allow"').replace('"Disabled"', '"Enabled"')
                write(tmp_path / "files" / "planted" / "vault.json", json.loads(opened))

    summary, failed = run_checkov(tmp_path / "files", everything)

    assert summary["parsing_errors"] == 0  # checkov silently skips a file it cannot read
    assert summary["resource_count"] > 90
    real = Counter(check for check, file in failed if file.startswith("/real"))
    assert real.keys() == skips.keys()
    assert "CKV_AZURE_109" in {check for check, file in failed if file.startswith("/planted")}


def plain(template: dict[str, Any]) -> dict[str, Any]:
    """Return a template in the older form, the only one Checkov reads: a list of resources only."""
    resources = template["resources"]
    listed = resources.values() if isinstance(resources, dict) else resources
    made = [each for each in listed if not each.get("existing") and each["type"] != "Microsoft.Resources/deployments"]
    return {**{k: v for k, v in template.items() if k not in ("languageVersion", "definitions")}, "resources": made}


def write(path: Path, template: dict[str, Any]) -> None:
    """Write a template as a separate file, unless it has no resources."""
    if template["resources"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(template, indent=1))
