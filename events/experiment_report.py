"""What experiments show so far, from the archive: nightly by a timer, stored for the content room, or now with
`python -m events.experiment_report --tenant T --experiment E [--json]`.

Reads every archived event of the tenant since the experiment began, a blob at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from datetime import UTC, datetime, timedelta

import orjson

import bootstrap
from bootstrap import Services
from events.archive import from_lines
from events.experiment_statistics import Outcomes, as_text, report
from shared.adapters.blobs.port import ARCHIVE, BlobsUnavailable
from shared.adapters.documents.port import TENANTS, StoreUnavailable, Upsert, query_all
from shared.domain.records import Experiment
from shared.settings import BadSetting, Settings

log = logging.getLogger("feed.events")

LATEST_DAYS = 4
ATTRIBUTED_DAYS = 2
"""An event may quote a page for a day after it was served, and comes a while later still."""


class NoSuchExperiment(ValueError):
    """The tenant has no experiment of that name, or it has not begun; the message says which."""


async def gather(services: Services, tenant_id: str, experiment_id: str) -> Outcomes:
    """Everything the archive holds about an experiment. Raises `NoSuchExperiment`, `BlobsUnavailable`."""
    stored = await services.documents.read(TENANTS, tenant_id, f"experiment:{experiment_id}", latest=True)
    if stored is None or stored.body.get("deleted"):
        raise NoSuchExperiment(f"tenant {tenant_id} has no experiment {experiment_id}.")
    experiment = Experiment.from_document(stored.body)
    if experiment.started_at is None:
        raise NoSuchExperiment(f"experiment {experiment_id} has not begun: start it first.")
    outcomes = Outcomes(experiment)
    now = services.clock()
    last = min(now, (experiment.stopped_at or now) + ATTRIBUTED_DAYS * 86_400)
    day = datetime.fromtimestamp(experiment.started_at, UTC).date()
    while day <= datetime.fromtimestamp(last, UTC).date():
        async for blob in services.blobs.list(ARCHIVE, f"{tenant_id}/{day:%Y/%m/%d}/"):
            content = await services.blobs.read(ARCHIVE, blob.name)
            if content is not None:
                await asyncio.to_thread(_add, outcomes, content)
        day += timedelta(days=1)
    return outcomes


def _add(outcomes: Outcomes, content: bytes) -> None:
    outcomes.add(from_lines(content))


async def store_reports(services: Services) -> int:
    """Work out the report of every experiment that runs, or ended a few days ago; how many there were.

    One tenant's failure keeps no other from its reports; it is counted and logged.
    """
    stored = 0
    for tenant_id in services.tenants.ids():
        try:
            stored += await _store_reports_of(services, tenant_id)
        except (StoreUnavailable, BlobsUnavailable, ValueError) as error:
            services.telemetry.count("experiment_reports", "failed")
            log.error("experiment reports of tenant %s failed: %s", tenant_id, type(error).__name__)
    return stored


async def _store_reports_of(services: Services, tenant_id: str) -> int:
    now, stored = services.clock(), 0
    for document in await query_all(services.documents, TENANTS, tenant_id, "experiment:"):
        experiment = Experiment.from_document(document.body)
        over = experiment.stopped_at is not None and now - experiment.stopped_at > LATEST_DAYS * 86_400
        if experiment.started_at is None or over or document.body.get("deleted"):
            continue
        body = {
            "id": f"experiment-report:{experiment.id}",
            "kind": "experiment-report",
            "report": {**report(await gather(services, tenant_id, experiment.id)), "at": int(now)},
        }
        await services.documents.write(TENANTS, tenant_id, [Upsert(body)])
        services.telemetry.count("experiment_reports", "stored")
        stored += 1
    return stored


async def _run(arguments: argparse.Namespace) -> None:
    services = bootstrap.build(Settings.from_environment(os.environ))
    try:
        result = report(await gather(services, arguments.tenant, arguments.experiment))
    finally:
        await services.close()
    if arguments.json:
        print(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    else:
        print(as_text(result), end="")


def main() -> int:
    """Exit code 0, or 2 with one sentence on what to do."""
    parser = argparse.ArgumentParser(prog="python -m events.experiment_report", description=__doc__)
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--experiment", required=True, help="its id")
    parser.add_argument("--json", action="store_true", help="every figure, as JSON")
    try:
        asyncio.run(_run(parser.parse_args()))
    except (BadSetting, NoSuchExperiment, StoreUnavailable, BlobsUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
