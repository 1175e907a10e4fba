"""`python -m local my-data`: loads your own files, learns a ranking from them, evaluates it, and serves the feed.

The steps are those of a tenant in production: videos by the import, events by the public endpoint, a night of learning.
Then the log is replayed for the evaluation, and the app keeps serving.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bootstrap import App
from local.export import EVENTS_FILE, VIDEOS_FILE, Exported, export
from local.importer import Files, load, make_tenant, read_columns
from local.serving import Running, local_settings, running
from shared.adapters.tenant_directory import save_key
from shared.settings import BadSetting

LEAST_DAYS = 4
"""Fewest days of a log for a replay, which trains on the first days and evaluates on the last ones."""
CONTENT_TEAM = "content team"


def add_command(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    command = commands.add_parser("my-data", help="load your own videos and log, learn from them, evaluate, serve")
    command.add_argument("--videos", type=Path, required=True, help="videos, .parquet or .jsonl")
    command.add_argument("--events", type=Path, required=True, help="exposures, .parquet or .jsonl")
    command.add_argument("--columns", action="append", default=[], metavar="FIELD=COLUMN", help="see docs/import.md")
    command.add_argument("--rating", default="PG", help="maturity rating of videos that have none (default PG)")
    command.add_argument("--tenant", default="my-data", help="the tenant that is made (default my-data)")
    command.add_argument("--port", type=int, default=7071, help="port on 127.0.0.1 (default 7071; 0 takes a free one)")
    command.set_defaults(run=_run)


async def _run(arguments: argparse.Namespace) -> None:
    async with prepared(arguments) as (app, key):
        studio = f"{app.url}/studio"
        print(f"\nOpen {studio} and sign in as {arguments.tenant} with the key {key}\nCtrl-C stops.", flush=True)
        if sys.stdout.isatty():
            await asyncio.to_thread(webbrowser.open, studio)
        await asyncio.Event().wait()


@asynccontextmanager
async def prepared(arguments: argparse.Namespace) -> AsyncIterator[tuple[Running, str]]:
    """Run all steps. Yields the app with the files' tenant, and a key of its content team."""
    settings = local_settings()
    async with running(settings, port=arguments.port, demo=False) as served:
        app, tenant_id = served.app, arguments.tenant
        if app.tenants.get(tenant_id) is not None:
            raise BadSetting(
                f"The tenant {tenant_id} exists already. Choose another name, or set DATA_FOLDER to another folder."
            )
        print("1. Load videos and events")
        files = Files(arguments.videos, arguments.events, read_columns(arguments.columns), arguments.rating)
        await load(served.url, app, tenant_id, await make_tenant(app, tenant_id), files)
        print("2. Learn, as each night does")
        print(f"   {await _learn(app, tenant_id)}")
        print("3. Replay the log")
        folder = Path(settings.data_folder) / "my-data" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        await _evaluate(await export(app, tenant_id, folder), folder)
        key = secrets.token_urlsafe(24)
        await save_key(app.documents, app.identity, tenant_id, CONTENT_TEAM, key, frozenset({"cms"}))
        await app.tenants_refresher.refresh()
        yield served, key


async def _learn(app: App, tenant_id: str) -> str:
    """Learn from all data. Return the outcome in words."""
    tonight = datetime.fromtimestamp(app.clock(), UTC).date().isoformat()
    outcome = await app.learning.run(tenant_id, tonight)
    await app.table_builder.build(tenant_id)
    return f"{outcome}: the page *Learning* of the Studio has the report"


async def _evaluate(found: Exported, folder: Path) -> None:
    """Replay the last third of the days in its own process, so that it does not delay serving."""
    if len(found.days) < LEAST_DAYS:
        print(f"   left out: the log has {len(found.days)} days, and a replay needs {LEAST_DAYS}")
        return
    first_test_day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=found.days[len(found.days) * 2 // 3])
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "evaluation", "replay",
        "--events", str(folder / EVENTS_FILE), "--videos", str(folder / VIDEOS_FILE),
        "--test-from", f"{first_test_day:%Y-%m-%d}", "--no-drop", "--out", str(folder / "report"),
    )  # fmt: skip
    if await program.wait():
        print("   the log could not be replayed; the feed is served all the same")
    else:
        print(f"   report and plots in {folder / 'report'}")
