"""Serves HTTP functions on the local host, with aiohttp's server, router and runner.

A function gets a request as the Functions host would pass it on:

- Header names are in lower case, and repeated headers are joined with a comma.
- Repeated query parameters are joined too (names compared case-insensitively); empty ones are left out.
- The path is percent-decoded except for %2F. Routes ignore case and one slash at the end.
- The body is as sent, never decompressed. GET functions also answer HEAD.

Only requests to a name of this machine are answered. Otherwise a web page could point its own name at 127.0.0.1 (DNS
rebinding) and read responses. A connection ends when headers or body do not arrive in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from yarl import URL

from local.host_json import HttpSettings
from local.invocation import HostedFunction, Invoker, UnsupportedFunction, http_request, http_response
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("local.host")

SERVER = "local-functions-host"
KEEP_ALIVE_SECONDS = 130.0
LINGERING_SECONDS = 2.0
"""Time for which the rest of a refused body is read, so that its sender gets the response."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
BACKLOG = 1024
MAX_LINE_BYTES = 64 * 1024  # of the request line and of each header; the app has lower limits and clearer errors
_CUT_OFF_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits of a client in seconds: for the headers of a request, and for its body."""

    header_seconds: float
    body_seconds: float


PATIENCE = Patience(10.0, 15.0)


class CannotListen(Exception):
    """Listening at the address failed; the message says what to do."""


class PortTaken(CannotListen):
    """Another program uses the port."""


class _Refused(Exception):
    """Refusal by the host itself, answered as a problem."""

    def __init__(self, status: int, code: str, headers: Mapping[str, str] | None = None, detail: str = "") -> None:
        self.status, self.code, self.headers, self.detail = status, code, headers or {}, detail
        super().__init__(code)


class HttpServer:
    """Serves the HTTP functions of an app. Raises `UnsupportedFunction` for a route that it cannot serve."""

    def __init__(
        self,
        functions: Iterable[HostedFunction],
        invoker: Invoker,
        settings: HttpSettings,
        max_body_bytes: int,
        host_names: Sequence[str] = (),
        patience: Patience = PATIENCE,
    ) -> None:
        self._invoker = invoker
        names = "|".join(re.escape(name) for name in (*LOOPBACK_NAMES, *host_names))
        self._own_host = re.compile(rf"(?:{names})(?::\d{{1,5}})?", re.ASCII | re.IGNORECASE).fullmatch
        self._patience = patience
        self._max_body_bytes = max_body_bytes
        concurrent = settings.max_concurrent_requests
        self._turns = asyncio.Semaphore(concurrent) if concurrent else contextlib.nullcontext()
        self._max_outstanding = settings.max_outstanding_requests or float("inf")
        self._outstanding = 0
        self._runner: web.ServerRunner | None = None
        self._router = web.UrlDispatcher()
        taken: set[tuple[str, str]] = set()
        for function in functions:
            pattern, parameters = _pattern(function, settings.route_prefix)
            for method in function.trigger["methods"]:
                if (method, pattern) in taken:
                    raise UnsupportedFunction(f"function {function.name}: {method} {pattern} has a function already")
                taken.add((method, pattern))
                for each in (method, "HEAD") if method == "GET" else (method,):
                    self._router.add_route(each, pattern, partial(self._call, function, parameters))

    async def start(self, bind: str, port: int, reuse_port: bool) -> int:
        """Listen; return the port. Raises `PortTaken` or `CannotListen`."""
        loop = asyncio.get_running_loop()
        server = _Server(
            self._answer,  # type: ignore[arg-type]  # takes what the factory makes
            request_factory=partial(web.Request, loop=loop, client_max_size=self._max_body_bytes),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )
        server.header_seconds = self._patience.header_seconds
        self._runner = web.ServerRunner(server, shutdown_timeout=_CUT_OFF_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, bind, port, backlog=BACKLOG, reuse_port=reuse_port or None)
        try:
            await site.start()
        except OSError as error:
            raise _cannot_listen(error, bind, port) from None
        except OverflowError:
            raise CannotListen(f"There is no port {port}. Choose one from 1 to 65535, or 0 for a free one.") from None
        return site.port

    async def stop(self, grace_seconds: float) -> None:
        """Accept nothing more, let running calls finish within the grace, cancel the rest. Safe to call twice."""
        runner, self._runner = self._runner, None
        if runner is None or runner.server is None:
            return
        for site in runner.sites:
            await site.stop()
        runner.server.pre_shutdown()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runner.server.shutdown(), grace_seconds)
        await runner.cleanup()

    # ---- one request

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._outstanding += 1
        try:
            if self._outstanding > self._max_outstanding:
                raise _Refused(429, "too_many_requests", {"Retry-After": "1"})
            if not all(map(self._own_host, request.headers.getall("Host", ()))):
                raise _Refused(421, "wrong_host", detail=WRONG_HOST)
            async with self._turns:
                match = await self._router.resolve(_normalized(request))
                refusal = match.http_exception
                if refusal is None:
                    return await match.handler(request)
                if isinstance(refusal, web.HTTPMethodNotAllowed):
                    allowed = ", ".join(sorted(refusal.allowed_methods))
                    raise _Refused(405, "method_not_allowed", {"Allow": allowed})
                raise _Refused(404, "not_found")
        except _Refused as refused:
            response = _problem(refused.status, refused.code, refused.headers, detail=refused.detail)
            if not request.content.is_eof():
                response.force_close()  # the rest of a refused body is not worth reading
            return response
        finally:
            self._outstanding -= 1

    async def _call(
        self, function: HostedFunction, parameters: Mapping[int, str], request: web.Request
    ) -> web.StreamResponse:
        headers = _headers(request)
        body = await self._body(request, headers) if request.body_exists else b""
        segments = _path(request).split("/") if parameters else []
        decoded = http_request(
            "GET" if request.method == "HEAD" else request.method,
            f"http://{headers.get('host', '')}{request.raw_path}",
            headers,
            _query(request) if "?" in request.raw_path else {},
            {name: segments[at] for at, name in parameters.items()},
            body,
        )
        try:
            status, answered, body = http_response(await self._invoker.call(function, decoded))
            return web.Response(status=status, body=body, headers={**answered, "Server": SERVER})
        except Exception as error:
            return _problem(500, "internal", {}, self._invoker.failed(function, error))

    async def _body(self, request: web.Request, headers: Mapping[str, str]) -> bytes:
        """Read the whole body. Raises `_Refused` when it is too large or does not arrive in time."""
        if (request.content_length or 0) > self._max_body_bytes:
            raise _Refused(413, "too_large")
        arrived = request.content.is_eof()
        if not arrived and headers.get("expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # type: ignore[attr-defined]  # the answer is still to come
        try:
            async with asyncio.timeout(None if arrived else self._patience.body_seconds):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise _Refused(413, "too_large") from None
        except TimeoutError:
            raise _Refused(408, "body_too_slow") from None
        except (web.RequestPayloadError, ConnectionError):
            raise _Refused(400, "malformed_body") from None


# ---- routes


def _pattern(function: HostedFunction, prefix: str) -> tuple[str, dict[int, str]]:
    """Return a route for aiohttp with lower-case literals, and the names of its parameters by position."""
    segments = [segment for segment in f"{prefix}/{function.trigger['route']}".split("/") if segment]
    if not all(re.fullmatch(r"\{\w+\}|[^{}]+", segment) for segment in segments):
        raise UnsupportedFunction(f"function {function.name}: a route has whole segments as parameters, such as {{id}}")
    parameters = {at: segment[1:-1] for at, segment in enumerate(segments, start=1) if segment.startswith("{")}
    parts = [f"{{p{at}:[^/]+}}" if at in parameters else text.lower() for at, text in enumerate(segments, start=1)]
    return "/" + "/".join(parts), parameters


def _path(request: web.BaseRequest) -> str:
    """Return the path percent-decoded except for %2F, without dot segments, as Kestrel does."""
    path = request.raw_path.partition("?")[0]
    if path.isascii() and path.startswith("/") and "%" not in path and "/." not in path:
        return path
    path = request.rel_url.path_safe.replace("%25", "%")
    if "\0" in path:
        raise _Refused(400, "malformed_path")
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[max(1, len(kept) - 1) :]  # never above the root
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept) + ("/" if segments[-1] in (".", "..") else "")


def _normalized(request: web.Request) -> web.Request:
    """Return the request with its path in lower case and without a slash at its end, as routes are registered."""
    path = _path(request).lower()
    path = path.removesuffix("/") or path
    return request if path == request.rel_url.path_safe else request.clone(rel_url=URL.build(path=path))


# ---- from the wire to the function


def _headers(request: web.BaseRequest) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        name = name.lower()
        if name in headers:
            value = _joined(headers[name], value)
        headers[name] = value
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _Refused(400, "malformed_header") from None
    return headers


def _query(request: web.BaseRequest) -> dict[str, str]:
    query: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for name, value in request.query.items():
        name = spelling.setdefault(name.lower(), name)
        query[name] = _joined(query[name], value) if name in query else value
    return {name: value for name, value in query.items() if value}


def _joined(first: str, second: str) -> str:
    return f"{first},{second}" if first and second else first or second


# ---- problems


WRONG_HOST = "This host answers to localhost, 127.0.0.1 and [::1] only, and to what serve --host-name names."


def _problem(
    status: int, code: str, headers: Mapping[str, str], error_id: str | None = None, detail: str = ""
) -> web.Response:
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail or HTTPStatus(status).description or "Refused by the host.",
        "errorId": error_id or secrets.token_hex(8),
    }
    return web.Response(
        status=status,
        body=orjson.dumps(problem),
        headers={
            **headers,
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
            "Server": SERVER,
        },
    )


# ---- connections


class _Connection(RequestHandler):
    """aiohttp's connection, closed when headers do not arrive in time. Its own responses and log lines never quote the
    client."""

    __slots__ = ("_due", "_header_seconds")

    def __init__(self, manager: web.Server, header_seconds: float, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._header_seconds = header_seconds
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._due = self._loop.call_later(self._header_seconds, self.force_close)

    def data_received(self, data: bytes) -> None:
        known = self._request_count
        super().data_received(data)
        if self._request_count != known:  # headers are complete; a body or another request follows
            if self._due is not None:
                self._due.cancel()
                self._due = None
        elif self._due is None and self._waiter is not None and not self._waiter.done():
            self._due = self._loop.call_later(self._header_seconds, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._due is not None:
            self._due.cancel()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        error_id = secrets.token_hex(8)
        if status >= 500:
            where = traceback_without_values(exc) if exc is not None else "no answer in time"
            log.error("a response could not be sent, error id %s\n%s", error_id, where)
        if request.writer.output_size > 0:
            raise ConnectionError("part of the answer was sent already")
        response = _problem(status, "malformed_request" if status < 500 else "internal", {}, error_id)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        log.error("a connection failed: %s", type(kw.get("exc_info")).__name__)


class _Server(web.Server):
    """aiohttp's server with our connections."""

    header_seconds = PATIENCE.header_seconds

    def __call__(self) -> RequestHandler:
        return _Connection(self, self.header_seconds, loop=self._loop, **self._kwargs)


def claim(port: int, bind: str = "127.0.0.1") -> None:
    """Check whether a port is free. Raises `PortTaken` or `CannotListen`."""
    if not 0 <= port <= 65_535:
        return  # the server reports it itself
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            raise _cannot_listen(error, bind, port) from None


def _cannot_listen(error: OSError, bind: str, port: int) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"Port {port} on {bind} is taken by another program. Stop that program or choose another port, "
            f"such as --port {port + 1} (make run PORT={port + 1})."
        )
    if error.errno == errno.EACCES:
        return CannotListen(f"Port {port} on {bind} needs more rights. Choose a port above 1023.")
    return CannotListen(f"Cannot listen on {bind}, port {port}: {error.strerror or error}.")
