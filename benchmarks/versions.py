"""Measures two versions of the project in one run.

Each version is a process in its own checkout. They alternate, so other load on the machine affects both.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
DRAWS = 4_000


class Version:
    """Process that measures one version: `program` runs in its folder (`python -c`), so it imports from there.

    The program prints `ready`, then answers each line it reads with a line of numbers.
    """

    def __init__(self, folder: Path, program: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", (ROOT / "benchmarks" / program).read_text("utf-8")],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._program = program
        self._line(lambda text: text == "ready")

    def ask(self, name: str, times: int) -> list[float]:
        """Return the measurements of `times` operations of that name."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} {times}\n")
        self._process.stdin.flush()
        return [float(part) for part in self._line(_has_numbers).split()]

    def _line(self, wanted: Callable[[str], bool]) -> str:
        """Return the next line that is an answer; the app's log lines are skipped."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if wanted(line.strip()):
                return line.strip()
        sys.exit(f"One of the two versions stopped. benchmarks/{self._program}, run in its folder, says why.")

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def _has_numbers(text: str) -> bool:
    try:
        return bool([float(part) for part in text.split()])
    except ValueError:
        return False


def checkout(revision: str, folder: Path) -> Path:
    """Check out a revision of the project into a folder; return its path."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "checkout", "--quiet", revision], cwd=folder, check=True)
    return folder


def in_turns(number: int) -> tuple[int, int]:
    """Return the order of the versions in a round; it alternates."""
    return (0, 1) if number % 2 else (1, 0)


def ratio(before: Iterable[float], after: Iterable[float]) -> tuple[float, float, float]:
    """Return the median of the rounds' ratios, and its 95 % interval (bootstrap)."""
    ratios = [one / other for other, one in zip(before, after, strict=True)]
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    return statistics.median(ratios), medians[int(DRAWS * 0.025)], medians[int(DRAWS * 0.975)]


def row(name: str, before: Sequence[float], after: Sequence[float]) -> str:
    """Format a line of a table: medians, ratio and interval."""
    middle, low, high = ratio(before, after)
    first, second = statistics.median(before), statistics.median(after)
    return f"{name:24}{first:10.0f}{second:10.0f}{middle:8.3f}   {low:.3f} … {high:.3f}"
