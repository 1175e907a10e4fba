"""`make prove-fraud` measures how far an extracted app key moves statistics, with the current and the former rule.

One invented user with one receipt sends thousands of views, of a video that was on the page and of one that was not.
Then a thousand invented users with realistic pages send a view of each video. Prints the video's rank among all videos
of the tenant by views of the week, before and after each trial. Exits with 1 when the rank moves more than documented.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.e2e.fraud import BEFORE, NOW_COUNTED, Outcome, many_users, one_user, trial


async def run(events: int, users: int) -> bool:
    kept = True
    print(f"{'trial':52}{'counted':>9}{'rank':>12}{'views bought':>14}")
    for counting in (BEFORE, NOW_COUNTED):
        for name, most in (("not on the page", 0), ("on the page", 1)):
            with tempfile.TemporaryDirectory() as folder:
                async with trial(Path(folder), counting) as made:
                    outcome = await one_user(made, events, on_page=bool(most))
            _print(f"one user, one receipt, {events:,} views, {name}", counting, outcome)
            kept &= counting == BEFORE or outcome.bought <= most
        with tempfile.TemporaryDirectory() as folder:
            async with trial(Path(folder), counting) as made:
                outcome = await many_users(made, users)
        _print(f"{users:,} invented users, a page each", counting, outcome)
        kept &= counting == BEFORE or outcome.bought <= users
    print(f"\nno more than documented: {'kept' if kept else 'BROKEN'}")
    return kept


def _print(name: str, counting: str, outcome: Outcome) -> None:
    rank = f"{outcome.rank_before} → {outcome.rank_after}"
    print(f"{name:52}{counting:>9}{rank:>12}{outcome.bought:14,}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.prove_fraud", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=1_000)
    arguments = parser.parse_args()
    return 0 if asyncio.run(run(arguments.events, arguments.users)) else 1


if __name__ == "__main__":
    sys.exit(main())
