"""`python -m commands.report_experiment --tenant T --experiment E [--json]`: prints an experiment's results so far."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

import orjson

import bootstrap
from events.experiment_report import NoSuchExperiment
from events.experiment_statistics import as_text, report
from shared.adapters.blobs.port import BlobsError
from shared.adapters.documents.port import StoreError
from shared.settings import BadSetting, Settings


async def run(arguments: argparse.Namespace) -> None:
    """Print the report. Raises `BadSetting`, `NoSuchExperiment`, `BlobsError`, `StoreError`."""
    app = bootstrap.build(Settings.from_environment(os.environ))
    try:
        result = report(await app.experiment_reports.gather(arguments.tenant, arguments.experiment))
    finally:
        await app.close()
    if arguments.json:
        print(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    else:
        print(as_text(result), end="")


def main() -> int:
    """Run the command. Returns exit code 0, or 2 after a sentence that says what to do."""
    parser = argparse.ArgumentParser(prog="python -m commands.report_experiment", description=__doc__)
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--experiment", required=True, help="its id")
    parser.add_argument("--json", action="store_true", help="every figure, as JSON")
    try:
        asyncio.run(run(parser.parse_args()))
    except (BadSetting, NoSuchExperiment, StoreError, BlobsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
