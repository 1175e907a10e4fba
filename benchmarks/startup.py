"""Measures the time from the start of a process to its first feed, embedded and on the Azure adapters (test servers).

Each row is the median of several new processes. Compare `all` with the objective of 3 s. `CPU` is the process's CPU
time until then; the rest of `all` was waiting, or other programs used the machine. `connected` counts sockets opened by
imports. On Azure, connections use TLS over a network, which test servers do not show. The last row is the CPU of an
instance that gets feeds of many tenants at once, on the embedded store, until all are answered. In the package, the
ranking's loops are machine code, so `import` takes less.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 5
VIDEOS = 500
TENANT, SDK_KEY = "tenant", "secret-api-key"
OBJECTIVE_SECONDS = 3.0
TENANTS, VIDEOS_OF_EACH, MANY_RUNS = 20, 2_000, 3
MANY_STAGES = ("import", "build", "feeds")
MANY_CPU_SECONDS = 2.5
STAGES = ("python", "import of the app", "import of the adapters", "build", "connections", "first feed")
"""Stages in order; each ends where the next begins."""


def main() -> None:
    """Print the table."""
    print(f"\nfrom the start of a process to its first feed ({VIDEOS} videos), ms, median of {RUNS}")
    servers = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert servers.stdout is not None
        line = servers.stdout.readline()
        if not line:
            sys.exit("The test servers did not start: `make test` says what they need.")
        with tempfile.TemporaryDirectory() as folder:
            ways = {"embedded": {"DATA_FOLDER": folder}, "azure adapters": json.loads(line)["settings"]}
            print(
                f"{'':16}"
                + "".join(f"{stage:>24}" for stage in STAGES)
                + f"{'all':>8}{'ratio':>8}{'CPU':>8}{'connected':>11}"
            )
            base = None
            for name, settings in ways.items():
                environment = {**os.environ, **settings}
                asyncio.run(_prepare_tenant(environment))
                runs = [_one_process(environment) for _ in range(RUNS)]
                stages = [statistics.median(run[stage] for run in runs) for stage in STAGES]
                whole = statistics.median(sum(run[stage] for stage in STAGES) for run in runs)
                base = base or whole
                cpu = statistics.median(run["cpu"] for run in runs)
                connected = max(run["connected at import"] for run in runs)
                cells = "".join(f"{1000 * seconds:24.0f}" for seconds in stages)
                print(f"{name:16}{cells}{1000 * whole:8.0f}{whole / base:8.2f}{1000 * cpu:8.0f}{connected:11.0f}")
                verdict = "within" if whole <= OBJECTIVE_SECONDS else "OVER"
                print(
                    f"{'':16}{verdict} the objective of {OBJECTIVE_SECONDS:g} s; `connected` counts sockets at import"
                )
    finally:
        servers.terminate()
        servers.wait(20)
    _print_many()


def _print_many() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DATA_FOLDER": folder}
        asyncio.run(_prepare_tenants(environment))
        runs = [_one_process(environment, "child_of_many") for _ in range(MANY_RUNS)]
    print(f"\nthe first feeds of {TENANTS} tenants of {VIDEOS_OF_EACH:,} videos, side by side, s of CPU")
    cpu = [statistics.median(run[stage] for run in runs) for stage in MANY_STAGES]
    wall = statistics.median(run["wall"] for run in runs)
    cells = "".join(f"{stage} {seconds:.2f}  " for stage, seconds in zip(MANY_STAGES, cpu, strict=True))
    verdict = "within" if sum(cpu) <= MANY_CPU_SECONDS else "OVER"
    print(f"{cells}all {sum(cpu):.2f}, {verdict} the objective of {MANY_CPU_SECONDS:g}; wall {wall:.2f} s")


async def _prepare_tenant(environment: Mapping[str, str]) -> None:
    import bootstrap
    from benchmarks.feed_handler import prepare
    from local.serving import first_flags
    from shared.adapters import backends
    from shared.adapters.backends import flags_file
    from shared.adapters.flags.evaluation import PERSONALIZED_FEED
    from shared.settings import Settings

    settings = Settings.from_environment(environment)
    if settings.flags == "appconfig":
        with backends.flag_store(settings) as store:
            store.seed([{"id": PERSONALIZED_FEED, "enabled": True}])
    else:
        first_flags(flags_file(settings))
    services = bootstrap.build(replace(settings, signals_budget_ms=250.0))
    await services.start()
    await services.blobs.ready()
    await prepare(services, TENANT, VIDEOS)
    await services.close()


async def _prepare_tenants(environment: Mapping[str, str]) -> None:
    import bootstrap
    from local.demo import demo_videos, save_videos
    from local.serving import first_flags
    from shared.adapters.backends import flags_file
    from shared.adapters.tenant_directory import save_key, save_tenant
    from shared.domain.records import Tenant
    from shared.settings import Settings

    settings = Settings.from_environment(environment)
    first_flags(flags_file(settings))
    app = bootstrap.build(settings)
    await app.start()
    for number in range(TENANTS):
        tenant = f"{TENANT}-{number}"
        await save_tenant(app.documents, Tenant(tenant, "R"))
        await save_key(app.documents, app.identity, tenant, "app", SDK_KEY, frozenset({"sdk"}))
        await save_videos(app, tenant, demo_videos(VIDEOS_OF_EACH, time.time(), random.Random(number)))
    await app.close()


def _one_process(environment: Mapping[str, str], name: str = "child") -> dict[str, float]:
    """Return the seconds of each stage in a new process."""
    child = [sys.executable, "-c", f"from benchmarks.startup import {name}; {name}()", str(time.time())]
    told = subprocess.run(child, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=True)
    stages: dict[str, float] = json.loads(told.stdout)
    return stages


def child() -> None:
    """Start as an instance does, serve one feed, and print the time of each stage."""
    connected: list[str] = []
    sys.addaudithook(lambda event, _: connected.append(event) if event == "socket.connect" else None)
    times = [float(sys.argv[1]), time.time()]

    import azure.functions as func

    import function_app

    times.append(time.time())
    import bootstrap
    from shared.adapters import backends
    from shared.settings import Settings

    settings = Settings.from_environment(os.environ)
    for port, choice in (
        ("documents", settings.document_store),
        ("bus", settings.bus),
        ("blobs", settings.blobs),
        ("flags", settings.flags),
    ):
        import_module(backends.BACKENDS[port, choice][0])
    times.append(time.time())
    at_import = len(connected)
    services = bootstrap.build(settings)
    bootstrap.use(services)
    functions = {each.get_function_name(): each.get_user_function() for each in function_app.app.get_functions()}
    get_feed = functions["get_feed"]
    headers = {"x-tenant-id": TENANT, "x-api-key": SDK_KEY, "x-user": f"{1:064x}"}
    request = func.HttpRequest("GET", "http://localhost/v1/feed", headers=headers, params={}, body=b"")
    times.append(time.time())

    async def serve() -> None:
        await services.start()
        times.append(time.time())
        response = await get_feed(request)
        assert response.status_code == 200, response.get_body()
        times.append(time.time())
        stages = dict(zip(STAGES, (end - begin for begin, end in pairwise(times)), strict=True))
        print(json.dumps(stages | {"connected at import": at_import, "cpu": time.process_time()}))
        await services.close()

    asyncio.run(serve())


def child_of_many() -> None:
    """Start as an instance does, serve a feed of each of many tenants at once, and print the CPU of each stage."""
    import azure.functions as func

    import function_app

    cpu = [0.0, time.process_time()]
    import bootstrap
    from shared.settings import Settings

    app = bootstrap.build(replace(Settings.from_environment(os.environ), catalog_budget_ms=60_000.0))
    bootstrap.use(app)
    functions = {each.get_function_name(): each.get_user_function() for each in function_app.app.get_functions()}
    cpu.append(time.process_time())

    async def feed_of(number: int) -> None:
        headers = {"x-tenant-id": f"{TENANT}-{number}", "x-api-key": SDK_KEY, "x-user": f"{1:064x}"}
        request = func.HttpRequest("GET", "http://localhost/v1/feed", headers=headers, params={}, body=b"")
        response = await functions["get_feed"](request)
        assert response.status_code == 200, response.get_body()

    async def serve() -> None:
        await app.start()
        began = time.time()
        await asyncio.gather(*map(feed_of, range(TENANTS)))
        cpu.append(time.process_time())
        stages = dict(zip(MANY_STAGES, (end - begin for begin, end in pairwise(cpu)), strict=True))
        print(json.dumps(stages | {"wall": time.time() - began}))
        await app.close()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
