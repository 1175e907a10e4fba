"""Runs the whole matrix and prints its counts; exits with 1 when an outcome differs from its table."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter

from tests.matrix import ports


async def run(name: str) -> int:
    """Try every pair of one port; return how many had a wrong outcome."""
    port = ports.PORTS[name]
    began, outcomes, wrong = time.monotonic(), Counter[str](), 0
    async with port.trials() as try_out:
        for operation in port.operations:
            for answer in port.answers:
                came, wanted = await try_out(operation, answer), port.expected(operation, answer)
                outcomes[came] += 1
                if came not in wanted:
                    wrong += 1
                    print(f"  {name} {operation} × {answer}: {came}; its table says {' or '.join(wanted)}", flush=True)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(
        f"{name}: {outcomes.total()} pairs in {time.monotonic() - began:.0f} s: {counts}; {wrong} not as the table says"
    )
    return wrong


def main() -> None:
    logging.disable()  # the SDKs log every unusual response
    names = sys.argv[1:] or list(ports.PORTS)
    if unknown := set(names) - set(ports.PORTS):
        sys.exit(f"no port {', '.join(sorted(unknown))}: there are {', '.join(ports.PORTS)}")
    wrong = 0
    for name in names:
        with asyncio.Runner(loop_factory=ports.PORTS[name].loop) as runner:
            wrong += runner.run(run(name))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
