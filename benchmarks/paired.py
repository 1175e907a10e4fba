"""The feed path and the events path against another version of the project, paired in one run.

`python -m benchmarks.paired REVISION` checks the revision out and starts one process for each version
(`benchmarks.paths`). They take turns, step by step, so whatever else the machine does hits both. Read it so: `before`
and `after` are medians, in µs of CPU for one operation; `ratio` is the median of the ratios of all rounds, and behind
it stands its interval of 95 % (bootstrap). `events path` adds up a batch's request, its fold and its part of the
roll-up, round by round. With `--machine-code` both are the revision, and `after` has the ranking's loops as the package
brings them, made ahead of time, instead of just in time.

`--record` keeps the four ratios for the bill (`infra/measured.json`).
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measured import OF_BEFORE, RECORD, record
from infra.machine_code import add_machine_code

ROOT = Path(__file__).parent.parent
OPERATIONS = {"feed": 30, "post": 30, "fold": 30, "rollup": 60}
"""How many of each are timed in one round."""
EVENTS_PATH = ("post", "fold", "rollup")
BILLED = {"feed": "feed_handler_cpu_ms", "post": "accept_cpu_ms", "fold": "fold_cpu_ms", "rollup": "roll_up_cpu_ms"}
"""Operation → the figure of the bill whose ratio it is."""
DRAWS = 4_000


class Version:
    """A process that measures one version."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", (ROOT / "benchmarks/paths.py").read_text("utf-8")],  # imports from its folder
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer("ready")

    def ask(self, name: str, times: int) -> float:
        """The CPU time of one operation in µs."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} {times}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self, expected: str = "") -> str:
        """The next line that answers; the app writes its log between them."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.strip()
            if text == expected or (not expected and text.replace(".", "", 1).isdigit()):
                return text
        sys.exit("One of the two versions stopped. `python -m benchmarks.paths` in its folder says why.")

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("revision", help="what to compare with: a commit, a tag or a branch")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--machine-code", action="store_true", help="compare it with itself as it is packaged")
    parser.add_argument(RECORD, action="store_true", help="keep the ratios in infra/measured.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before, after = _checkout(chosen.revision, Path(folder) / "before"), ROOT
        if chosen.machine_code:
            after = _checkout(chosen.revision, Path(folder) / "after")
            add_machine_code(after)
        versions = Version(before), Version(after)
        rounds = [_round(versions, number) for number in range(chosen.rounds)]
        for version in versions:
            version.close()
    then = "its packaged machine code" if chosen.machine_code else "the working tree"
    print(f"\n{chosen.revision} before and {then} after, CPU µs, {chosen.rounds} rounds")
    print(f"{'':14}{'before':>9}{'after':>9}{'ratio':>8}   95 % interval")
    for name in OPERATIONS:
        ratio = _row(name, [(each[0][name], each[1][name]) for each in rounds])
        if not chosen.machine_code:
            record(BILLED[name], ratio, OF_BEFORE, f"python -m benchmarks.paired {chosen.revision}, {name}")
    _row("events path", [(_path(each[0]), _path(each[1])) for each in rounds])


def _checkout(revision: str, folder: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "checkout", "--quiet", revision], cwd=folder, check=True)
    return folder


def _round(versions: tuple[Version, Version], number: int) -> tuple[dict[str, float], dict[str, float]]:
    """What every operation costs in both versions; every other round begins with the other one."""
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for name, times in OPERATIONS.items():
        for which in (0, 1) if number % 2 else (1, 0):
            found[which][name] = versions[which].ask(name, times)
    return found


def _path(costs: dict[str, float]) -> float:
    return sum(costs[name] for name in EVENTS_PATH)


def _row(name: str, pairs: list[tuple[float, float]]) -> float:
    """Print it; its ratio."""
    ratios = [after / before for before, after in pairs]
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    low, high = medians[int(DRAWS * 0.025)], medians[int(DRAWS * 0.975)]
    before, after = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:14}{before:9.0f}{after:9.0f}{statistics.median(ratios):8.3f}   {low:.3f} … {high:.3f}")
    return statistics.median(ratios)


if __name__ == "__main__":
    main()
