"""Compares the CPU and bus bytes of a batch of 20 events, from request to statistics, with another version.

`python -m benchmarks.write_path REVISION` checks the revision out. Each version is a process with the Azure SDKs and
its own test servers, and they alternate.

- `before` and `after` are medians for one batch. `ratio` is the median of the rounds' ratios, with its 95 % interval
  (bootstrap).
- `no-ops` is `after` divided by the cost of a no-op function called through the local host, measured in the same run.
- `with its calls` adds a no-op for each function call of a batch, as an estimate of the host's worker.
- Bytes are counted by a proxy in front of the broker, in both directions, all of AMQP included.

The revision runs with its own defaults. The working tree writes the newest formats and packs batches (`AFTER`). Test
servers have no network, no TLS and nothing of Azure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import http
from benchmarks.measured import OF_BEFORE, RECORD, record
from benchmarks.served import World, served
from benchmarks.versions import ROOT, Version, checkout, in_turns, ratio, row

PROGRAM = "write_steps.py"
STEPS = ("post", "fold", "rollup")
BILLED = {"post": "accept_cpu_ms", "fold": "fold_cpu_ms", "rollup": "roll_up_cpu_ms"}
"""Figure of the bill by step; its ratio is stored with `--record`."""
BASELINE = "a171ba9"
"""Last version that sent every batch in its own message."""
AFTER = {
    "WRITE_SIGNALS_VERSION": "3",
    "WRITE_RECEIPT_VERSION": "2",
    "WRITE_MESSAGE_VERSION": "2",
}
LEAN = {"MEASURE_LEAN": "1"}
WARM_UP = 200


class Measured:
    """Process of one version, with its test servers."""

    def __init__(self, folder: Path, servers: dict[str, str], control: str, environment: dict[str, str]) -> None:
        self._control = control
        self._version = Version(folder, PROGRAM, {**servers, **environment})
        self.rounds: list[dict[str, float]] = []

    def step(self, name: str, batches: int) -> dict[str, float]:
        """Run a step. Return CPU in µs, bytes on the bus, and messages left on the bus, each per batch."""
        before = self._told("bytes/servicebus")
        (cpu,) = self._version.ask(name, batches)
        return {
            name: cpu,
            f"{name} bytes": (self._told("bytes/servicebus") - before) / batches,
            f"{name} messages": sum(self._told("queues").values()) / batches,
        }

    def _told(self, what: str):  # type: ignore[no-untyped-def]
        with urllib.request.urlopen(f"{self._control}/{what}") as answer:
            return json.load(answer)

    def close(self) -> None:
        """End the process."""
        self._version.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("revision", nargs="?", default=BASELINE, help="what to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(RECORD, action="store_true", help="keep the ratios of CPU in infra/measured.json")
    parser.add_argument("--lean", action="store_true", help="lean-reads and lean-writes on in the working tree")
    parser.add_argument("--batches", type=int, default=2_400, help="of each step in a round")
    chosen = parser.parse_args(sys.argv[2:] if sys.argv[1:2] == ["write_path"] else None)
    no_op = _no_op_us()
    with tempfile.TemporaryDirectory() as folder, _servers() as first, _servers() as second:
        versions = (
            Measured(checkout(chosen.revision, Path(folder) / "before"), *first, {}),
            Measured(ROOT, *second, AFTER | (LEAN if chosen.lean else {})),
        )
        for number in range(-1, chosen.rounds):
            batches = WARM_UP if number < 0 else chosen.batches
            found: tuple[dict[str, float], dict[str, float]] = ({}, {})
            for step in STEPS:
                for which in in_turns(number):
                    found[which].update(versions[which].step(step, batches))
            if number >= 0:
                for version, each in zip(versions, found, strict=True):
                    version.rounds.append(each | _sums(each, no_op))
        for version in versions:
            version.close()
    command = f"python -m benchmarks.write_path {chosen.revision}{' --lean' if chosen.lean else ''}"
    _print(chosen.revision, command, versions[0].rounds, versions[1].rounds, no_op)


def _sums(each: dict[str, float], no_op: float) -> dict[str, float]:
    """Compute the sums of a round's figures. Calls of a batch: its request, and its share of a call of the fold."""
    cpu = sum(each[name] for name in STEPS)
    calls = 1 + each["post messages"]
    return {
        "together": cpu,
        "with its calls": cpu + calls * no_op,
        "bus bytes": sum(each[f"{name} bytes"] for name in STEPS),
        "executions": 1 + calls,
    }


def _print(
    revision: str, command: str, before: list[dict[str, float]], after: list[dict[str, float]], no_op: float
) -> None:
    print(f"\n{revision} before and the working tree after, {len(before)} rounds, for one batch of 20 events")
    print(f"{'CPU µs':24}{'before':>10}{'after':>10}{'ratio':>8}   95 % interval       no-ops")
    for name in (*STEPS, "together", "with its calls"):
        first, second = ([each[name] for each in rounds] for rounds in (before, after))
        print(f"{row(name, first, second):66}{statistics.median(second) / no_op:6.1f}")
        if name in BILLED:
            record(BILLED[name], ratio(first, second)[0], OF_BEFORE, f"{command}, {name}")
    print(f"{'a no-op function':24}{no_op:10.0f}{no_op:10.0f}{1:8.3f}{1:27.1f}")
    print(f"{'bytes on the bus':24}{'before':>10}{'after':>10}{'ratio':>8}")
    for name in (*(f"{step} bytes" for step in STEPS), "bus bytes"):
        print(row(name, [each[name] for each in before], [each[name] for each in after]))
    for name, says in (("post messages", "messages to the fold"), ("fold messages", "messages to the roll-up")):
        _small(says, [each[name] for each in before], [each[name] for each in after])
    _small("executions with a feed", [each["executions"] for each in before], [each["executions"] for each in after])


def _small(name: str, before: list[float], after: list[float]) -> None:
    first, second = statistics.median(before), statistics.median(after)
    print(f"{name:24}{first:10.2f}{second:10.2f}{ratio(before, after)[0]:8.3f}")


def _no_op_us() -> float:
    """Return the CPU of a no-op function called through the local host, 16 in flight."""
    world = World(videos=40, users=1)
    with served(world, http.UNBOUND) as server:
        rows = asyncio.run(http._measured(server, {http.NO_OP: http._noop}))
    return next(each.cpu_ms for each in rows if each.in_flight == 16) * 1000


@contextmanager
def _servers() -> Iterator[tuple[dict[str, str], str]]:
    """Start test servers. Yield their settings as an environment, and the address of their control."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators", "--json", "--gated"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        if not (line := program.stdout.readline()):
            sys.exit("The test servers did not start: `make test` says what they need.")
        told = json.loads(line)
        yield told["settings"], told["control"]
    finally:
        program.terminate()
        program.wait(20)


if __name__ == "__main__":
    main()
