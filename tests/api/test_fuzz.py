"""Random cursors, ids, tokens and event batches get a response below 500 that repeats no input.

The handlers are called as the host calls them, without sockets, so many cases run in a second.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import azure.functions as func
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import bootstrap
import function_app
from bootstrap import App
from feed.query import NOTHING
from shared.domain.alphabet import from_text, to_text
from shared.domain.records import Tenant
from tests.api import contract
from tests.parts import app_functions
from tests.served_app import make_videos
from tests.user_tokens import save_public_key, signer

USER = "5f" * 32
ANY_TEXT = st.text(max_size=200) | st.text("-_=.%/+,;:'\"\\{}[]<> \n\r\tABCxyz0189", max_size=400)
URL_TEXT = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", max_size=600)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["video_view", "skip", "like", "impression", "purchase"]) | ANY_JSON,
        "videoId": st.sampled_from(["vid_fitness_1", "vid_nobody"]) | ANY_JSON,
        "timestamp": st.integers() | st.floats() | st.datetimes().map(str) | ANY_JSON,
        "watchTimeMs": st.integers() | st.floats() | ANY_JSON,
        "feedRequestId": URL_TEXT | ANY_JSON,
        "rankPosition": st.integers() | ANY_JSON,
        "eventId": ANY_TEXT | ANY_JSON,
        "surprise": ANY_JSON,
    },
)
fuzzed = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@dataclass
class Room:
    """The app's handlers on stores of their own, with counts of calls by result."""

    loop: asyncio.AbstractEventLoop
    services: App
    tenant_id: str
    key: str
    statuses: Counter[int] = field(default_factory=Counter)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def call(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> func.HttpResponse:
        sent = {"x-tenant-id": self.tenant_id, "x-api-key": self.key, "x-user": USER, **(headers or {})}
        handler = handlers()[method, path]
        request = func.HttpRequest(method, f"http://localhost{path}", headers=sent, params=params or {}, body=body)
        response: func.HttpResponse = self.run(handler(request))
        self.statuses[response.status_code] += 1
        assert response.status_code < 500, response.get_body()
        contract.check(method, path, response.status_code, _capitalized(response), response.get_body())
        return response


@cache
def handlers() -> dict[tuple[str, str], Callable[[func.HttpRequest], Coroutine[Any, Any, func.HttpResponse]]]:
    """Return the app's functions by method and path."""
    functions = {each.get_function_name(): each.get_user_function() for each in app_functions()}
    return {(each.method, f"/{each.path}"): functions[each.name] for each in function_app.api.endpoints}


def _capitalized(response: func.HttpResponse) -> dict[str, str]:
    return {name.title(): value for name, value in response.headers.items()} | {"Content-Type": response.mimetype}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    from local.serving import first_flags
    from shared.adapters.tenant_directory import save_key, save_tenant
    from shared.settings import Settings

    folder: Path = tmp_path_factory.mktemp("fuzz")
    first_flags(folder / "flags.json")
    loop = asyncio.new_event_loop()
    services = bootstrap.build(
        Settings(
            data_folder=str(folder),
            user_requests_per_second=1e6,
            signals_budget_ms=250.0,
            publish_budget_ms=30_000.0,
            shed_delay_ms=60_000.0,
            refuse_delay_ms=60_000.0,
        )
    )
    bootstrap.use(services)
    key = secrets.token_urlsafe(24)

    async def prepare() -> None:
        from local.demo import save_videos

        await services.start()
        await save_tenant(services.documents, Tenant("tenant-1", "R"))
        await save_key(services.documents, services.identity, "tenant-1", "app", key, frozenset({"sdk"}))
        await save_public_key(services.documents, "tenant-1", signer("ES256"))
        await save_videos(services, "tenant-1", make_videos(30))
        assert await services.tenants_refresher.refresh()

    loop.run_until_complete(prepare())
    room = Room(loop, services, "tenant-1", key)
    yield room
    bootstrap.use(None)
    loop.run_until_complete(services.close())
    loop.close()
    print(f"\nfuzz: {sum(room.statuses.values()):,} cases, by status {dict(sorted(room.statuses.items()))}, 5xx 0")


def refused(response: func.HttpResponse, sent: str, *codes: str) -> None:
    problem = orjson.loads(response.get_body())
    assert problem["code"] in codes, problem
    assert len(sent) < 12 or sent not in problem["detail"]


@fuzzed
@given(ANY_TEXT | URL_TEXT)
def test_random_text_is_not_a_valid_cursor(room: Room, text: str) -> None:
    if text and text.lower() not in NOTHING:
        refused(room.call("GET", "/v1/feed", params={"cursor": text}), text, "invalid_cursor", "query_too_long")


@fuzzed
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=5))
def test_altered_cursor_is_rejected(room: Room, changes: list[tuple[int, int]]) -> None:
    page = room.call("GET", "/v1/feed", params={"limit": "3"})
    cursor: str = orjson.loads(page.get_body())["nextCursor"]
    raw = bytearray(from_text(cursor))
    before = bytes(raw)
    for at, value in changes:
        raw[at % len(raw)] = value
    if bytes(raw) != before:
        changed = to_text(bytes(raw))
        refused(room.call("GET", "/v1/feed", params={"cursor": changed}), changed, "invalid_cursor")


@fuzzed
@given(ANY_TEXT | st.text("0123456789abcdefABCDEF", min_size=60, max_size=68))
def test_only_64_hex_digits_are_accepted_as_a_user(room: Room, text: str) -> None:
    response = room.call("GET", "/v1/feed", headers={"x-user": text})
    if response.status_code == 200:
        assert len(text) == 64
        assert set(text) <= set("0123456789abcdef")
    else:
        refused(response, text, "invalid_user", "missing_user")


@fuzzed
@given(ANY_TEXT)
def test_random_text_is_not_a_valid_key_or_another_tenant(room: Room, text: str) -> None:
    if text != room.key:
        refused(
            room.call("GET", "/v1/feed", headers={"x-api-key": text}),
            text,
            "unauthorized",
            "invalid_api_key",
            "missing_api_key",
        )
    if text != room.tenant_id:
        refused(
            room.call("GET", "/v1/feed", headers={"x-tenant-id": text}),
            text,
            "unauthorized",
            "invalid_tenant",
            "missing_tenant",
        )


@fuzzed
@given(ANY_TEXT | st.lists(URL_TEXT, min_size=2, max_size=5).map(".".join))
@example("..")
@example("eyJhbGciOiJub25lIn0.e30.")
def test_random_text_is_not_a_valid_user_token(room: Room, text: str) -> None:
    if text:
        for method, path in (("GET", "/v1/feed"), ("POST", "/v1/privacy/export")):
            refused(room.call(method, path, headers={"x-user-token": text}), text, "invalid_user_token")


@fuzzed
@given(
    st.dictionaries(st.sampled_from(["limit", "country", "language", "ageBand", "platform", "Cursor", "x"]), ANY_TEXT)
)
def test_no_query_breaks_the_feed(room: Room, params: dict[str, str]) -> None:
    room.call("GET", "/v1/feed", params=params)


@fuzzed
@given(st.binary(max_size=2_000) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_breaks_the_events_endpoint(room: Room, body: bytes) -> None:
    assert 400 <= room.call("POST", "/v1/events/batch", body=body).status_code < 500


@fuzzed
@given(st.lists(EVENT | ANY_JSON, min_size=1, max_size=6), st.text("abc\n\r'\"{}", max_size=210))
def test_every_event_is_either_accepted_or_refused_by_its_index(room: Room, events: list[Any], name: str) -> None:
    body = json.dumps({"events": events}).encode()
    response = room.call("POST", "/v1/events/batch", headers={"idempotency-key": name}, body=body)
    if response.status_code == 202:
        receipt = orjson.loads(response.get_body())
        assert receipt["accepted"] + len(receipt["rejected"]) == len(events)


@fuzzed
@given(URL_TEXT | ANY_TEXT)
def test_random_text_is_not_a_valid_feed_request_id(room: Room, text: str) -> None:
    from shared.domain.feed_receipt import verify

    keys = room.services.keys.for_purpose("feed-request")
    assert verify(text, keys, room.tenant_id, "user", room.services.clock()) is None


@fuzzed
@given(ANY_TEXT, st.text("0123456789", max_size=8), ANY_TEXT)
def test_no_conditional_header_breaks_the_feed(room: Room, etag: str, limit: str, consent: str) -> None:
    headers = {"if-none-match": etag, "x-personalization": consent, "origin": etag, "traceparent": etag}
    room.call("GET", "/v1/feed", headers=headers, params={"limit": limit} if limit else {})
