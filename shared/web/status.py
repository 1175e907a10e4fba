"""Service endpoints: `/health`, `/ready`, `/openapi.json` and its page `/docs`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Literal

import azure.functions as func
from pydantic import Field

from shared.web.api_reference import PAGE
from shared.web.compression import GZIP, gzipped_once, least_bytes
from shared.web.declaration import Parameter, Response
from shared.web.endpoint import BASE_HEADERS, endpoint, headers_of, json_response
from shared.web.http_response import HttpResponse
from shared.web.openapi import ApiDocument
from shared.web.responses import View
from shared.web.static_files import StaticFiles

CHECK_BUDGET_SECONDS = 2.0
KEEP_SECONDS = 2.0
"""Answers of the dependencies are reused for this long: `/ready` needs no key, so many calls must cost nothing."""

_PAGE_RESPONSES = {
    200: Response("A file that loads nothing from other hosts.", {"type": "string"}, media_type="text/html"),
    304: Response("As you have it."),
}

Check = Callable[[], Awaitable[object]]


class Health(View):
    """State of the process: `alive`, or `misconfigured` when its settings are wrong."""

    status: Literal["alive", "misconfigured"]


class Readiness(View):
    """State of each dependency, age of data in memory, and number of unreadable stored documents by kind.

    An age is null before the first read; `content` is the data of every tenant served. Unreadable documents are left
    out and do not change `status`, because every instance has the same ones.
    """

    status: Annotated[str, Field(json_schema_extra={"enum": ["ready", "not_ready"]})]
    dependencies: dict[str, Annotated[str, Field(json_schema_extra={"enum": ["ready", "slow", "unavailable"]})]]
    age_seconds: dict[str, float | None]
    unreadable_documents: dict[str, int]


class DocumentApi:
    """Endpoints that need none of the app's services: `/health` and the API's documentation.

    `configured`: whether the app could be built from its settings.
    """

    def __init__(
        self, document: ApiDocument, files: StaticFiles, configured: Callable[[], bool] = lambda: True
    ) -> None:
        self.document = document
        self._configured = configured
        self._files = files

    @endpoint(
        "GET",
        "health",
        "Check that the process is alive",
        tag="service",
        responses={
            200: Response("The process is alive.", Health, {"status": "alive"}),
            503: Response("No request can be answered: a setting is wrong, or a secret is missing.", Health),
        },
        plain=True,
    )
    async def get_health(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer 200 while the process can serve; else 503, so that a gateway sends it no requests."""
        if self._configured():
            return json_response(Health(status="alive"))
        return json_response(Health(status="misconfigured"), 503)

    @endpoint(
        "GET",
        "openapi.json",
        "This document",
        tag="service",
        parameters=(
            Parameter(
                "for",
                "query",
                "`sdk`: only what an app calls, to make a client from. Anything else: the whole document.",
                {"type": "string"},
            ),
        ),
        responses={
            200: Response(
                "OpenAPI 3.1.",
                {
                    "type": "object",
                    "required": ["openapi"],
                    "properties": {"openapi": {"type": "string"}},
                    "additionalProperties": True,
                    "description": "See spec.openapis.org.",
                },
            )
        },
        plain=True,
    )
    async def get_open_api(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer the OpenAPI document, or its part for apps."""
        document = self.document.sdk_json if request.params.get("for") == "sdk" else self.document.json
        if len(document) >= least_bytes(headers_of(request)):
            return json_response(gzipped_once(document), headers=GZIP, cache="public, max-age=300")
        return json_response(document, cache="public, max-age=300")

    @endpoint(
        "GET",
        "docs",
        "This document as a page, on which calls can be tried",
        tag="service",
        responses=_PAGE_RESPONSES,
        plain=True,
    )
    async def get_docs(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer the page of the document."""
        return self._page_file(PAGE, request)

    @endpoint(
        "GET",
        "docs/{file}",
        "A file of that page",
        tag="service",
        responses={**_PAGE_RESPONSES, 404: Response("There is no such file.")},
        plain=True,
    )
    async def get_docs_file(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer a file of the page."""
        return self._page_file(request.route_params["file"], request)

    def _page_file(self, name: str, request: func.HttpRequest) -> func.HttpResponse:
        response = self._files.response(name, request, "public, max-age=300")
        return response or HttpResponse(b"", status_code=404, headers={**BASE_HEADERS, "Cache-Control": "no-store"})


class ReadinessApi:
    """Asks every dependency. `checks`: name → a call that raises or returns False when it is down.

    Concurrent calls share one round of checks, and the next round starts after `KEEP_SECONDS` at the earliest. Data
    that needs no check is always current: `known` (name → state), the ages, and `unreadable` (documents by kind).
    `clock`: monotonic, in seconds.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        ages: Mapping[str, Callable[[], float | None]],
        clock: Callable[[], float],
        known: Callable[[], Mapping[str, str]] = dict,
        unreadable: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self._checks = checks
        self._ages = ages
        self._clock = clock
        self._known = known
        self._unreadable = unreadable
        self._round: asyncio.Task[dict[str, str]] | None = None
        self._answered_at = float("-inf")

    @endpoint(
        "GET",
        "ready",
        "Check every dependency",
        tag="service",
        responses={
            200: Response("Every dependency answers.", Readiness),
            503: Response("A dependency does not answer. Feeds can still be served from memory.", Readiness),
        },
        plain=True,
    )
    async def get_ready(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer 200 when every dependency answers, else 503; with each state and the age of data in memory."""
        states = await self.states()
        everything = all(state == "ready" for state in states.values())
        ages = {name: None if (seconds := age()) is None else round(seconds, 1) for name, age in self._ages.items()}
        status = "ready" if everything else "not_ready"
        readiness = Readiness(
            status=status, dependencies=states, age_seconds=ages, unreadable_documents=self._unreadable()
        )
        return json_response(readiness, 200 if everything else 503)

    async def states(self) -> dict[str, str]:
        """Return the state of each dependency: `ready`, `slow` or `unavailable`."""
        return {**await self._asked(), **self._known()}

    async def _asked(self) -> dict[str, str]:
        """Return the states from the current round of checks, or from the last one while it is fresh."""
        asked = self._round
        if asked is None or (asked.done() and not 0 <= self._clock() - self._answered_at < KEEP_SECONDS):
            asked = self._round = asyncio.create_task(self._ask(), name="readiness")
        return await asyncio.shield(asked)

    async def _ask(self) -> dict[str, str]:
        states = await asyncio.gather(*map(_state, self._checks.values()))
        self._answered_at = self._clock()
        return dict(zip(self._checks, states, strict=True))


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_BUDGET_SECONDS):
            return "unavailable" if await check() is False else "ready"
    except TimeoutError:
        return "slow"
    except Exception:  # the dependency's own metric has the kind; a probe needs only yes or no
        return "unavailable"
