"""Measures the CPU of a personalized feed in the official worker library of Python 3.13, compared with a no-op.

`python -m benchmarks.official_worker` starts a program with the worker's Python for each row; `make setup` installs it,
or `WORKER_PYTHON` names one. `over` is (CPU per call − CPU of the no-op) divided by CPU of the no-op. Both run
alternately through the library's own code in one process. The host and the channel to it are not included.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from statistics import median

import azure.functions as func

ROOT = Path(__file__).resolve().parent.parent
WORKER = ROOT / ".venv/worker/bin/python"
KINDS = {"signals in memory": "10", "signals read from SQLite": "0"}
"""Row → seconds for which signals stay in memory."""
TENANT, VIDEOS, USERS = "tenant", 500, 100
ROUNDS, CALLS = 30, 40


def main() -> None:
    """Print the table."""
    program = os.environ.get("WORKER_PYTHON", str(WORKER))
    if not Path(program).exists():
        sys.exit("The official worker is not installed: run `make setup`, or name its Python in WORKER_PYTHON.")
    print(f"\nthe official worker, µs of CPU per call\n{'':28}{'no-op':>8}{'feed':>8}{'over':>8}")
    for name, seconds in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "DATA_FOLDER": folder, "SIGNALS_CACHE_SECONDS": seconds}
            told = subprocess.run(
                [program, "-m", "benchmarks.official_worker", "--inside"],
                cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600,
            )  # fmt: skip
        if told.returncode:
            sys.exit(told.stderr[-3_000:])
        nothing, feed, over = json.loads(told.stdout.splitlines()[-1])
        print(f"{name:28}{nothing:8.0f}{feed:8.0f}{over:8.2f}")


async def _inside() -> list[float]:
    """Return the CPU of the no-op and of a feed in µs, and the median of the rounds' ratios."""
    import bootstrap
    import function_app
    from benchmarks.feed_handler import prepare
    from benchmarks.measuring import UNLIMITED
    from benchmarks.served import READY_BYTES
    from local.demo import SDK_KEY
    from local.serving import first_flags
    from shared.adapters.backends import flags_file
    from tests.worker import worker_program

    for name, value in UNLIMITED.items():
        os.environ[name.upper()] = str(int(value))

    async def noop(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(READY_BYTES, headers={"ETag": "x"}, mimetype="application/json")

    function_app.app.function_name("noop")(function_app.app.route("noop", methods=["GET"])(noop))
    running = await worker_program.start()
    app = await bootstrap.running()
    first_flags(flags_file(app.settings))
    users = await prepare(app, TENANT, VIDEOS, USERS)
    for refresher in (app.flags_refresher, app.tenants_refresher):
        await refresher.refresh()
    people = cycle({"x-tenant-id": TENANT, "x-api-key": SDK_KEY, "x-user": user} for user in users)
    found: dict[str, list[float]] = {"noop": [], "get_feed": []}
    for number in range(-3, ROUNDS):  # the first three are warm-up
        for name in found:
            running.calls.clear()
            began = time.process_time()
            for _ in range(CALLS):
                await running.http(name, next(people))
            spent = (time.process_time() - began) / CALLS * 1e6
            assert all(call["ok"] and call["status"] == 200 for call in running.calls)
            assert name == "noop" or all('"mode":"personalized"' in call["body"] for call in running.calls)
            if number >= 0:
                found[name].append(spent)
    await app.close()
    nothing, feeds = found["noop"], found["get_feed"]
    return [median(nothing), median(feeds), median(feed / none - 1 for none, feed in zip(nothing, feeds, strict=True))]


if __name__ == "__main__":
    if "--inside" in sys.argv:
        print(json.dumps(asyncio.run(_inside())))
    else:
        main()
