"""Response headers appear once, are correct, and are readable by pages of allowed origins."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import function_app
from shared.settings import BadSetting
from shared.web.cors import TRACING_HEADERS, Cors
from shared.web.declaration import Endpoint
from shared.web.endpoint import Edge, headers_of
from tests.cases.http_caches import chromium_cache
from tests.served_app import App, Client, make_videos, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE = "https://app.example"
ENDPOINTS: tuple[Endpoint, ...] = function_app.api.endpoints
READABLE = {"cache-control", "content-length", "content-type"}
"""Headers that a page of another origin can always read."""
FOR_THE_BROWSER = {
    "content-encoding", "vary", "date", "server", "x-content-type-options", "access-control-allow-origin",
    "access-control-expose-headers", "content-security-policy", "referrer-policy", "cross-origin-opener-policy",
    "permissions-policy", "x-frame-options",
}  # fmt: skip
"""Headers of no use to a page."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_origin() -> AsyncIterator[str]:
    """The origin of an empty page on another host."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>app</title>", content_type="text/html")

    site = web.Application()
    site.router.add_get("/", page)
    runner = web.AppRunner(site)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    yield f"http://localhost:{listening.port}"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory, page_origin: str) -> AsyncIterator[App]:
    origins = f"{HERE},capacitor://localhost,{page_origin}"
    async with served(tmp_path_factory.mktemp("app"), cors_origins=origins) as app:
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(app: App) -> AsyncIterator[Client]:
    tenant = await app.tenant(make_videos(5))
    await app.save_key(tenant.tenant_id, f"{tenant.key}-all", "sdk", "cms", "privacy", "ops", name="every scope")
    yield tenant.with_key(f"{tenant.key}-all")


def listed(value: str) -> list[str]:
    """Return the parts of a list header."""
    return [part.strip().lower() for part in value.split(",")]


# ---- each header once, with a correct value


def is_true(method: str, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    """Fail if a header or a part of one is repeated, or if one is missing or of the wrong kind."""
    names = Counter(name.lower() for name, _ in headers)
    assert [name for name, count in names.items() if count > 1] == []
    found = {name.lower(): value for name, value in headers}
    media_type, *parameters = [part.strip() for part in found["content-type"].split(";")]
    assert len({part.partition("=")[0] for part in parameters}) == len(parameters)
    if body:
        starts = {"application/json": b"{", "application/problem+json": b"{", "text/html": b"<!doctype html>"}
        assert body.startswith(starts.get(media_type, b""))
        assert (media_type == "application/problem+json") == (b'"errorId"' in body and status >= 400)
    if method != "OPTIONS":
        assert found["cache-control"]
    for name in ("vary", "cache-control", "access-control-expose-headers", "access-control-allow-headers"):
        parts = listed(found.get(name, ""))
        assert len(set(parts)) == len(parts)


async def asked(
    app: App, method: str, path: str, headers: Mapping[str, str]
) -> tuple[int, list[tuple[str, str]], bytes]:
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    async with app.http.request(method, app.url + path, headers=headers, data=body) as response:
        raw = [(name.decode(), value.decode()) for name, value in response.raw_headers]
        return response.status, raw, await response.read()


paths = st.sampled_from(["index.html", "app.js", "studio.css", "icon.svg", "vid_fitness_1", "x", "no such thing"])
header_sets = st.fixed_dictionaries(
    {"Content-Type": st.just("application/json")},
    optional={
        "Origin": st.sampled_from([HERE, "capacitor://localhost", "https://evil.example"]),
        "If-None-Match": st.sampled_from(["*", '"x"']),
        "X-Personalization": st.sampled_from(["on", "off", "maybe"]),
        "X-Reason": st.just("why"),
    },
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    declared=st.sampled_from(ENDPOINTS),
    method=st.sampled_from(["", "", "HEAD", "OPTIONS"]),
    path=paths,
    key=st.sampled_from(["good", "good", "wrong", "none"]),
    extra=header_sets,
)
async def test_no_response_header_repeats_and_the_content_type_is_right(
    client: Client, declared: Endpoint, method: str, path: str, key: str, extra: dict[str, str]
) -> None:
    method = method or declared.method
    who = {"good": client.headers, "wrong": client.with_key("a-guessed-key").headers, "none": {}}[key]
    route = declared.path
    for name in declared.path_names:
        route = route.replace(f"{{{name}}}", path)
    # Keys are not revoked: that would end the test.
    if declared.tag == "access" and declared.method != "GET":
        who = {}
    status, headers, body = await asked(client.app, method, f"/{route}", {**who, **extra})
    is_true(method, status, headers, body)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/studio", "text/html; charset=utf-8"),
        ("/studio/app.js", "text/javascript; charset=utf-8"),
        ("/studio/studio.css", "text/css; charset=utf-8"),
        ("/studio/icon.svg", "image/svg+xml"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/reference.js", "text/javascript; charset=utf-8"),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8"),
        ("/docs/favicon-32x32.png", "image/png"),
        ("/openapi.json", "application/json"),
        ("/health", "application/json"),
        ("/v1/feed", "application/json"),
        ("/v1/config", "application/json"),
        ("/v1/feed?limit=0", "application/problem+json"),
        ("/nowhere", "application/problem+json"),
    ],
)
async def test_each_path_has_its_content_type_also_in_a_304(client: Client, path: str, content_type: str) -> None:
    full = await client.get(path)
    assert full.headers["Content-Type"] == content_type
    if "Etag" in full.headers:
        unchanged = await client.get(path, {"If-None-Match": full.headers["Etag"]})
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert unchanged.headers["Content-Type"] == content_type
        for name in ("Cache-Control", "Etag", "Vary", "X-Content-Type-Options"):
            assert unchanged.headers.get(name) == full.headers.get(name)


# ---- Vary names every relevant header


class Watched(dict[str, str]):
    """Request headers that record which of them are read by name."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})
        self.read: set[str] = set()
        self.__http_headers__ = self  # as in the SDK's mapping

    def __contains__(self, name: object) -> bool:
        self.read.add(str(name).lower())
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name.lower())
        return super().get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        self.read.add(name.lower())
        return super().__getitem__(name.lower())


class WatchedRequest(func.HttpRequest):
    """A request with such headers."""

    def __init__(self, headers: Mapping[str, str], **fields: Any) -> None:
        super().__init__("GET", body=b"", **fields)
        self.watched = Watched(headers)

    @property
    def headers(self) -> Any:
        return self.watched


CHOOSE_NO_CONTENT = {"if-none-match", "traceparent"}


@pytest.mark.parametrize("declared", [e for e in ENDPOINTS if e.method == "GET" and not e.plain], ids=lambda e: e.name)
async def test_vary_names_every_request_header_that_was_read(client: Client, declared: Endpoint) -> None:
    api: Any = next(each for kind, each in client.app.services.apis.items() if declared.handler in vars(kind).values())
    for headers in ({}, client.headers, {**client.headers, "Origin": HERE, "If-None-Match": "*"}):
        request = WatchedRequest(
            headers, url="http://h/", route_params=dict.fromkeys(declared.path_names, "index.html")
        )
        edge: Edge = api.edge
        response = await edge.answer(declared, api, request)
        if response.headers["Cache-Control"] != "no-store":
            assert request.watched.read - CHOOSE_NO_CONTENT <= set(listed(response.headers["Vary"]))


async def test_feed_and_configuration_vary_by_caller(client: Client) -> None:
    who = ["x-tenant-id", "x-api-key"]
    about = ["x-user", "x-user-token", "x-personalization"]
    always = ["accept-encoding", "origin"]
    for path, names in (("/v1/feed", [*who, *about, *always]), ("/v1/config", [*who, *always])):
        page = await client.get(path)
        unchanged = await client.get(path, {"If-None-Match": page.headers["Etag"], "Origin": HERE})
        refused = await client.with_key("a-guessed-key").get(path)
        assert (page.status, unchanged.status, refused.status) == (200, 304, 401)
        for answer in (page, unchanged, refused):
            assert listed(answer.headers["Vary"]) == names
        assert refused.headers["Cache-Control"] == "no-store"


async def test_responses_of_the_host_itself_are_not_cached(client: Client) -> None:
    for method, path in (("GET", "/v1/nothing"), ("DELETE", "/v1/feed")):
        status, headers, _ = await asked(client.app, method, path, client.headers)
        assert status in (404, 405)
        assert dict(headers)["Cache-Control"] == "no-store"


async def test_cors_appends_to_vary() -> None:
    assert Cors(HERE).vary("X-User") == "X-User, Origin"
    assert Cors(HERE).vary("") == "Origin"
    assert Cors("").vary("X-User") == "X-User"


async def test_lower_case_names_find_headers_in_every_mapping_of_the_library() -> None:
    sent = {"X-User": "u", "x-api-key": "k"}
    request = func.HttpRequest("GET", "/", headers=sent, body=b"")
    other = SimpleNamespace(headers=MappingProxyType(sent))
    assert headers_of(request) == headers_of(other) == {"x-user": "u", "x-api-key": "k"}  # type: ignore[arg-type]


# ---- origins

schemes = st.sampled_from(["capacitor", "ionic", "app", "tauri", "http", "https", "chrome-extension", "x-my.app+1"])
hosts = st.text("abz01-.", min_size=1, max_size=12)


@given(scheme=schemes, host=hosts, other=hosts)
async def test_listed_origin_of_any_scheme_is_compared_exactly(scheme: str, host: str, other: str) -> None:
    origin = f"{scheme}://{host}"
    cors = Cors(f"https://first.example, {origin}")
    assert cors.preflight(origin)
    for wrong in (f"{scheme}://{other}", origin.upper(), f"{origin}/", f"{origin}.evil.example", f"evil-{origin}"):
        if wrong != origin:
            assert cors.preflight(wrong) == {}


@pytest.mark.parametrize(
    "origin",
    [
        "capacitor://localhost", "ionic://localhost", "http://localhost", "http://localhost:8100", "app://.",
        "tauri://localhost", "https://[::1]:8443", "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    ],
)  # fmt: skip
async def test_the_origin_of_a_hybrid_app_can_be_listed(origin: str) -> None:
    headers: dict[str, str] = {}
    Cors(origin).mark(headers, origin)
    assert headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "setting",
    [
        "null", "*", "file://", "file:///", "file://localhost", "FILE://x", "https://*", "https://*.app.example",
        "capacitor://*", "*://localhost", "capacitor://", "capacitor:localhost", "capacitor://localhost/",
        "capacitor://user@localhost", "capacitor://local host", "https://app.example/path", "HTTPS://app.example",
        "https://app.example?x", "localhost", "://localhost", "https://", "https://App.example", f"{HERE} {HERE}",
    ],
)  # fmt: skip
async def test_value_that_is_no_single_origin_is_refused_at_the_start(setting: str) -> None:
    with pytest.raises(BadSetting, match="CORS_ORIGINS"):
        Cors(f"{HERE},{setting}")


async def test_unlisted_or_opaque_origin_gets_no_cors_headers(client: Client) -> None:
    for origin in ("null", "file://", "capacitor://localhost.evil", "CAPACITOR://localhost", f"{HERE},{HERE}"):
        for method in ("OPTIONS", "GET"):
            _, headers, _ = await asked(client.app, method, "/v1/feed", {**client.headers, "Origin": origin})
            assert not [name for name, _ in headers if name.lower().startswith("access-control")]


# ---- headers a page can send and read


async def allowed(app: App, path: str) -> set[str]:
    preflight = {"Origin": HERE, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x"}
    answer = await app.request("OPTIONS", path, preflight)
    return set(listed(answer.headers["Access-Control-Allow-Headers"]))


async def test_cors_allows_every_header_that_is_read_and_those_of_tracing(app: App) -> None:
    tracing = {"traceparent", "tracestate", "baggage", "x-request-id", "x-correlation-id", "sentry-trace"}
    for declared in ENDPOINTS:
        if declared.cors:
            read = {p.name.lower() for p in declared.parameters if p.where == "header"}
            read |= {"x-tenant-id", "x-api-key", "content-type"}
            assert read | tracing <= await allowed(app, f"/{declared.path}")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(declared=st.sampled_from([e for e in ENDPOINTS if e.cors]), key=st.booleans(), extra=header_sets)
async def test_cors_exposes_every_header_meant_for_the_page(
    client: Client, declared: Endpoint, key: bool, extra: dict[str, str]
) -> None:
    sent = {**(client.headers if key else {}), **extra, "Origin": HERE}
    _, headers, _ = await asked(client.app, declared.method, f"/{declared.path}", sent)
    found = {name.lower(): value for name, value in headers}
    exposed = set(listed(found["access-control-expose-headers"]))
    assert set(found) - FOR_THE_BROWSER - READABLE <= exposed


def _traced() -> Iterator[tuple[str, str]]:
    for name in listed(TRACING_HEADERS):
        yield name, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" if name == "traceparent" else "1"


async def test_a_page_with_tracing_gets_its_feed_in_a_browser(client: Client, page_origin: str) -> None:
    async with chromium_cache(page_origin) as fetch:
        answer = await fetch(f"{client.app.url}/v1/feed", {**client.headers, **dict(_traced())})
    assert answer.status == 200
    assert answer.headers["ETag"].startswith("W/")
