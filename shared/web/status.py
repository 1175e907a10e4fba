"""Service endpoints: `/health`, `/ready`, the OpenAPI document and its page."""

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
from shared.web.openapi import ApiDocument
from shared.web.responses import View
from shared.web.static_files import StaticFiles

CHECK_BUDGET_SECONDS = 2.0
KEEP_SECONDS = 2.0
"""What the dependencies answered holds for so long, for whoever asks: `/ready` needs no key, and must cost nothing."""

_PAGE_RESPONSES = {
    200: Response("A file that loads nothing from other hosts.", {"type": "string"}, media_type="text/html"),
    304: Response("As you have it."),
}

Check = Callable[[], Awaitable[object]]


class Health(View):
    """Whether the process lives and has settings that it can work with."""

    status: Literal["alive", "misconfigured"]


class Readiness(View):
    """What each dependency answers, how old what is held in memory is (null before it was first read; `content` is that
    of every tenant served), and how many stored documents of each kind cannot be read and are left out: those make an
    instance no less ready, for the others would fare the same."""

    status: Annotated[str, Field(json_schema_extra={"enum": ["ready", "not_ready"]})]
    dependencies: dict[str, Annotated[str, Field(json_schema_extra={"enum": ["ready", "slow", "unavailable"]})]]
    age_seconds: dict[str, float | None]
    unreadable_documents: dict[str, int]


class DocumentApi:
    """What is answered without the app's services: that the process lives, and the API's documentation.

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
        "Whether the process lives",
        tag="service",
        responses={
            200: Response("It does.", Health, {"status": "alive"}),
            503: Response("No request can be answered: settings are wrong, or a secret is not there yet.", Health),
        },
        plain=True,
    )
    async def get_health(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 while the process lives; 503 when it can answer nothing, so that a gateway sends it no requests."""
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
        """The OpenAPI document, or the part of it that an app calls."""
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
        """The document for people."""
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
        """A file of the page."""
        return self._page_file(request.route_params["file"], request)

    def _page_file(self, name: str, request: func.HttpRequest) -> func.HttpResponse:
        response = self._files.response(name, request, "public, max-age=300")
        return response or func.HttpResponse(
            b"", status_code=404, headers={**BASE_HEADERS, "Cache-Control": "no-store"}
        )


class ReadinessApi:
    """Asks every dependency. `checks`: name → a call that raises or returns False when it is down.

    However many ask at a time, each dependency is asked once, and again after `KEEP_SECONDS` at the earliest. What is
    known without asking (`known`: name → state in one word, the ages, and `unreadable`: documents by kind) is always as
    of now. `clock` gives seconds and never goes back.
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
        "Whether everything the service stands on answers",
        tag="service",
        responses={
            200: Response("It does.", Readiness),
            503: Response("Something does not; feeds may still be served from memory.", Readiness),
        },
        plain=True,
    )
    async def get_ready(self, request: func.HttpRequest) -> func.HttpResponse:
        """200 when every dependency answers, else 503; either way each one's state and the age of what is held."""
        states = await self.states()
        everything = all(state == "ready" for state in states.values())
        ages = {name: None if (seconds := age()) is None else round(seconds, 1) for name, age in self._ages.items()}
        status = "ready" if everything else "not_ready"
        readiness = Readiness(
            status=status, dependencies=states, age_seconds=ages, unreadable_documents=self._unreadable()
        )
        return json_response(readiness, 200 if everything else 503)

    async def states(self) -> dict[str, str]:
        """Each dependency's state in one word: `ready`, `slow` or `unavailable`."""
        return {**await self._asked(), **self._known()}

    async def _asked(self) -> dict[str, str]:
        """Answers of the dependencies: of the check under way, or of the last one while it is fresh."""
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
    except Exception:  # the kind is in the dependency's own metric; a probe only wants yes or no
        return "unavailable"
