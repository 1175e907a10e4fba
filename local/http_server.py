"""The HTTP front of the local host, on aiohttp's low-level server.

A request reaches a function as the Functions host would pass it on: header names in lower case, repeated headers
joined with a comma, repeated query parameters too (their names compared without regard to case), empty ones left
out, the path percent-decoded except for %2F, the body as sent (never decompressed).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from azure.functions.meta import Datum
from multidict import CIMultiDict

from local import invocation
from local.invocation import HostedFunction, Invoker
from local.routes import NotFound, RouteTable
from shared.observability.tracebacks import traceback_without_values

log = logging.getLogger("local.host")

SERVER = "local-functions-host"
KEEP_ALIVE_SECONDS = 130.0
BODY_SECONDS = 60.0
BACKLOG = 1024
MAX_LINE_BYTES = 64 * 1024  # of the request line and of each header: the app refuses far less, and says so better
_CUT_OFF_SECONDS = 0.05
_SET_BY_THE_SERVER = frozenset({"content-length", "transfer-encoding", "connection", "date", "server"})


class CannotListen(Exception):
    """The address cannot be listened on; the message says what to do."""


class PortTaken(CannotListen):
    """Another program listens there already."""


class _Refused(Exception):
    """Answered by the host itself."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        self.status, self.code, self.headers = status, code, headers
        super().__init__(code)


class HttpServer:
    """Serves the HTTP functions of an app."""

    def __init__(
        self,
        functions: Iterable[HostedFunction],
        invoker: Invoker,
        *,
        route_prefix: str,
        max_body_bytes: int,
        max_concurrent: int | None,
        max_outstanding: int | None,
    ) -> None:
        self._invoker = invoker
        self._max_body_bytes = max_body_bytes
        self._turns = None if max_concurrent is None else asyncio.Semaphore(max_concurrent)
        self._max_outstanding = max_outstanding
        self._outstanding = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._server: asyncio.Server | None = None
        self._connections: _Connections | None = None
        self._routes: RouteTable[HostedFunction] = RouteTable(route_prefix)
        for function in functions:
            self._routes.add(function.trigger["route"], function.trigger.get("methods"), function)

    async def start(self, bind: str, port: int, reuse_port: bool) -> int:
        """Listen; returns the port. Raises `PortTaken` or `CannotListen`."""
        self._connections = _Connections(
            self._answer,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connections, bind, port, backlog=BACKLOG, reuse_port=reuse_port or None
            )
        except OSError as error:
            raise _cannot_listen(error, bind, port) from None
        except OverflowError:
            raise CannotListen(f"There is no port {port}. Choose one from 1 to 65535, or 0 for a free one.") from None
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace_seconds: float) -> None:
        """Accept nothing more, let what runs finish within the grace, cut the rest."""
        if self._server is None or self._connections is None:
            return
        self._server.close()
        self._connections.pre_shutdown()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), grace_seconds)
        await self._connections.shutdown(_CUT_OFF_SECONDS)
        self._server = self._connections = None

    # ---- one request

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._outstanding += 1
        self._quiet.clear()
        try:
            if self._max_outstanding is not None and self._outstanding > self._max_outstanding:
                raise _Refused(429, "too_many_requests", **{"Retry-After": "1"})
            if self._turns is None:
                return await self._invoke(request)
            async with self._turns:
                return await self._invoke(request)
        except _Refused as refusal:
            response = _problem(refusal.status, refusal.code, refusal.headers)
            if not request.content.is_eof():
                response.force_close()  # the rest of a refused body is not worth reading
            return response
        finally:
            self._outstanding -= 1
            if not self._outstanding:
                self._quiet.set()

    async def _invoke(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        path, _, query = target.partition("?")
        if "%" in path or "/." in path or not path.startswith("/") or not path.isascii():
            path = _decoded_path(request)
        found = self._routes.find(request.method, path)
        if isinstance(found, NotFound):
            if found.allowed:
                raise _Refused(405, "method_not_allowed", Allow=", ".join(found.allowed))
            raise _Refused(404, "not_found")
        headers = _headers(request)
        body = await self._body(request, headers) if request.body_exists else b""
        function = found.target
        decoded = invocation.http_request(
            found.method,
            f"http://{headers.get('host', '')}{target}",
            headers,
            _query(request) if query else {},
            found.parameters,
            body,
        )
        trace = (headers.get("traceparent", ""), headers.get("tracestate", ""))
        try:
            return _response(invocation.http_response(await self._invoker.call(function, decoded, trace)))
        except Exception as error:
            return _problem(500, "internal", {}, self._invoker.failed(function, error))

    async def _body(self, request: web.BaseRequest, headers: dict[str, str]) -> bytes:
        """The whole body. Raises `_Refused` when it is too large or does not come in time."""
        length = request.content_length
        if length is not None and length > self._max_body_bytes:
            raise _Refused(413, "too_large")
        content = request.content
        if content.is_eof() and not content.exception():
            body = content.read_nowait()
            if len(body) > self._max_body_bytes:
                raise _Refused(413, "too_large")
            return body
        if headers.get("expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # type: ignore[attr-defined]  # the answer is still to come
        try:
            async with asyncio.timeout(BODY_SECONDS):
                parts = bytearray()
                while part := await content.readany():
                    parts += part
                    if len(parts) > self._max_body_bytes:
                        raise _Refused(413, "too_large")
        except TimeoutError:
            raise _Refused(408, "body_too_slow") from None
        except (web.RequestPayloadError, ConnectionError):
            raise _Refused(400, "malformed_body") from None
        return bytes(parts)


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


def _decoded_path(request: web.BaseRequest) -> str:
    """Percent-decoded but for %2F, without dot segments, as Kestrel hands it on."""
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


# ---- from the function to the wire


def _response(datum: Datum | None) -> web.Response:
    if datum is None:
        return web.Response(status=204, headers={"Server": SERVER})
    if datum.type == "string":
        return web.Response(text=datum.value, headers={"Server": SERVER})
    value: dict[str, Any] = datum.value
    status = int(value["status_code"].value)
    if not 200 <= status <= 599:
        raise ValueError(f"a function answered with the status {status}")
    headers = CIMultiDict(
        (name, header.value) for name, header in value["headers"].items() if name.lower() not in _SET_BY_THE_SERVER
    )
    headers["Server"] = SERVER
    for cookies in value["cookies"] or ():
        for cookie in cookies.values():
            headers.add("Set-Cookie", cookie.OutputString())
    return web.Response(status=status, body=value["body"].value, headers=headers)


def _problem(status: int, code: str, headers: dict[str, str], error_id: str | None = None) -> web.Response:
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": HTTPStatus(status).description or "Refused by the host.",
        "errorId": error_id or secrets.token_hex(8),
    }
    return web.Response(
        status=status,
        body=orjson.dumps(problem),
        headers={**headers, "Content-Type": "application/problem+json", "Server": SERVER},
    )


# ---- connections


class _Connection(RequestHandler):
    """aiohttp's own answers, without what the client sent: its log line and its page would quote that."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500 and exc is not None:
            log.error("an answer could not be sent\n%s", traceback_without_values(exc))
        if request.writer.output_size > 0:
            raise ConnectionError("part of the answer was sent already")
        response = _problem(status, "malformed_request" if status < 500 else "internal", {})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        log.error("a connection failed: %s", type(kw.get("exc_info")).__name__)


class _Connections(web.Server):
    """aiohttp's server with our connections."""

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


def _cannot_listen(error: OSError, bind: str, port: int) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"Port {port} on {bind} is taken by another program. Stop that program or choose another port."
        )
    if error.errno == errno.EACCES:
        return CannotListen(f"Port {port} on {bind} needs more rights. Choose a port above 1023.")
    return CannotListen(f"Cannot listen on {bind}, port {port}: {error.strerror or error}.")
