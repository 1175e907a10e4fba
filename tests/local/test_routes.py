"""Routes of the local host: which function answers a method and path, matched as Azure does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import azure.functions as func
import pytest
from aiohttp import ClientSession
from yarl import URL

from local.host import LocalHost
from local.invocation import UnsupportedFunction
from tests.local.bus import FakeBus

VIDEOS = [("v/{id}", "GET"), ("v/new", "GET"), ("v/{id}/x", "GET"), ("v/{id}", "DELETE"), ("{tenant}/new", "GET")]


def app_with(*routes: tuple[str, str]) -> func.FunctionApp:
    """Functions that answer with their route, their parameters and their method."""
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    def add(number: int, route: str, method: str) -> None:
        async def answer(req: func.HttpRequest) -> func.HttpResponse:
            return func.HttpResponse(f"{req.method} {route} {dict(req.route_params)}")

        app.function_name(f"function_{number}")(app.route(route, methods=[method])(answer))

    for number, (route, method) in enumerate(routes):
        add(number, route, method)
    return app


def host_of(*routes: tuple[str, str], prefix: str = "") -> LocalHost:
    return LocalHost(app_with(*routes), FakeBus(), {"extensions": {"http": {"routePrefix": prefix}}})


class Client:
    def __init__(self, http: ClientSession, port: int) -> None:
        self.http, self.port = http, port

    async def ask(self, path: str, method: str = "GET") -> tuple[int, str, Any]:
        """Return status, text and headers; the path is sent unchanged."""
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self.http.request(method, url) as answer:
            return answer.status, await answer.text(), answer.headers

    async def text(self, path: str, method: str = "GET") -> str | None:
        """Return a function's answer; None when there is none."""
        status, text, _ = await self.ask(path, method)
        return text if status == 200 else None


@asynccontextmanager
async def serving(*routes: tuple[str, str], prefix: str = "") -> AsyncIterator[Client]:
    host = host_of(*routes, prefix=prefix)
    await host.start(port=0)
    async with ClientSession() as http:
        yield Client(http, host.port)
    await host.stop(0)


async def test_case_and_a_trailing_slash_do_not_matter() -> None:
    async with serving(("v1/Feed", "GET")) as client:
        for path in ("/v1/feed", "/V1/FEED", "/v1/feed/"):
            assert await client.text(path) == "GET v1/Feed {}"


async def test_an_unknown_path_is_404() -> None:
    async with serving(("v1/feed", "GET")) as client:
        for path in ("/", "/v1", "/v1/feeds", "//v1/feed", "/v1//feed", "/v1/feed//", "/v1%2Ffeed", "/v1/fee%2564"):
            status, text, headers = await client.ask(path)
            assert (status, headers["Content-Type"]) == (404, "application/problem+json"), path
            assert '"code":"not_found"' in text


async def test_route_prefix_of_host_json_is_applied() -> None:
    async with serving(("feed", "GET"), ("videos/{id}", "GET"), prefix="api") as client:
        assert await client.text("/feed") is None
        assert await client.text("/api/feed") == "GET feed {}"
        assert await client.text("/api/videos/7") == "GET videos/{id} {'id': '7'}"


async def test_route_parameters_keep_their_case() -> None:
    async with serving(("videos/{id}/tags/{tag}", "GET")) as client:
        expected = "GET videos/{id}/tags/{tag} {'id': 'Vid_A', 'tag': 'Fit'}"
        assert await client.text("/Videos/Vid_A/TAGS/Fit/") == expected


@pytest.mark.parametrize(
    "text", ["x", "{id}", "new", "a;b=c", "a:b@c!$&'()*+,=", "50%", "é", "İ", "\n", " ", "...", "?#"]
)
async def test_any_text_without_a_slash_is_one_parameter(text: str) -> None:
    async with serving(("videos/{id}", "GET")) as client:
        assert await client.text(f"/videos/{quote(text)}") == f"GET videos/{{id}} { ({'id': text}) }"


async def test_most_specific_route_wins_in_any_order_of_registration() -> None:
    expected = {"/v/new": "v/new", "/v/abc": "v/{id}", "/v/abc/x": "v/{id}/x", "/w/new": "{tenant}/new"}
    for routes in (VIDEOS, VIDEOS[::-1]):
        async with serving(*routes) as client:
            for path, route in expected.items():
                assert (await client.text(path) or "").split()[1] == route


async def test_each_method_of_a_route_can_have_its_own_function() -> None:
    async with serving(("v", "GET"), ("v/{id}", "PUT"), ("v", "POST"), ("V/{name}", "DELETE")) as client:
        assert await client.text("/v") == "GET v {}"
        assert await client.text("/v", "POST") == "POST v {}"
        assert await client.text("/v/1", "PUT") == "PUT v/{id} {'id': '1'}"
        assert await client.text("/v/1", "DELETE") == "DELETE V/{name} {'name': '1'}"


async def test_a_less_specific_route_answers_methods_the_specific_one_lacks() -> None:
    async with serving(*VIDEOS) as client:
        assert await client.text("/v/new", "DELETE") == "DELETE v/{id} {'id': 'new'}"


async def test_a_method_without_a_function_is_405_and_allow_names_the_others() -> None:
    async with serving(*VIDEOS, ("v/{id}", "OPTIONS")) as client:
        for path, allowed in (("/v/new", "DELETE, GET, HEAD, OPTIONS"), ("/v/1/x", "GET, HEAD")):
            status, text, headers = await client.ask(path, "PUT")
            assert (status, headers["Allow"]) == (405, allowed)
            assert '"code":"method_not_allowed"' in text


async def test_head_is_answered_by_get_without_a_body() -> None:
    async with serving(("v/{id}", "GET")) as client:
        status, text, headers = await client.ask("/v/1", "HEAD")
        assert (status, text) == (200, "")
        assert headers["Content-Length"] == str(len("GET v/{id} {'id': '1'}"))


@pytest.mark.parametrize(("route", "again"), [("v/x", "V/x"), ("v/{id}", "v/{name}")])
def test_two_functions_for_one_method_of_a_route_are_refused(route: str, again: str) -> None:
    with pytest.raises(UnsupportedFunction, match=r"function function_2: GET .* has a function already"):
        host_of((route, "GET"), (route, "POST"), (again, "GET"))


@pytest.mark.parametrize("route", ["{*a}", "{a?}", "x{a}", "{a", "{a:int}", "{a=b}"])
def test_invalid_route_is_refused(route: str) -> None:
    with pytest.raises(UnsupportedFunction, match="function function_0: a route has whole segments"):
        host_of((route, "GET"))
