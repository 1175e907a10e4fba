"""Between the Functions host and the rooms: JSON in, JSON or a problem out. The only shared module that knows HTTP."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from math import ceil
from typing import Any

import azure.functions as func
import orjson

from bootstrap import Services
from shared.adapters.bus.port import BusUnavailable
from shared.adapters.documents.port import StoreUnavailable
from shared.observability.tracebacks import traceback_without_values
from shared.observability.tracing import current_trace, trace_of
from shared.web.problems import Problem, unavailable

log = logging.getLogger("feed.http")

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
BASE_HEADERS = {"X-Content-Type-Options": "nosniff"}
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAX_HEADER_CHARS = 16_384
MAX_URL_CHARS = 6_000

_CLASSES = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

Handler = Callable[[func.HttpRequest, Services], Awaitable[func.HttpResponse]]


def endpoint(name: str) -> Callable[[Handler], Handler]:
    """Turn what a handler raises into an answer: a `Problem` as it says, a dependency that is down into 503,
    anything else into a 500 that tells the caller an error id and tells the log the same id with the traceback.
    """

    def wrap(handler: Handler) -> Handler:
        @wraps(handler)
        async def answer(request: func.HttpRequest, services: Services) -> func.HttpResponse:
            started = time.perf_counter()
            token = current_trace.set(trace_of(request.headers.get("traceparent")))
            try:
                if request.method == "OPTIONS":
                    response = func.HttpResponse(status_code=204, headers=services.cors.preflight(_origin(request)))
                else:
                    response = await served(request, services)
            finally:
                current_trace.reset(token)
            services.cors.mark(response.headers, _origin(request))
            services.telemetry.count("http_requests", name, _CLASSES.get(response.status_code // 100, "other"))
            services.telemetry.observe("http_duration_ms", (time.perf_counter() - started) * 1000, name)
            return response

        async def served(request: func.HttpRequest, services: Services) -> func.HttpResponse:
            try:
                _check_size(request)
                return await handler(request, services)
            except Problem as problem:
                return _problem(problem, services, name)
            except (StoreUnavailable, BusUnavailable) as error:
                services.telemetry.count(
                    "store_failures" if isinstance(error, StoreUnavailable) else "bus_failures", name
                )
                return _problem(
                    unavailable("A dependency is not available. Try again.", error.retry_after_seconds), services, name
                )
            except Exception as error:
                error_id = secrets.token_hex(8)
                log.error("%s failed, error id %s\n%s", name, error_id, traceback_without_values(error))
                defect = Problem(500, "internal", "Something went wrong on our side.")
                return _problem(defect, services, name, error_id)

        return answer

    return wrap


def _origin(request: func.HttpRequest) -> str | None:
    origin: str | None = request.headers.get("origin")
    return origin


def _check_size(request: func.HttpRequest) -> None:
    if len(request.url) > MAX_URL_CHARS:
        raise Problem(414, "query_too_long", f"The URL may have {MAX_URL_CHARS:,} characters at the most.")
    if sum(len(name) + len(value) for name, value in request.headers.items()) > MAX_HEADER_CHARS:
        raise Problem(431, "headers_too_large", f"The headers may have {MAX_HEADER_CHARS:,} characters in all.")


def _problem(problem: Problem, services: Services, name: str, error_id: str | None = None) -> func.HttpResponse:
    services.telemetry.count("http_problems", name, problem.code)
    headers = {**BASE_HEADERS, "Cache-Control": "no-store"}
    if problem.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, ceil(problem.retry_after_seconds)))
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.code.replace("_", " "),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "errorId": error_id or secrets.token_hex(8),
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    return func.HttpResponse(orjson.dumps(body), status_code=problem.status, headers=headers, mimetype=PROBLEM_JSON)


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, cache: str = "no-store"
) -> func.HttpResponse:
    """A JSON answer. `body` is serialized unless it is bytes already."""
    return func.HttpResponse(
        body if isinstance(body, bytes) else orjson.dumps(body),
        status_code=status,
        headers={**BASE_HEADERS, "Cache-Control": cache, **(headers or {})},
        mimetype=JSON,
    )


def page_response(page: bytes) -> func.HttpResponse:
    """An HTML page that may load and run nothing but its own style."""
    headers = {**BASE_HEADERS, "Content-Security-Policy": PAGE_POLICY, "Cache-Control": "public, max-age=300"}
    return func.HttpResponse(page, headers=headers, mimetype="text/html", charset="utf-8")


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Weak comparison of `If-None-Match` (RFC 9110, 13.1.2)."""
    if not if_none_match:
        return False
    if if_none_match.strip() == "*":
        return True
    wanted = etag.removeprefix("W/")
    return any(candidate.strip().removeprefix("W/") == wanted for candidate in if_none_match.split(","))
