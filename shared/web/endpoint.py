"""Turns declared endpoints into functions of the app: authenticate, call the handler, answer JSON or a problem."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol, TypeVar

import azure.functions as func
import orjson
from pydantic import BaseModel

from shared.adapters.blobs.port import BlobRefused
from shared.adapters.bus.port import BusRefused, BusUnavailable
from shared.adapters.documents.port import StoreRefused
from shared.adapters.reporting import REFUSED, UNAVAILABLE, outage_id
from shared.adapters.tenant_directory import PLATFORM
from shared.domain.keys import Identity
from shared.domain.records import Tenant
from shared.observability.error_ids import ErrorIds
from shared.observability.logs import ALWAYS, log_event
from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values
from shared.observability.tracing import current_trace, trace_of
from shared.web.authentication import Authenticator, Caller
from shared.web.compression import encoded
from shared.web.cors import Cors
from shared.web.declaration import Body, Endpoint, Parameter, Response
from shared.web.http_response import HttpResponse
from shared.web.problems import Problem, unavailable
from shared.web.user_tokens import UserTokens, missing_user_token

log = logging.getLogger("feed.http")

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
BASE_HEADERS = {"X-Content-Type-Options": "nosniff"}
MAX_HEADER_CHARS = 16_384
MAX_URL_CHARS = 6_000
REFUSED_RETRY_SECONDS = 30.0
"""A refusal is final, so an earlier retry cannot help: an operator has to act."""

_CLASSES = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}


@dataclass(slots=True)  # not frozen, which is four times as slow to make
class Call:
    """An authenticated request. `now` in seconds since the epoch; `started` by `time.perf_counter`.

    `user_key`: the user's partition; empty where the endpoint concerns no user.
    """

    request: func.HttpRequest
    caller: Caller
    now: float
    started: float
    user_key: str = ""

    @property
    def tenant(self) -> Tenant:
        return self.caller.tenant

    @property
    def headers(self) -> Mapping[str, str]:
        return headers_of(self.request)


Handler = TypeVar("Handler", bound=Callable[..., Awaitable[func.HttpResponse]])


def endpoint(
    method: str,
    path: str,
    summary: str,
    *,
    tag: str,
    responses: Mapping[int, Response],
    call: type[Call] = Call,
    description: str = "",
    scopes: tuple[str, ...] = (),
    user: bool = False,
    user_token: bool = False,
    brand: bool = False,
    token_instead: bool = False,
    operator: bool = False,
    platform: bool = False,
    parameters: tuple[Parameter, ...] = (),
    body: Body | None = None,
    problems: tuple[str, ...] = (),
    cors: bool = False,
    plain: bool = False,
    flag: str = "",
) -> Callable[[Handler], Handler]:
    """Declare a method of an API class as an endpoint (see `Endpoint`). Only records it, for `blueprint`."""

    def declare(handler: Handler) -> Handler:
        handler.endpoint = Endpoint(  # type: ignore[attr-defined]
            handler, method, path, summary, tag, responses, call, description, scopes, user, user_token, brand,
            token_instead, operator, platform, parameters, body, problems, cors, plain, flag,
        )  # fmt: skip
        return handler

    return declare


def endpoints_of(api: type) -> Iterator[Endpoint]:
    """Yield the endpoints that a class declares, in source order."""
    for member in vars(api).values():
        declared = getattr(member, "endpoint", None)
        if isinstance(declared, Endpoint):
            yield declared


class Api(Protocol):
    """An object with endpoints. Those that are not `plain` need an `edge`."""

    @property
    def edge(self) -> Edge: ...


BRAND_SCOPE = "cms"
"""Scope of keys that can act for a brand."""
Provider = Callable[[], Awaitable[Any]]
"""Returns the API object of a class, started."""


def blueprint(api: type, provider: Provider) -> func.Blueprint:
    """Return a blueprint with one function for each endpoint that `api` declares."""
    functions = func.Blueprint()  # type: ignore[no-untyped-call]
    asked: set[str] = set()
    for declared in endpoints_of(api):
        preflight = declared.cors and declared.path not in asked  # one function answers for all methods of a path
        asked.add(declared.path)
        methods = [declared.method, "OPTIONS"] if preflight else [declared.method]
        route = functions.route(declared.path, methods=methods)
        functions.function_name(declared.name)(route(_function(declared, provider)))
    return functions


def _function(declared: Endpoint, provider: Provider) -> Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]:
    """Return the function for the worker. It has exactly one parameter, `req`; the worker accepts no other."""
    if declared.plain:

        async def function(req: func.HttpRequest) -> func.HttpResponse:
            response: func.HttpResponse = await declared.handler(await provider(), req)
            response = await encoded(response, headers_of(req))
            response.headers["Vary"] = declared.vary
            return response
    else:

        async def function(req: func.HttpRequest) -> func.HttpResponse:
            api: Api = await provider()
            return await api.edge.answer(declared, api, req)

    function.__name__ = declared.name
    return function


class Edge:
    """Shared parts of every endpoint: tracing, size limits, authentication, problems, CORS, metrics."""

    def __init__(
        self,
        authenticator: Authenticator,
        user_tokens: UserTokens,
        identity: Identity,
        telemetry: Telemetry,
        cors: Cors,
        clock: Callable[[], float],
        switched_on: Callable[[str, str, Mapping[str, bool]], bool] = lambda flag, tenant_id, own: False,
    ) -> None:
        self._authenticator = authenticator
        self._user_tokens = user_tokens
        self._identity = identity
        self._telemetry = telemetry
        self._cors = cors
        self._clock = clock
        self._switched_on = switched_on
        self._error_ids = ErrorIds()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    def is_on(self, flag: str, tenant: Tenant) -> bool:
        """Whether a flag is on for a tenant, and not switched off in the tenant's own feature flags."""
        return self._switched_on(flag, tenant.id, tenant.feature_flags)

    async def answer(self, declared: Endpoint, api: Api, request: func.HttpRequest) -> func.HttpResponse:
        """Call a handler and turn what it raises into a response.

        A `Problem` gives its own status and code. A dependency that is down gives 503; for its final refusal see
        `_refusal`. Any other exception gives 500 with an error id; the log has the traceback under it.
        """
        started = time.perf_counter()
        name, headers, telemetry = declared.name, headers_of(request), self._telemetry
        token = current_trace.set(trace_of(headers.get("traceparent")))
        origin: str | None = headers.get("origin")
        response: func.HttpResponse
        try:
            if request.method == "OPTIONS":
                response = HttpResponse(status_code=204, headers=self._cors.preflight(origin))
            else:
                response = await self._served(declared, name, api, request, started)
        finally:
            current_trace.reset(token)
        if "accept-encoding" in headers:
            response = await encoded(response, headers)
        vary = self._cors.vary(declared.vary)
        if vary:
            response.headers["Vary"] = vary
        self._cors.mark(response.headers, origin)
        telemetry.count("http_requests", name, _CLASSES.get(response.status_code // 100, "other"))
        telemetry.observe("http_duration_ms", (time.perf_counter() - started) * 1000, name)
        return response

    async def _served(
        self, declared: Endpoint, name: str, api: Api, request: func.HttpRequest, started: float
    ) -> func.HttpResponse:
        try:
            _check_size(request.url, headers_of(request))
            if declared.flag and not self._switched_on(declared.flag, headers_of(request).get("x-tenant-id", ""), {}):
                raise _no_such_route()
            if not declared.scopes:
                anonymous: func.HttpResponse = await declared.handler(api, request)
                return anonymous
            response: func.HttpResponse = await declared.handler(api, self._authenticated(declared, request, started))
            return response
        except Problem as problem:
            if isinstance(problem.__cause__, UNAVAILABLE):
                problem.error_id = outage_id(self._telemetry.dependencies, problem.__cause__)
            return self._problem(problem, name)
        except UNAVAILABLE as error:
            self._telemetry.count("bus_failures" if isinstance(error, BusUnavailable) else "store_failures", name)
            retry_after = getattr(error, "retry_after_seconds", None)
            outage = unavailable(
                "A service that this call needs is not available. Wait the seconds in Retry-After, then try again.",
                retry_after,
            )
            outage.error_id = outage_id(self._telemetry.dependencies, error)
            return self._problem(outage, name)
        except REFUSED as error:
            return self._problem(self._refusal(declared, error), name)
        except Exception as error:
            where = traceback_without_values(error)
            internal = Problem(
                500, "internal", "The service failed. Try again later; if it fails again, report the errorId."
            )
            internal.error_id = self._error_ids.next(
                (name, where), lambda id: log.error("%s failed, error id %s\n%s", name, id, where, extra=ALWAYS)
            )
            return self._problem(internal, name)

    def _refusal(self, declared: Endpoint, error: StoreRefused | BusRefused | BlobRefused) -> Problem:
        """Return the problem for a final refusal by a store or the bus.

        For an endpoint with a body: 413 when it is too large, else 422. Without one, the caller can change nothing and
        gets the 503 of an outage. The log has the reason.
        """
        name, reason = declared.name, str(error)
        self._telemetry.count("bus_failures" if isinstance(error, BusRefused) else "store_failures", name)
        if declared.body is None:
            problem = unavailable(
                "A service that this call needs refused the request. Try again later; if it fails again, report the "
                "errorId.",
                REFUSED_RETRY_SECONDS,
            )
        elif error.too_large:
            problem = Problem(413, "too_large_to_store", "This is too large to store. Make it smaller.")
        else:
            problem = Problem(
                422, "refused_by_store", "The database refuses this content. Change it: the same request fails again."
            )
        problem.error_id = self._error_ids.next(
            (name, reason),
            lambda id: log_event(
                log, logging.ERROR, "refused_by_store", always=True, endpoint=name, reason=reason, errorId=id
            ),
        )
        return problem

    def _authenticated(self, declared: Endpoint, request: func.HttpRequest, started: float) -> Call:
        """Authenticate the caller and the user it names. Raises a `Problem`."""
        now = self._clock()
        headers = headers_of(request)
        if declared.operator or (declared.platform and headers.get("x-tenant-id") == PLATFORM):
            operator = self._authenticator.authenticate_operator(headers, now)
            about_no_tenant: Call = declared.call(request, operator, now, started)
            return about_no_tenant
        caller = self._authenticator.authenticate(headers, now)
        if not declared.token_instead:
            caller.require(*declared.scopes)
        call: Call = declared.call(request, caller, now, started)
        if declared.flag and not self.is_on(declared.flag, caller.tenant):
            raise _no_such_route()
        if declared.user:
            user = self._user_tokens.user_of(caller, headers, now)
            if declared.user_token and not user.verified:  # a thief of an app's key can put any user into `X-User`
                if not (declared.brand and BRAND_SCOPE in caller.scopes):
                    raise missing_user_token()
                call.user_key = self._identity.brand_key(caller.tenant.id, user.hash)
                return call
            if declared.token_instead and not user.verified:  # a token proves the user; without it the scope counts
                caller.require(*declared.scopes)
            call.user_key = self._identity.user_key(caller.tenant.id, user.hash)
        return call

    def _problem(self, problem: Problem, name: str) -> func.HttpResponse:
        code = problem.code
        self._telemetry.count("http_problems", name, code)
        error_id = problem.error_id or self._error_ids.next(
            (name, code),
            lambda id: log_event(log, logging.WARNING, "refused", always=True, endpoint=name, code=code, errorId=id),
        )
        headers = {**BASE_HEADERS, "Cache-Control": "no-store", **problem.headers}
        if problem.retry_after_seconds is not None:
            headers["Retry-After"] = str(max(1, ceil(problem.retry_after_seconds)))
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": problem.code.replace("_", " "),
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail,
            "errorId": error_id,
        }
        if problem.errors:
            body["errors"] = list(problem.errors)
        return HttpResponse(orjson.dumps(body), status_code=problem.status, headers=headers, mimetype=PROBLEM_JSON)


def _no_such_route() -> Problem:
    """Return the 404 of a route that is switched off."""
    return Problem(404, "not_found", "Not found.")


def headers_of(request: func.HttpRequest) -> Mapping[str, str]:
    """Return a request's headers, by name in lower case.

    It is the dictionary inside the SDK's mapping, which takes ten times as long to report a missing header.
    """
    headers = request.headers
    plain: dict[str, str] | None = getattr(headers, "__http_headers__", None)
    return {name.lower(): value for name, value in headers.items()} if plain is None else plain


def _check_size(url: str, headers: Mapping[str, str]) -> None:
    if len(url) > MAX_URL_CHARS:
        raise Problem(414, "query_too_long", f"The URL can have at most {MAX_URL_CHARS:,} characters. Shorten it.")
    if sum(map(len, headers)) + sum(map(len, headers.values())) > MAX_HEADER_CHARS:
        raise Problem(
            431,
            "headers_too_large",
            f"The headers can have at most {MAX_HEADER_CHARS:,} characters in all. Send fewer or shorter ones.",
        )


def json_response(
    body: BaseModel | bytes, status: int = 200, headers: Mapping[str, str] | None = None, *, cache: str = "no-store"
) -> func.HttpResponse:
    """Return a JSON response from a response model, or from encoded bytes."""
    return HttpResponse(
        body if isinstance(body, bytes) else as_json(body),
        status_code=status,
        headers={**BASE_HEADERS, "Cache-Control": cache, **(headers or {})},
        mimetype=JSON,
    )


def as_json(body: BaseModel) -> bytes:
    """Encode a response model as JSON. Unset fields are left out; stored values are not validated."""
    return body.model_dump_json(by_alias=True, exclude_unset=True, warnings=False).encode()


def not_modified(request: func.HttpRequest, headers: Mapping[str, str], media_type: str) -> func.HttpResponse | None:
    """Return 304 with these headers if the client's copy has their ETag, else None.

    `media_type`: that of the copy. A cache replaces its headers by those of a 304, `Content-Type` included.
    """
    if not matches_etag(headers_of(request).get("if-none-match"), headers["ETag"]):
        return None
    return HttpResponse(b"", status_code=304, headers=headers, mimetype=media_type)


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Compare `If-None-Match` with an ETag, weakly (RFC 9110, 13.1.2)."""
    if not if_none_match:
        return False
    if if_none_match.strip() == "*":
        return True
    wanted = etag.removeprefix("W/")
    return any(candidate.strip().removeprefix("W/") == wanted for candidate in if_none_match.split(","))
