"""zizmor finds nothing of medium severity or more in the workflows; each exception has a reason."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.skip_reasons import leave_out

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github"


def audit(folder: Path) -> list[tuple[str, str]]:
    """Return (audit, file) of every finding of medium severity or more."""
    own = Path(sys.executable).with_name("zizmor")
    program = str(own) if own.exists() else shutil.which("zizmor")
    if program is None:
        leave_out("workflows are not audited: `pip install -r requirements-dev.txt` gets zizmor")
    command = [program, "--offline", "--no-exit-codes", "--min-severity", "medium", "--format", "json-v1", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [
        (each["ident"], json.dumps(each["locations"][0]["symbolic"]["key"])) for each in found if not each["ignored"]
    ]


def test_the_workflows_have_no_finding_of_medium_severity_or_more():
    assert audit(WORKFLOWS) == []


def test_every_exception_has_its_reason():
    texts = [path.read_text() for path in WORKFLOWS.rglob("*.yml")]
    ignored = [each for text in texts for each in re.findall(r"zizmor: ignore\[[\w-]+\](.*)", text)]
    assert all(len(reason.split()) > 3 for reason in ignored)
    assert len(ignored) == 2


def test_planted_mistakes_are_found(tmp_path: Path):
    planted = tmp_path / ".github" / "workflows"
    planted.mkdir(parents=True)
    text = (WORKFLOWS / "workflows" / "deploy.yml").read_text()
    text = text.replace("run: |", "run: |\n          echo ${{ github.event.issue.title }}", 1)
    (planted / "deploy.yml").write_text(re.sub(r"@[0-9a-f]{40} #", "@v2 #", text))
    assert {"template-injection", "unpinned-uses"} <= {name for name, _ in audit(tmp_path)}
