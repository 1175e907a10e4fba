"""The machine-code cache of a checkout: loaded at start, rebuilt when a source changes or a file is damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ranking.lookup import value_of_each

ROOT = Path(__file__).resolve().parents[2]
FULL_DISK = """
import errno
from numba.core import caching
def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")
caching.IndexDataCacheFile.save = full
"""
RANK_ONE = """
import numpy as np
from ranking import CatalogStats, RankingOptions, VideoColumns, global_model, rank
from shared.domain.records import Video
columns = VideoColumns([Video("a", "title", "url", "category")])
stats, options = CatalogStats(columns), RankingOptions(1.0)
print("ranked", rank(columns, stats, None, columns.rows(), global_model(), options).rows.tolist())
"""


def checkout(folder: Path) -> Path:
    """Copy the ranking package and its dependencies, without machine code."""
    for room in ("ranking", "shared"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def start(folder: Path, before: str = "") -> str:
    """Rank in a fresh process; returns the compiler's messages about its cache."""
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "0", "NUMBA_DEBUG_CACHE": "1", "PYTHONPATH": str(folder)}
    found = subprocess.run(
        [sys.executable, "-c", before + RANK_ONE], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert "ranked [0]" in found.stdout, found.stderr
    return found.stdout + found.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that was started before."""
    folder = checkout(tmp_path_factory.mktemp("one"))
    start(folder)
    return folder


def test_a_second_start_loads_the_machine_code_and_compiles_nothing(made: Path) -> None:
    log = start(made)
    assert "data loaded" in log
    assert "data saved" not in log
    assert "compiling" not in log


def test_start_without_machine_code_or_disk_space_still_ranks(tmp_path: Path) -> None:
    assert "compiling the ranking's loops" in start(checkout(tmp_path), FULL_DISK)
    assert not list(tmp_path.rglob("*.nbc"))


@pytest.mark.parametrize("kept", [0, 20])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_machine_code_is_discarded_and_rebuilt(kind: str, kept: int, made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "damaged")
    for file in (folder / "ranking" / "__pycache__").glob(f"terms._add_scaled-*.{kind}"):
        file.write_bytes(file.read_bytes()[:kept])
    start(folder)
    assert "_add_scaled" in "".join(line for line in start(folder).splitlines() if "saved" in line)
    assert "saved" not in start(folder)


def test_a_changed_source_is_recompiled_wherever_its_constants_are_used(made: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(made, tmp_path / "changed")
    constants = changed / "shared" / "domain" / "user_signals.py"
    constants.write_text(constants.read_text().replace("MAX_SEEN = 920", "MAX_SEEN = 921"))
    log = start(changed)
    assert "data saved" in log
    assert "data loaded" not in log


def test_compiled_code_is_tested_with_every_index_checked() -> None:
    with pytest.raises(IndexError):
        value_of_each(np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.zeros(0, np.int64), -1)


def test_compiled_code_accepts_only_arrays_of_its_declared_types() -> None:
    keys = np.array([7], np.uint32)
    assert value_of_each(keys, keys, np.array([3]), -1).tolist() == [3]
    with pytest.raises(TypeError):
        value_of_each(keys.astype(np.int64), keys, np.array([3]), -1)
