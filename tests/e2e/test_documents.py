"""The API documents and the reference page as served, with CORS and Content-Security-Policy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import function_app
from shared.settings import BadSetting
from shared.web.cors import Cors
from tests.e2e.test_bad_requests import is_problem
from tests.served_app import App, Client, make_videos, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE, ELSEWHERE = "https://app.example", "https://evil.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    async with served(tmp_path_factory.mktemp("app"), cors_origins=f"{HERE}, http://localhost:3000") as app:
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(app: App) -> AsyncIterator[Client]:
    yield await app.tenant(make_videos(5))


async def test_api_document_is_public(app: App) -> None:
    answer = await app.request("GET", "/openapi.json")
    assert (answer.status, answer.json) == (200, function_app.api.document)


async def test_app_document_is_served_on_request(app: App) -> None:
    answer = await app.request("GET", "/openapi.json", None, {"for": "sdk"})
    assert (answer.status, answer.json) == (200, function_app.api.sdk_document)
    assert len(answer.body) * 2 < len(function_app.api.json)
    other = await app.request("GET", "/openapi.json", None, {"for": "everybody"})
    assert other.json == function_app.api.document


async def test_api_reference_policy_allows_only_our_own_files(app: App) -> None:
    answer = await app.request("GET", "/docs")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("form-action") == "'none'"
    assert policy.pop("frame-ancestors") == "'none'"
    assert policy.pop("img-src") == "'self' data:"
    assert policy == {"script-src": "'self'", "style-src": "'self'", "connect-src": "'self'"}


async def test_exactly_the_files_of_the_reference_are_served(app: App) -> None:
    page = (await app.request("GET", "/docs")).body.decode()
    files = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page)
    assert len(files) == 4
    for file in files:
        answer = await app.request("GET", file)
        assert (answer.status, len(answer.body) > 200) == (200, True)
        kept = await app.request("GET", file, {"If-None-Match": answer.headers["Etag"]})
        assert (kept.status, kept.body) == (304, b"")
    for name in ("core.py", "swagger-ui.js", "..%2Fendpoint.py", "LICENSE"):
        assert (await app.request("GET", f"/docs/{name}")).status == 404


@pytest.mark.parametrize("path", ["/v1/feed", "/v1/events/batch", "/v1/config", "/v1/privacy/erase"])
async def test_a_preflight_is_answered_without_a_key(app: App, path: str) -> None:
    asked = {"Origin": HERE, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-api-key"}
    answer = await app.request("OPTIONS", path, asked)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == HERE
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert all(name.lower() in allowed for name in ("X-User", "X-User-Token", "X-Api-Key", "Content-Type"))
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_unlisted_origin_gets_no_cors_headers(app: App, client: Client) -> None:
    for origin in (ELSEWHERE, "null", HERE + ".evil.example", HERE.upper(), HERE + "/"):
        for answer in (
            await app.request("OPTIONS", "/v1/feed", {"Origin": origin}),
            await client.feed({"Origin": origin}),
        ):
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_allowed_origin_reads_pages_and_problems(client: Client) -> None:
    page = await client.feed({"Origin": HERE})
    problem = await client.feed({"Origin": HERE}, limit=0)
    unchanged = await client.feed({"Origin": HERE, "If-None-Match": page.headers["Etag"]})
    assert (page.status, problem.status, unchanged.status) == (200, 400, 304)
    for answer in (page, problem, unchanged):
        assert answer.headers["Access-Control-Allow-Origin"] == HERE
        assert answer.headers["Vary"].endswith(", Origin")
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"ETag", "Retry-After", "Date"} <= set(exposed)


@pytest.mark.parametrize("setting", ["*", "https://*.app.example", "https://app.example/", "app.example", "null"])
async def test_setting_that_would_allow_any_origin_is_refused(setting: str) -> None:
    with pytest.raises(BadSetting, match="CORS_ORIGINS"):
        Cors(setting)


async def test_no_origin_is_allowed_by_default() -> None:
    headers: dict[str, str] = {}
    Cors("").mark(headers, HERE)
    assert headers == {}
    assert Cors("").preflight(HERE) == {}
    assert Cors("").preflight(None) == {}


async def test_headers_of_more_than_16_kb_are_refused(client: Client) -> None:
    many = {f"X-Note-{number}": "x" * 4_000 for number in range(5)}
    assert is_problem(await client.feed(many), 431, "headers_too_large")
    assert (await client.feed({"X-Note": "x" * 4_000})).status == 200


async def test_a_url_of_more_than_6000_characters_is_refused(client: Client) -> None:
    assert is_problem(await client.feed(note="x" * 6_000), 414, "query_too_long")
    assert (await client.feed(note="x" * 3_000)).status == 200
