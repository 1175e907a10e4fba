"""`python -m local [serve]` runs the app on one machine. Other commands: `import` loads a tenant from files; `backup`,
`restore`, `first-key` and `rotate-signing-key` maintain the machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from local import export, my_data
from local.demo import CMS_KEY, OPS_KEY, SDK_KEY
from local.http_server import CannotListen, claim
from local.importer import run_import
from local.serving import local_settings, running
from local.upkeep import add_commands
from shared.adapters.bus.port import LOCK_SECONDS
from shared.adapters.documents.port import StoreUnavailable
from shared.settings import BadSetting

DEMO_USER = "5f" * 32


def main() -> int:
    """Run a command. Returns exit code 0, or 2 after a sentence that says what to do."""
    arguments = _parser().parse_args(_with_command(sys.argv[1:]))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(arguments.run(arguments))
    except (BadSetting, CannotListen, StoreUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _with_command(arguments: list[str]) -> list[str]:
    """Insert `serve` before options without a command."""
    first = arguments[0] if arguments else ""
    return ["serve", *arguments] if first.startswith("-") and first not in ("-h", "--help") else arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The video feed on one machine.")
    parser.set_defaults(run=_serve, port=7071, no_demo=False, faults=None, lock_seconds=LOCK_SECONDS, host_name=[])
    commands = parser.add_subparsers(title="commands")
    serve = commands.add_parser("serve", help="serve the app (the default)")
    serve.add_argument("--port", type=int, default=7071, help="port on 127.0.0.1 (default 7071; 0 takes a free one)")
    serve.add_argument("--no-demo", action="store_true", help="start without the demo's tenants")
    serve.add_argument("--faults", type=Path, metavar="FILE", help="break what FILE says, to see what the app survives")
    serve.add_argument(
        "--lock-seconds",
        type=float,
        default=LOCK_SECONDS,
        help=f"how long a message is locked, and lost to a process that died (default {LOCK_SECONDS:g})",
    )
    serve.add_argument(
        "--host-name",
        action="append",
        default=[],
        metavar="NAME",
        help="answer requests to this name too, such as that of a proxy (default: only localhost, 127.0.0.1, [::1])",
    )
    serve.set_defaults(run=_serve)
    load = commands.add_parser("import", help="load a tenant's videos and replay a log of exposures")
    load.add_argument("--tenant", required=True, help="tenant to load into; made when it does not exist")
    load.add_argument("--videos", type=Path, help="videos, .parquet or .jsonl")
    load.add_argument("--exposures", type=Path, help="exposures, .parquet or .jsonl")
    load.add_argument("--columns", action="append", default=[], metavar="FIELD=COLUMN", help="see docs/import.md")
    load.add_argument("--rating", default="PG", help="maturity rating of videos that have none (default PG)")
    load.add_argument("--url", help="a running app to send events to (default: one started for the import)")
    load.set_defaults(run=run_import)
    my_data.add_command(commands)
    export.add_command(commands)
    add_commands(commands)
    return parser


async def _serve(arguments: argparse.Namespace) -> None:
    claim(arguments.port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(
        local_settings(),
        port=arguments.port,
        demo=not arguments.no_demo,
        lock_seconds=arguments.lock_seconds,
        faults=arguments.faults,
        host_names=arguments.host_name,
    ) as app:
        settings = app.app.settings
        state = settings.data_folder if settings.document_store == "sqlite" else "Cosmos DB"
        print(f"Serving on {app.url}  (state in {state}; Ctrl-C stops)")
        if not arguments.no_demo:
            print(_hints(app.url))
        sys.stdout.flush()
        await stop.wait()
        print("Stopping: letting requests in flight finish.")


def _hints(url: str) -> str:
    python = sys.executable.removeprefix(str(Path.cwd()) + "/")
    who = f"-H 'X-Tenant-Id: tenant_1' -H 'X-Api-Key: {SDK_KEY}' -H 'X-User: {DEMO_USER}'"
    readable = "| python3 -m json.tool"
    return f"""
Watch the demo: open {url}/

Try next, in another terminal:

1. A new user gets the popular feed ("mode": "fallback", "reason": "cold_start"):
   curl -s {who} '{url}/v1/feed?limit=5' {readable}

2. They watch fitness and skip cooking:
   curl -s {who} -H 'Content-Type: application/json' {url}/v1/events/batch -d "$({python} -m local.story)" {readable}

3. The same call as in 1 is personal now, fitness first:
   curl -s {who} '{url}/v1/feed?limit=5' {readable}

4. Steer it: open {url}/studio and sign in as tenant_1 with the key {CMS_KEY}

5. Look inside, as an operator:
   curl -s -H 'X-Api-Key: {OPS_KEY}' {url}/metrics
"""


if __name__ == "__main__":
    sys.exit(main())
