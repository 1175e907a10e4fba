"""`python -m tests.e2e.azure`: the tour on the Azure adapters, then every outage; exit 1 on a difference."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import pytest

from tests.e2e.azure.outages import OUTAGES, Outage, Survived, differences, survive
from tests.e2e.azure.servers import QUICK, running_app, running_servers
from tests.e2e.azure.story import tell

BUDGET_MS = 600.0
"""Longest permitted feed request, whatever fails."""
COLUMNS = "{:<76} {:<32} {:>10} {:>6} {:>8} {:>8} {:>10} {:>8} {:>5} {:>7}"


async def main() -> int:
    """Run everything; return the exit code."""
    wrong: list[str] = []
    async with running_servers() as servers:
        print("The tour on Cosmos DB, Service Bus, Blob Storage and App Configuration (our test servers)\n")
        async with running_app(servers.settings) as app:
            async for told in tell(app.url, app.environment):
                print(f"{told.step.number}. {told.step.says}\n   {told.outcome}", flush=True)
                if not told.as_written:
                    wrong.append(f"step {told.step.number} of the tour: {told.outcome}")
        print("\nOne fault at a time, under a running app that is never restarted\n")
        print(_header(), flush=True)
        async with (
            running_app({**servers.settings, **QUICK}, "--no-demo") as app,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as http,
        ):
            for outage in OUTAGES:
                try:
                    survived = await survive(outage, servers, app, http)
                except AssertionError as error:
                    wrong.append(f"{outage.name}: {error}")
                    print(f"{outage.name:<76} {error}", flush=True)
                    continue
                print(_row(outage, survived), flush=True)
                wrong += [f"{outage.name}: {text}" for text in differences(survived, BUDGET_MS)]
    print()
    print("\n".join(f"DIFFERENT: {text}" for text in wrong) or "Everything as written.")
    return 1 if wrong else 0


def _header() -> str:
    return COLUMNS.format(
        "fault", "feed meanwhile", "slowest ms", "posts", "accepted", "signals", "statistics", "archive", "dead",
        "back, s",
    )  # fmt: skip


def _row(outage: Outage, survived: Survived) -> str:
    modes = {f"{seen.mode} ({seen.reason})" if seen.reason else str(seen.mode) for seen in survived.feeds}
    return COLUMNS.format(
        outage.name,
        ", ".join(sorted(modes)),
        f"{1000 * max(seen.seconds for seen in survived.feeds):.0f}",
        "/".join(sorted({str(status) for status in survived.answers})),
        survived.accepted,
        survived.in_signals,
        survived.in_statistics,
        survived.in_archive,
        survived.dead_letters,
        f"{survived.back_after_seconds:.1f}",
    )


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(f"Cannot run here: {missing.msg}")
