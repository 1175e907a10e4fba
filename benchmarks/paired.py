"""Compares the CPU of the feed path and the events path with another version of the project, in pairs in one run.

`python -m benchmarks.paired REVISION` checks the revision out and starts one process for each version
(`benchmarks.paths`). They alternate step by step, so other load on the machine affects both. `before` and `after` are
medians in µs of CPU for one operation. `ratio` is the median of all rounds' ratios, with its 95 % interval (bootstrap).

    feed            reads the user's signals from the store
    kept            has the signals in memory
    newcomer        a user without signals
    …_gzip          the client accepts gzip
    switched_off    a page while the kill switch is pulled
    events path     a batch's request, its fold and its part of the roll-up, summed per round

With `--machine-code` both processes run the revision, and `after` uses the package's machine code of the ranking's
loops, compiled ahead of time. `--record` stores the ratio of `feed` for the bill (`infra/measured.json`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measured import OF_BEFORE, RECORD, record
from benchmarks.versions import ROOT, Version, checkout, in_turns, ratio, row
from infra.machine_code import add_machine_code

PROGRAM = "paths.py"
OPERATIONS = {
    "feed": 30,
    "kept": 30,
    "kept_gzip": 30,
    "newcomer": 100,
    "newcomer_gzip": 100,
    "switched_off": 100,
    "post": 30,
    "fold": 30,
    "rollup": 60,
}
"""Number of timed operations of each kind in one round."""
EVENTS_PATH = ("post", "fold", "rollup")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("revision", help="what to compare with: a commit, a tag or a branch")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", nargs="+", choices=OPERATIONS, default=list(OPERATIONS), help="leave the others out")
    parser.add_argument("--machine-code", action="store_true", help="compare it with itself as it is packaged")
    parser.add_argument(RECORD, action="store_true", help="keep the ratio of a feed in infra/measured.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before, after = checkout(chosen.revision, Path(folder) / "before"), ROOT
        if chosen.machine_code:
            after = checkout(chosen.revision, Path(folder) / "after")
            add_machine_code(after)
        versions = Version(before, PROGRAM), Version(after, PROGRAM)
        rounds = [_round(versions, number, chosen.only) for number in range(chosen.rounds)]
        for version in versions:
            version.close()
    then = "its packaged machine code" if chosen.machine_code else "the working tree"
    print(f"\n{chosen.revision} before and {then} after, CPU µs, {chosen.rounds} rounds")
    print(f"{'':24}{'before':>10}{'after':>10}{'ratio':>8}   95 % interval")
    for name in chosen.only:
        costs = [each[0][name] for each in rounds], [each[1][name] for each in rounds]
        print(row(name, *costs))
        if name == "feed" and not chosen.machine_code:
            source = f"python -m benchmarks.paired {chosen.revision}, feed"
            record("feed_handler_cpu_ms", ratio(*costs)[0], OF_BEFORE, source)
    if set(EVENTS_PATH) <= set(chosen.only):
        print(row("events path", [_path(each[0]) for each in rounds], [_path(each[1]) for each in rounds]))


def _round(
    versions: tuple[Version, Version], number: int, names: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure every operation in both versions; the version that goes first alternates between rounds."""
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for name in names:
        for which in in_turns(number):
            (found[which][name],) = versions[which].ask(name, OPERATIONS[name])
    return found


def _path(costs: dict[str, float]) -> float:
    return sum(costs[name] for name in EVENTS_PATH)


if __name__ == "__main__":
    main()
