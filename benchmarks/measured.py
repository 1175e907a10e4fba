"""Stores a benchmark's figures for the bill in `infra/measured.json`, when it runs with `--record`.

Without that option a run changes nothing, so that figures of a busy machine are not committed by accident. Names are
those of `infra/capacity.json` if the bill has the figure before. A CPU figure that the product changed is stored as its
ratio to the previous version (`OF_BEFORE`), measured in pairs in one run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.results import RECORD, today
from infra.figures import MEASURED, OF_BEFORE

__all__ = ["OF_BEFORE", "RECORD", "record"]


def record(name: str, value: float, unit: str, source: str, path: Path = MEASURED) -> None:
    """Merge one figure into the file. `source`: the command that measured it, and notes for readers."""
    if RECORD not in sys.argv:
        return
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[name] = {"value": float(f"{value:.4g}"), "unit": unit, "source": source, "date": today()}
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
