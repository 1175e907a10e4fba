"""Logs, metrics and spans contain no caller input; every error id of a 500 or 503 is in the log."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from function_app import APIS
from shared.observability.metrics import render_prometheus
from shared.web.declaration import Endpoint
from shared.web.endpoint import endpoints_of
from tests.e2e.test_no_identifier_leaves import Everything
from tests.faulty_documents import Trouble
from tests.served_app import App, Client, make_videos, served
from tests.shared.observability.test_telemetry_export import Collector, collector

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDPOINTS = [each for api in APIS for each in endpoints_of(api)]
FIELDS = """
    events type videoId timestamp eventId feedRequestId sessionId sentAt id title tags playbackUrl mainTag status
    weights featureFlags name keyId publicKey scopes rules action match videoIds arms version rows csv columns viewer
""".split()  # noqa: SIM905
"""Body fields; each endpoint knows some of them."""


@pytest.fixture(scope="module")
def logged() -> Iterator[Everything]:
    everything, root = Everything(), logging.getLogger()
    level = root.level
    root.addHandler(everything)
    root.setLevel(logging.DEBUG)
    yield everything
    root.removeHandler(everything)
    root.setLevel(level)


taken: dict[str, Collector] = {}
"""Where the app's exporters send to in this module."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    folder: Path = tmp_path_factory.mktemp("app")
    async with collector() as taker:
        taken["collector"] = taker
        async with served(folder, otlp_endpoint=taker.url, trace_sample_ratio=1.0) as app:
            yield app


def bodies(mark: str) -> list[bytes]:
    """Yield bodies with the mark at every place: fields, values, nested, and without JSON."""
    deep = {"a": [{mark: mark}, mark], "type": "video_view", "videoId": mark, "timestamp": mark, "eventId": mark}
    return [
        json.dumps({**dict.fromkeys(FIELDS, mark), mark: mark}).encode(),
        json.dumps({**{name: [deep, mark] for name in FIELDS}, mark: {mark: [mark]}}).encode(),
        json.dumps({"events": [deep, {**deep, "timestamp": 1_795_903_420_362}, mark]}).encode(),
        f"id,title,{mark}\n{mark},{mark},{mark}\n".encode(),
        f'{{"{mark}": "{mark}'.encode(),
        mark.encode() + b"\xff",
    ]


async def send_everywhere(app: App, client: Client, keys: list[str], mark: str) -> list[tuple[int, bytes]]:
    """Send the mark in path, query, headers and body of every endpoint."""
    answers = []
    async with aiohttp.ClientSession() as http:

        async def send(each: Endpoint, key: str, body: bytes | None, marked: bool) -> None:
            path = re.sub(r"\{\w+\}", mark, each.path)
            url = URL(f"{app.url}/{path}?{mark}={mark}&limit=3&cursor={mark}&after={mark}&format={mark}")
            headers = {**client.headers, "X-Api-Key": key, "Content-Type": "application/json"}
            if marked:
                named = [each.name for each in each.parameters if each.where == "header"]
                headers |= dict.fromkeys([*named, "If-Match", "Idempotency-Key", f"X-{mark}", "traceparent"], mark)
            async with http.request(each.method, url, headers=headers, data=body) as answer:
                answers.append((answer.status, await answer.read()))

        for each in ENDPOINTS:
            sent = bodies(mark) if each.method in ("POST", "PUT", "PATCH") else [None]
            for at, body in enumerate(sent):
                await send(each, keys[at % len(keys)], body, marked=False)
            for key in keys:
                await send(each, key, sent[0], marked=True)
        async with http.get(f"{app.url}/{mark}/{mark}?{mark}", headers={"Host": mark}) as answer:
            answers.append((answer.status, await answer.read()))
    return answers


def error_ids(answers: list[tuple[int, bytes]]) -> list[str]:
    """Return the error id of every 500 and 503; `/ready` has none."""
    found = [json.loads(body).get("errorId") for status, body in answers if status in (500, 503)]
    return [id for id in found if id is not None]


async def test_no_caller_input_of_any_endpoint_is_logged(app: App, logged: Everything) -> None:
    client = await app.tenant(make_videos(10))
    await app.save_key(client.tenant_id, "cms-key-of-this-test-alone", "cms", "privacy", name="cms")
    keys = ["cms-key-of-this-test-alone", client.key, app.ops_key]
    mark = "mark" + secrets.token_hex(6)
    before = len(logged.texts)
    answers = await send_everywhere(app, client, keys, mark)
    app.services.telemetry.dependencies.quiet_seconds = 0.0
    with app.documents.in_trouble(Trouble(defect=KeyError(mark))):
        answers += await send_everywhere(app, client, keys[:1], mark)
    await app.folded()
    await app.rolled_up()
    await app.host.run_timer("run_jobs")
    statuses = {status for status, _ in answers}
    assert {200, 400, 403, 404, 500} <= statuses, "the traffic was mixed"

    texts = logged.texts[before:]
    assert texts
    assert [text for text in texts if mark in text] == []
    metrics = render_prometheus(app.services.telemetry)
    assert mark not in metrics
    assert app.services.export is not None
    await app.services.export.export()
    exported = b"".join(body for bodies in taken["collector"].bodies.values() for body in bodies)
    assert b"http_requests" in exported
    assert mark.encode() not in exported

    everything = "\n".join(texts)
    ids = error_ids(answers)
    assert ids
    assert [id for id in ids if id not in everything] == [], "an error id leads nowhere"


async def test_every_error_id_of_an_outage_is_in_the_log(app: App, logged: Everything) -> None:
    client = await app.tenant(make_videos(10))
    keys = [app.ops_key]
    mark = "mark" + secrets.token_hex(6)
    before = len(logged.texts)
    with app.documents.in_trouble(Trouble(reads_fail=True, writes_fail=True)):
        answers = await send_everywhere(app, client, keys, mark)
    everything = "\n".join(logged.texts[before:])
    ids = error_ids(answers)
    assert ids
    assert [id for id in ids if id not in everything] == []
    assert mark not in everything
