"""HTTP of the local host over real sockets with a toy app: requests, responses, failures, limits, stopping."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator

import azure.functions as func
import pytest
from aiohttp import ClientSession

from local.host import LocalHost
from local.http_server import CannotListen, PortTaken
from tests.local.bus import FakeBus

HOST_JSON = {"extensions": {"http": {"routePrefix": ""}}}
MAX_BODY = 1000


class Gate:
    """Holds requests inside a function until a test releases them."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.open = asyncio.Event()
        self.entered = asyncio.Condition()

    async def wait_for(self, inside: int) -> None:
        async with self.entered:
            await self.entered.wait_for(lambda: self.inside >= inside)

    async def pass_through(self) -> None:
        async with self.entered:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.entered.notify_all()
        try:
            await self.open.wait()
        finally:
            self.inside -= 1


def toy_app(gate: Gate) -> func.FunctionApp:
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route("echo/{name}", methods=["GET", "POST"])
    async def echo(req: func.HttpRequest) -> func.HttpResponse:
        seen = {
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "query": dict(req.params),
            "route": dict(req.route_params),
            "body": req.get_body().decode("latin-1"),
        }
        return func.HttpResponse(json.dumps(seen), mimetype="application/json")

    @app.route("answers/{kind}", methods=["GET", "DELETE"])
    async def answers(req: func.HttpRequest) -> func.HttpResponse:
        kind = req.route_params["kind"]
        if kind == "empty":
            return func.HttpResponse(status_code=202)
        if kind == "304":
            return func.HttpResponse(b"not sent", status_code=304, headers={"ETag": 'W/"1"'})
        if kind == "binary":
            return func.HttpResponse(bytes(range(256)), mimetype="application/octet-stream")
        return func.HttpResponse("ok", headers={"X-One": "1"})

    @app.route("fails", methods=["POST"])
    async def fails(req: func.HttpRequest) -> func.HttpResponse:
        try:
            raise KeyError(req.headers["x-api-key"])
        except KeyError as error:
            raise ValueError(req.get_body().decode()) from error

    @app.route("wrong", methods=["GET"])
    async def wrong(req: func.HttpRequest) -> func.HttpResponse:
        return {"not": "a response"}  # type: ignore[return-value]

    @app.route("gate", methods=["GET"])
    async def waits(req: func.HttpRequest) -> func.HttpResponse:
        await gate.pass_through()
        return func.HttpResponse("through")

    return app


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
async def host(gate: Gate) -> AsyncIterator[LocalHost]:
    host = LocalHost(toy_app(gate), FakeBus(), HOST_JSON, max_body_bytes=MAX_BODY)
    await host.start(port=0)
    yield host
    await host.stop(grace_seconds=0.01)


@pytest.fixture
async def client(host: LocalHost) -> AsyncIterator[ClientSession]:
    async with ClientSession(f"http://127.0.0.1:{host.port}") as session:
        yield session


async def raw(host: LocalHost, request: str | bytes) -> str:
    """Send raw bytes; return everything received until the connection closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
    writer.write(request.encode("latin-1") if isinstance(request, str) else request)
    answer = await reader.read()
    writer.close()
    return answer.decode("latin-1")


def one(start_line: str, *headers: str, body: str = "") -> str:
    return "\r\n".join([start_line + " HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", body])


async def echo(host: LocalHost, request: str) -> dict:
    return json.loads((await raw(host, request)).partition("\r\n\r\n")[2])


# ---- requests


async def test_header_names_are_lower_case_and_repeated_ones_joined(host: LocalHost) -> None:
    seen = await echo(host, one("GET /echo/x", "X-Tenant-Id: a", "X-API-KEY: k", "x-tenant-id: b", "X-Empty:"))
    assert seen["headers"]["x-tenant-id"] == "a,b"
    assert seen["headers"]["x-api-key"] == "k"
    assert seen["headers"]["x-empty"] == ""


async def test_repeated_query_parameters_are_joined_and_empty_ones_omitted(host: LocalHost) -> None:
    seen = await echo(host, one("GET /echo/x?limit=1&cursor=&Limit=2&a+b=c%20d%2B&e&limit=&x=%C3%A9"))
    assert seen["query"] == {"limit": "1,2", "a b": "c d+", "x": "é"}


async def test_path_is_percent_decoded_except_for_slashes(host: LocalHost) -> None:
    seen = await echo(host, one("GET /echo/caf%C3%A9%20%252F%2Fb%25"))
    assert seen["route"] == {"name": "café %2F%2Fb%"}


@pytest.mark.parametrize(
    "path", ["/x/../echo/n", "/./echo/n", "/../../echo/n", "/%65cho/n", "/echo/m/../n", "/echo/n/."]
)
async def test_dot_segments_and_percent_encoding_are_resolved_before_routing(host: LocalHost, path: str) -> None:
    assert (await echo(host, one(f"GET {path}")))["route"] == {"name": "n"}


async def test_the_url_is_the_one_that_was_requested(host: LocalHost) -> None:
    assert (await echo(host, one("GET /echo/a%20b?x=1")))["url"] == "http://localhost/echo/a%20b?x=1"


async def test_body_is_passed_unchanged_even_if_declared_compressed(client: ClientSession) -> None:
    body = b"\x00\xff not gzip"
    async with client.post("/echo/x", data=body, headers={"Content-Encoding": "gzip"}) as answer:
        assert (await answer.json())["body"] == body.decode("latin-1")


async def test_chunked_body_arrives_whole(client: ClientSession) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for part in (b"one ", b"two ", b"three"):
            yield part

    async with client.post("/echo/x", data=chunks()) as answer:
        assert (await answer.json())["body"] == "one two three"


async def test_expect_100_continue_is_answered_before_the_body_is_sent(host: LocalHost) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
    writer.write(one("POST /echo/x", "Content-Length: 2", "Expect: 100-continue").encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 100")
    writer.write(b"hi")
    answer = await reader.read()
    assert b"HTTP/1.1 200" in answer
    assert b'"body": "hi"' in answer
    writer.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_413(client: ClientSession, chunked: bool) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY):
            yield b"x" * 100

    async with client.post("/echo/x", data=endless() if chunked else b"x" * (MAX_BODY + 1)) as answer:
        assert answer.status == 413
        assert (await answer.json())["code"] == "too_large"
    async with client.post("/echo/x", data=b"x" * MAX_BODY) as answer:
        assert answer.status == 200


async def test_a_malformed_body_is_400(host: LocalHost) -> None:
    answer = await raw(host, one("POST /echo/x", "Transfer-Encoding: chunked", body="2\r\nab\r\nnonsense\r\n"))
    assert "400 Bad Request" in answer.splitlines()[0]


async def test_disconnect_during_an_upload_is_not_logged(host: LocalHost, caplog: pytest.LogCaptureFixture) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", host.port)
    writer.write(one("POST /echo/x", "Content-Length: 100", body="a little").encode())
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()
    await host.stop(grace_seconds=5)
    assert caplog.text == ""


async def test_a_header_that_is_not_utf8_is_400(host: LocalHost) -> None:
    assert (await raw(host, one("GET /echo/x", "X-Odd: \xff\xfe"))).startswith("HTTP/1.1 400")


# ---- responses


async def test_headers_of_a_function_reach_the_client(client: ClientSession) -> None:
    async with client.get("/answers/headers") as answer:
        assert (answer.headers["X-One"], answer.headers["Content-Length"]) == ("1", "2")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [("empty", 202, b""), ("304", 304, b""), ("binary", 200, bytes(range(256)))],
)
async def test_status_and_body_reach_the_client(client: ClientSession, kind: str, status: int, body: bytes) -> None:
    async with client.get(f"/answers/{kind}") as answer:
        assert (answer.status, await answer.read()) == (status, body)


async def test_many_requests_share_one_connection(client: ClientSession) -> None:
    for kind in ("empty", "304", "binary", "headers"):
        async with client.get(f"/answers/{kind}") as answer:
            await answer.read()
            assert "Connection" not in answer.headers


# ---- failures


async def test_failure_is_500_and_one_log_record_without_request_data(
    client: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = {"X-Api-Key": "secret-key-1"}
    async with client.post("/fails?user=jane", headers=secrets, data=b"body-of-jane") as answer:
        assert answer.status == 500
        problem = await answer.json()
    assert set(problem) == {"type", "title", "status", "code", "detail", "errorId"}
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    logged = record.getMessage()
    assert "function fails failed" in logged
    assert problem["errorId"] in logged
    assert "ValueError" in logged
    assert "KeyError" in logged
    assert not re.search("secret-key-1|jane", caplog.text)


async def test_a_result_that_is_no_response_is_500(client: ClientSession) -> None:
    async with client.get("/wrong") as answer:
        assert answer.status == 500


async def test_a_malformed_request_is_400_and_not_quoted(host: LocalHost, caplog: pytest.LogCaptureFixture) -> None:
    answer = await raw(host, "GET /echo/x HTTP/1.1\r\nHost: localhost\r\nX-Api-Key secret-key-1\r\n\r\n")
    assert "400 Bad Request" in answer.splitlines()[0]
    assert "malformed_request" in answer
    assert "secret-key-1" not in answer + caplog.text


async def test_a_function_that_runs_too_long_is_stopped(gate: Gate) -> None:
    host = LocalHost(toy_app(gate), FakeBus(), {**HOST_JSON, "functionTimeout": "00:00:00.01"})
    await host.start(port=0)
    answer = await raw(host, one("GET /gate"))
    await host.stop(0)
    assert answer.startswith("HTTP/1.1 500")


# ---- limits, ports, stopping


async def test_requests_beyond_the_limits_of_host_json_wait_or_get_429(gate: Gate) -> None:
    limits = {"routePrefix": "", "maxConcurrentRequests": 2, "maxOutstandingRequests": 3}
    host = LocalHost(toy_app(gate), FakeBus(), {"extensions": {"http": limits}})
    await host.start(port=0)
    waiting = [asyncio.create_task(raw(host, one("GET /gate"))) for _ in range(6)]
    await gate.wait_for(inside=2)
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 3:
        done, _ = await asyncio.wait(waiting, timeout=0.01)
    gate.open.set()
    answers = [answer.split("\r\n")[0] for answer in await asyncio.gather(*waiting)]
    await host.stop(0)
    assert gate.most == 2
    assert sorted(answers) == ["HTTP/1.1 200 OK"] * 3 + ["HTTP/1.1 429 Too Many Requests"] * 3


async def test_taken_port_is_reported_with_a_remedy(host: LocalHost, gate: Gate) -> None:
    second = LocalHost(toy_app(gate), FakeBus(), HOST_JSON)
    with pytest.raises(PortTaken, match=rf"Port {host.port} on 127\.0\.0\.1 is taken .* choose another"):
        await second.start(port=host.port)


async def test_address_of_another_machine_is_refused_clearly(gate: Gate) -> None:
    with pytest.raises(CannotListen, match=r"Cannot listen on 192\.0\.2\.1"):
        await LocalHost(toy_app(gate), FakeBus(), HOST_JSON).start(bind="192.0.2.1", port=0)


async def test_two_hosts_can_share_a_port_with_reuse_port(gate: Gate) -> None:
    first, second = (LocalHost(toy_app(gate), FakeBus(), HOST_JSON) for _ in range(2))
    await first.start(port=0, reuse_port=True)
    await second.start(port=first.port, reuse_port=True)
    assert second.port == first.port
    await asyncio.gather(first.stop(0), second.stop(0))


async def test_stopping_finishes_a_running_request_and_accepts_no_new_one(host: LocalHost, gate: Gate) -> None:
    request = asyncio.create_task(raw(host, one("GET /gate")))
    await gate.wait_for(inside=1)
    stopping = asyncio.create_task(host.stop(grace_seconds=30))
    await asyncio.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", host.port)
    gate.open.set()
    await stopping
    assert (await request).endswith("through")


async def test_stopping_cancels_a_request_that_exceeds_the_grace_period(host: LocalHost, gate: Gate) -> None:
    request = asyncio.create_task(raw(host, one("GET /gate")))
    await gate.wait_for(inside=1)
    await host.stop(grace_seconds=0.01)
    assert await request == ""
    assert gate.inside == 0


async def test_stopping_does_not_wait_for_idle_connections(host: LocalHost) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", host.port)
    async with asyncio.timeout(60):
        await host.stop(grace_seconds=60)
        await host.stop(grace_seconds=60)
    writer.close()
