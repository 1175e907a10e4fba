"""Runs Schemathesis against the served app: generates requests from the document and checks each response.

`python -m tests.api.fuzzing --cases 1000` runs as many cases as you like; `make test` runs a few.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

import function_app
from tests.api.contract import known_values_only
from tests.media.served_media import served_with_media
from tests.served_app import App, Client, make_videos
from tests.stories.social import stories_on

CONFIGURATION = """
[checks]
ignored_auth.enabled = false
negative_data_rejection.expected-statuses = [
  "400", "401", "403", "404", "405", "406", "409", "414", "415", "422", "428", "429", "5xx",
]
positive_data_acceptance.expected-statuses = ["2xx", "304", "401", "403", "404", "409", "414", "5xx"]

[[operations]]
include-operation-id = "getFeed"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-operation-id = "postEvents"
checks.negative_data_rejection.enabled = false

[[operations]]
include-path-regex = "^/v1/(stories|uploads)$"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-path-regex = "^/v1/(cms/|debug/set-personalization)"
generation.mode = "positive"
checks.positive_data_acceptance.enabled = false
"""
"""Responses that no schema can predict: a call without a key header is malformed (400) before it is unauthorized
(401); valid cursors; a bad event refused alone inside a 202; changes not based on the stored version (412) or
breaking rules between fields (422): `tests/cms/test_refusals.py` lists the bad ones. Also the total length of all
parameters (414): twenty filters of 128 characters are too long in most scripts. Also whether a story has text or
media, and the permitted length of a file by type."""


@dataclass(frozen=True)
class Outcome:
    """Result of a run: number of `cases` sent, and the whole report."""

    passed: bool
    cases: int
    report: str


async def fuzz(app: App, cases: int, seed: int | None = None) -> Outcome:
    """Call every operation with a key of every scope. `cases` is per operation and phase.

    The document is taken at its narrowest: with only the values that it knows.
    """
    await stories_on(app)  # the endpoints exist only while they are on
    client = await app.tenant(make_videos(30))
    key = await _key_of_every_scope(app, client)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", "document.json", "--url", app.url),
        *("--max-examples", str(cases), "--phases", "examples,coverage,fuzzing"),
        *("--continue-on-failure", "--no-color", "--warnings", "off", "--suppress-health-check", "all"),
        *("-H", f"X-Tenant-Id: {client.tenant_id}", "-H", f"X-Api-Key: {key}"),
        *(("--seed", str(seed)) if seed is not None else ()),
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "schemathesis.toml").write_text(CONFIGURATION)
        (Path(folder) / "document.json").write_bytes(orjson.dumps(known_values_only(function_app.api.document)))
        running = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder
        )
        output, _ = await running.communicate()
    report = output.decode().replace(key, "[key]")
    found = re.search(r"Test cases:\s+(?:([\d,]+) generated)", report)
    return Outcome(running.returncode == 0, int(found[1].replace(",", "")) if found else 0, report)


async def _key_of_every_scope(app: App, client: Client) -> str:
    key = f"{client.key}-all"
    await app.save_key(client.tenant_id, key, "sdk", "cms", "privacy", "ops", name="every scope")
    return key


async def _main(cases: int, seed: int | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        async with served_with_media(Path(folder)) as app:
            outcome = await fuzz(app, cases, seed)
    print(outcome.report)
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    sys.exit(asyncio.run(_main(arguments.cases, arguments.seed)))
