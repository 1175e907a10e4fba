"""`make prove-firewall` tests what the deployed firewall rules allow and refuse.

A ModSecurity with the public Core Rule Set at the gateway's paranoia level runs in front of the local host. Disabled
rules, log-only rules, exclusions and the policy of each path are read from the snapshot of production.

Requests that must pass: every documented request, every call of the Studio, files of each kind, titles and stories with
ordinary punctuation, and receipts, cursors and ids of random content in both versions. Attacks must all be refused. Not
tested: limits per address, and the rules that Microsoft adds to the public set.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.docs.pages import ROOT
from tests.firewall import opaque, passing, refusing, social
from tests.firewall.guarded import STRICT, UNREAD, Guarded, Tally, deployed, guarded
from tests.firewall.server import how_to_get_them, missing_packages, version
from tests.infra import compiler

STUDIO = "tests/firewall/studio.py"
SHOWN = 5


async def prove(titles: int, batches: int, seed: int) -> bool:
    """Print a table of everything; return whether all of it is as promised."""
    draw = random.Random(seed)
    firewall = deployed()
    print(f"OWASP Core Rule Set {version()} at paranoia level 2, policies of production, seed {seed}")
    for policy in firewall.policies.values():
        bodies = "bodies inspected" if policy.setting("requestBodyCheck") else "bodies not inspected"
        print(f"  {policy.name:8} {policy.setting('mode')}, {bodies}, {len(policy.silent())} rules refuse nothing")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        async with guarded(Path(folder), firewall, user_requests_per_second=10.0) as app:
            parts: list[tuple[str, Callable[[Guarded], Awaitable[Tally]]]] = [
                ("documented requests, and docs/client.py", passing.documents),
                ("operations of the OpenAPI document", passing.operations),
                ("imports: JSON, lines, tables, 5 MB, compressed", passing.imports),
                ("batches: compressed, 250 kB, 300 kB", passing.compressed),
                (f"{titles:,} titles", lambda app: passing.written_titles(app, titles, draw)),
                (f"{titles:,} filtered feeds", lambda app: passing.filtered(app, titles, draw)),
                (f"{titles:,} stories, searches and reports", lambda app: social.stories(app, titles, draw)),
                (f"{batches:,} batches and cursors", lambda app: opaque.random_content(app, batches, draw)),
            ]
            print("\nmust pass" + " " * 44 + "sent  refused  seconds")
            for name, part in parts:
                began = time.monotonic()
                tally = await part(app)
                print(
                    f"{name:50} {tally.sent:>6,} {len(tally.refused):>8} {time.monotonic() - began:>8.0f}", flush=True
                )
                for line in [*tally.refused[:SHOWN], *tally.unexpected[:SHOWN]]:
                    print(f"    {line}")
                good &= tally.passed
            good &= await attacks(app)
            await comparisons(app, draw)
    good &= await studio()
    return good


async def attacks(app: Guarded) -> bool:
    """Print the outcome of the attacks."""
    print("\nmust be refused" + " " * 48 + "sent  came through")
    found = await refusing.attacked(app), await refusing.attacked_in_events(app)
    for name, stopped in zip(
        ("attacks on feed, events, search, stories: the firewall", "the same in events: the app"), found, strict=True
    ):
        print(f"{name:60} {stopped.sent:>6} {len(stopped.through):>13}")
        for line in [*stopped.through[:SHOWN], *stopped.harmless_refused[:SHOWN]]:
            print(f"    {line}")
    return all(stopped.passed for stopped in found)


async def comparisons(app: Guarded, draw: random.Random) -> None:
    """Print the rules a compressed batch needs disabled, and what receipts and cursors would cost under every rule."""
    needs = await refusing.needs_of_a_compressed_batch(app)
    print("\na compressed batch is refused")
    print(f"  where bodies are inspected: by {', '.join(needs[STRICT]) or 'nothing'}")
    print(f"  where they are not:         by {', '.join(needs[UNREAD]) or 'nothing'}")
    print(f"  as deployed:                by {', '.join(needs['events']) or 'nothing'}")
    print("\nunder every rule, nothing left out (no path is so)")
    for cost in await opaque.costs(app, 500, draw):
        print(f"  {cost}")


async def studio() -> bool:
    """Run the Studio's tests in a browser behind the firewall."""
    print("\nthe Studio in a browser: its tests, and every call that its files make", flush=True)
    ended = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "-n", "0", STUDIO, "tests/firewall/test_studio_calls.py", cwd=ROOT,
        env={**os.environ, "LEAVE_NOTHING_OUT": "1"},
    )  # fmt: skip
    return await ended.wait() == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.firewall.prove", description=__doc__)
    parser.add_argument("--titles", type=int, default=1_000, help="titles to send (default 1,000)")
    parser.add_argument("--batches", type=int, default=10_000, help="batches, and as many cursors (default 10,000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of everything random (default: the time)")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    if missing_packages():
        print(f"error: {how_to_get_them()}", file=sys.stderr)
        return 2
    if compiler.find() is None:
        print(f"error: {compiler.HOW_TO_GET_IT}", file=sys.stderr)
        return 2
    good = asyncio.run(prove(arguments.titles, arguments.batches, arguments.seed))
    print("\nall of it passed, every attack was refused" if good else "\nFAILED: see above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
