"""Runs the fault-injection test in its small form; `make chaos` is the large one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.served_app import ROOT


def test_accepted_events_count_once_through_kills_freezes_cuts_and_outages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--small", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No difference" in done.stdout
