"""`python -m tests.emulators` runs the test servers and prints the settings that connect an app to them."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from dataclasses import fields

from shared.adapters.bus.port import LOCK_SECONDS
from tests.emulators.program import Emulators, Ports


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators", description=__doc__)
    for each in fields(Ports):
        parser.add_argument(f"--{each.name}", type=int, default=0, metavar="PORT", help="0 picks a free port")
    parser.add_argument("--lock-seconds", type=float, default=LOCK_SECONDS, help="how long the broker locks a message")
    parser.add_argument("--gated", action="store_true", help="gates before blobs and bus, which may be told to fail")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of shell exports")
    arguments = vars(parser.parse_args())
    as_json, lock_seconds, gated = (arguments.pop(name) for name in ("json", "lock_seconds", "gated"))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Emulators(Ports(**arguments), lock_seconds, gated=gated).running() as emulators:
        settings = emulators.settings()
        if as_json:
            print(json.dumps({"control": emulators.control.url, "settings": settings}), flush=True)
        else:
            for name, value in settings.items():
                print(f"export {name}='{value}'")
            print(f"export CONTROL='{emulators.control.url}'  # faults and the clock, see tests/emulators/program.py")
            sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
