"""Malformed or forbidden feed requests get a status and a stable code, and none of their input back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from shared.domain.alphabet import from_text
from tests.served_app import Answer, App, Client, make_videos, new_user

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEM_FIELDS = {"type", "title", "status", "code", "detail", "errorId"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(app: App) -> AsyncIterator[Client]:
    yield await app.tenant(make_videos(30))


def is_problem(answer: Answer, status: int, code: str) -> bool:
    """Return whether a response is exactly this problem."""
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert set(answer.json) == PROBLEM_FIELDS
    assert answer.json["status"] == status
    assert answer.json["detail"]
    assert len(answer.json["errorId"]) == 16
    return True


def without_error_id(answer: Answer) -> dict[str, object]:
    return {name: value for name, value in answer.json.items() if name != "errorId"}


@pytest.mark.parametrize(
    ("header", "code"),
    [("X-Tenant-Id", "missing_tenant"), ("X-Api-Key", "missing_api_key"), ("X-User", "missing_user")],
)
@pytest.mark.parametrize("empty", [False, True])
async def test_a_missing_header_is_named(client: Client, header: str, code: str, empty: bool) -> None:
    headers = {name: value for name, value in client.headers.items() if name != header}
    if empty:
        headers[header] = ""
    for method, path in (("GET", "/v1/feed"), ("POST", "/v1/events/batch")):
        answer = await client.app.request(method, path, headers, body=b"{}" if method == "POST" else None)
        assert is_problem(answer, 400, code)
        assert header in answer.json["detail"]


@pytest.mark.parametrize(
    ("header", "code"),
    [("X-Tenant-Id", "invalid_tenant"), ("X-Api-Key", "invalid_api_key"), ("X-User", "invalid_user")],
)
@pytest.mark.parametrize("second", ["the same", "another"])
async def test_a_repeated_header_is_refused(client: Client, header: str, code: str, second: str) -> None:
    headers = client.headers
    repeated = headers[header] if second == "the same" else {"X-User": new_user()}.get(header, "something-else")
    lines = [f"{name}: {value}" for name, value in headers.items()] + [f"{header}: {repeated}"]
    request = "\r\n".join(["GET /v1/feed HTTP/1.1", "Host: localhost", *lines, "Connection: close", "", ""])
    status, body = await client.app.raw(request.encode())
    assert (status, body["code"]) == (400, code)
    assert headers["X-Api-Key"] not in str(body)
    assert headers["X-User"] not in str(body)


async def test_an_unknown_tenant_and_a_wrong_key_get_the_same_answer(client: Client, app: App) -> None:
    stranger = await app.tenant()
    wrong_key = client.with_key(secrets.token_urlsafe(24))
    answers = [
        await wrong_key.feed(),
        await client.with_key(stranger.key).feed(),
        await client.app.request("GET", "/v1/feed", {**client.headers, "X-Tenant-Id": "nobody"}),
        await wrong_key.post([]),
        await wrong_key.get("/v1/config"),
        await wrong_key.get("/v1/debug/user-signals"),
    ]
    for answer in answers:
        assert is_problem(answer, 401, "unauthorized")
        assert without_error_id(answer) == without_error_id(answers[0])
    assert len({answer.json["errorId"] for answer in answers}) == len(answers)


@pytest.mark.parametrize("tenant", ["../tenant", "a b", "x" * 65, "_platform", "tenant_1,tenant_2", "-"])
async def test_a_malformed_tenant_is_refused_and_not_repeated(client: Client, tenant: str) -> None:
    answer = await client.app.request("GET", "/v1/feed", {**client.headers, "X-Tenant-Id": tenant})
    assert is_problem(answer, 400, "invalid_tenant")
    assert tenant not in str(answer.json["detail"]) or tenant == "-"


@pytest.mark.parametrize(
    "user",
    [
        "jane.doe@example.com",
        "+49 170 1234567",
        "00491701234567",
        "user-4711",
        "5F" * 32,
        "5f" * 31,
        "5f" * 33,
        "5g" * 32,
        "0x" + "5f" * 31,
        "ünïcödé",
    ],
)
async def test_a_user_that_is_not_a_hash_is_refused_and_appears_nowhere(
    client: Client, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for answer in (
        await client.feed({"X-User": user}),
        await client.post([], {"X-User": user}),
        await client.with_key(client.app.ops_key).get("/v1/debug/user-signals", {"X-User": user}),
    ):
        assert is_problem(answer, 400, "invalid_user")
        assert user not in answer.body.decode()
        assert all(user not in value for value in answer.headers.values())
    assert user not in caplog.text
    metrics = str(client.app.services.telemetry.counters) + str(client.app.services.telemetry.histograms)
    assert user not in metrics


@pytest.mark.parametrize("limit", ["0", "51", "abc", "-1", "1.5", "1e1", "99999999999", "٣", " 5", "5;", "0x10"])
async def test_a_limit_that_is_no_number_from_1_to_50_is_refused(client: Client, limit: str) -> None:
    answer = await client.feed(limit=limit)
    assert is_problem(answer, 400, "invalid_limit")
    assert "50" in answer.json["detail"]


async def test_a_repeated_limit_is_refused(client: Client) -> None:
    lines = [f"{name}: {value}" for name, value in client.headers.items()]
    request = ["GET /v1/feed?limit=5&limit=6 HTTP/1.1", "Host: localhost", *lines, "Connection: close", "", ""]
    status, body = await client.app.raw("\r\n".join(request).encode())
    assert (status, body["code"]) == (400, "invalid_limit")


async def test_limits_of_1_and_50_are_served_and_a_missing_one_is_the_tenants_default(app: App) -> None:
    client = await app.tenant(make_videos(60), default_limit=7)
    assert len((await client.feed(limit=1)).ids) == 1
    assert len((await client.feed(limit=50)).ids) == 50
    assert len((await client.feed()).ids) == 7
    assert len((await client.feed(limit="")).ids) == 7


@pytest.mark.parametrize("consent", ["no", "off,off", "0", "false", "off, on"])
async def test_unreadable_consent_header_is_refused_on_both_paths(client: Client, consent: str) -> None:
    """A guess would either ignore an opt-out or invent one."""
    header = {"X-Personalization": consent}
    event = {"type": "like", "videoId": "vid_fitness_1", "timestamp": client.app.now_ms()}
    assert is_problem(await client.feed(header), 400, "invalid_personalization")
    assert is_problem(await client.post([event], header), 400, "invalid_personalization")


# ---- cursors


async def test_a_cursor_of_another_user_or_tenant_is_refused(client: Client, app: App) -> None:
    cursor = (await client.feed(limit=5)).json["nextCursor"]
    neighbor = (await app.tenant(make_videos(30))).as_user(client.user)
    assert is_problem(await client.as_user().feed(cursor=cursor), 400, "invalid_cursor")
    assert is_problem(await neighbor.feed(cursor=cursor), 400, "invalid_cursor")
    assert (await client.feed(cursor=cursor)).status == 200


@pytest.mark.parametrize(
    "cursor", ["x", "nulls", "eyJvZmZzZXQiOjIwfQ", "=", "%00", "é", "A" * 4_096, "A" * 4_097, "-" * 100, "../../etc"]
)
async def test_invalid_cursor_is_refused_and_not_repeated(client: Client, cursor: str) -> None:
    answer = await client.feed(cursor=cursor)
    assert is_problem(answer, 400, "invalid_cursor")
    assert len(cursor) < 4 or cursor not in answer.body.decode()


async def test_altered_cursor_is_refused(client: Client) -> None:
    cursor = (await client.feed(limit=3)).json["nextCursor"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
    for at in range(0, len(cursor), 5):
        other = alphabet[(alphabet.index(cursor[at]) + 1) % 64]
        assert is_problem(await client.feed(cursor=cursor[:at] + other + cursor[at + 1 :]), 400, "invalid_cursor")
    for odd in (cursor[:-1], cursor + "A", cursor + "====", cursor + "!!!!", cursor[:8] + "...." + cursor[8:]):
        assert is_problem(await client.feed(cursor=odd), 400, "invalid_cursor")


async def test_cursor_content_is_encrypted(client: Client) -> None:
    page = await client.feed(limit=3)
    raw = from_text(page.json["nextCursor"])
    assert all(id.encode() not in raw for id in page.ids)
    again = await client.feed(limit=3)
    assert again.json["nextCursor"] != page.json["nextCursor"]


# ---- refusals of the host


async def test_unknown_path_and_wrong_method_are_problem_responses(client: Client) -> None:
    assert (await client.get("/v1/nothing")).status == 404
    assert (await client.app.request("POST", "/v1/feed", client.headers)).status == 405
    assert (await client.get("/v1/events/batch")).status == 405
    assert (await client.get("/api/v1/feed")).status == 404, "there is no route prefix"


async def test_neither_key_nor_user_nor_query_of_any_refused_request_is_logged(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    marks = {"limit": "limit-mark-4711", "cursor": "cursor-mark-4711", "country": "country-mark-4711"}
    key, user = "key-mark-4711-key-mark", "user-mark-4711"
    for headers in (client.headers, {**client.headers, "X-Api-Key": key}, {**client.headers, "X-User": user}):
        for name, value in marks.items():
            answer = await client.app.request("GET", f"/v1/feed?{name}={quote(value)}", headers)
            assert answer.status in (400, 401) or (answer.status, name) == (200, "country")
            assert "mark-4711" not in answer.body.decode()
    assert "mark-4711" not in caplog.text


# ---- scopes


@pytest.mark.parametrize("scope", ["sdk", "cms", "ops"])
async def test_sdk_cms_and_ops_keys_can_request_a_feed(app: App, scope: str) -> None:
    client = await app.tenant(make_videos(3))
    key = secrets.token_urlsafe(24)
    await app.save_key(client.tenant_id, key, scope, name=f"for {scope}")
    assert (await client.with_key(key).feed()).status == 200


async def test_privacy_key_cannot_request_a_feed(app: App) -> None:
    client = await app.tenant(make_videos(3))
    key = secrets.token_urlsafe(24)
    await app.save_key(client.tenant_id, key, "privacy", name="privacy")
    assert is_problem(await client.with_key(key).feed(), 403, "forbidden")
    assert is_problem(await client.with_key(key).post([]), 403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/debug/user-signals"), ("POST", "/v1/debug/set-personalization?enable=false")]
)
async def test_sdk_key_cannot_use_debug_endpoints(client: Client, method: str, path: str) -> None:
    assert is_problem(await client.app.request(method, path, client.headers), 403, "forbidden")


async def test_two_keys_work_during_a_rotation_and_an_expired_one_does_not(app: App) -> None:
    from shared.adapters.documents.port import TENANTS, Upsert
    from shared.adapters.tenant_directory import ApiKey

    client = await app.tenant(make_videos(3))
    second = secrets.token_urlsafe(24)
    await app.save_key(client.tenant_id, second, "sdk", name="second")
    assert (await client.feed()).status == (await client.with_key(second).feed()).status == 200
    hash = app.services.identity.api_key_hash(client.key)
    old = ApiKey("key:app", "app", hash, frozenset({"sdk"}), expires_at=app.clock.now() - 1)
    await app.documents.write(TENANTS, client.tenant_id, [Upsert(old.to_document())])
    await app.services.tenants_refresher.refresh()
    assert (await client.feed()).status == 401
    assert (await client.with_key(second).feed()).status == 200
