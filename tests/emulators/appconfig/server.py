"""Implements the HTTP API. Fault labels are `<method> list` or `<method> <key>`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import urllib.parse
import uuid
from dataclasses import replace
from typing import Any

from aiohttp import web

from tests.emulators.clock import MovableClock
from tests.emulators.faults import AFTER, BEFORE, FaultPlan, wait
from tests.emulators.http import HttpServer, cut, replaced

ID = "test-id"
SECRET = base64.b64encode(b"the secret of the App Configuration test server").decode()
ITEM_TYPE = "application/vnd.microsoft.appconfig.kv+json"
PAGE_TYPE = "application/vnd.microsoft.appconfig.kvset+json"
PROBLEM_TYPE = "application/problem+json"
FLAG_PREFIX = ".appconfig.featureflag/"
FLAG_CONTENT_TYPE = "application/vnd.microsoft.appconfig.ff+json;charset=utf-8"
NO_LABEL = "\0"

Json = dict[str, Any]


class AppConfigurationServer(HttpServer):
    """One store, without labels. `page_size` is the number of key-values on a list page."""

    def __init__(self, clock: MovableClock | None = None, *, page_size: int = 100, port: int = 0) -> None:
        self.clock = clock or MovableClock()
        super().__init__(FaultPlan(self.clock), port=port)
        self.page_size = page_size
        self.items: dict[str, Json] = {}
        self.queries: list[dict[str, str]] = []
        """The parameters of every list so far."""
        self._changes = 0

    @property
    def connection_string(self) -> str:
        return f"Endpoint={self.url};Id={ID};Secret={SECRET}"

    def put(self, key: str, value: Any, content_type: str | None = None, tags: dict[str, str] | None = None) -> Json:
        """Set a key-value as from the portal. `value` is text, or an invalid value."""
        self._changes += 1
        item = {
            "etag": uuid.uuid4().hex,
            "key": key,
            "label": None,
            "content_type": content_type,
            "value": value,
            "tags": tags or {},
            "locked": False,
            "last_modified": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(self.clock.now())),
        }
        self.items[key] = item
        return item

    def put_flag(self, flag: Json) -> None:
        """Set a feature flag as from the portal."""
        self.put(FLAG_PREFIX + flag["id"], json.dumps(flag), FLAG_CONTENT_TYPE)

    def flag(self, name: str) -> Json | None:
        """Return a flag as stored."""
        item = self.items.get(FLAG_PREFIX + name)
        return json.loads(item["value"]) if item else None

    def clear(self) -> None:
        """Remove every key-value."""
        self._changes += 1
        self.items.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path = [urllib.parse.unquote(part) for part in request.rel_url.raw_path.split("/") if part]
        label = f"{request.method} {'/'.join(path[1:]) or 'list'}"
        fault = self.faults.take(label)
        await wait(fault)
        if fault.cut == BEFORE:
            return cut(request)
        if why := _not_signed(request, body):
            return _problem(401, "Unauthorized", why)
        if fault.retry_after_ms is not None:
            fault = replace(fault, headers={**fault.headers, "retry-after-ms": str(fault.retry_after_ms)})
        if (replacement := await replaced(request, fault)) is not None:
            return replacement
        if fault.status == 304:
            return web.Response(status=304, headers=fault.headers)
        if fault.status:
            refused = _problem(fault.status, "As a test asked", "")
            refused.headers.update(fault.headers)
            return refused
        answer = self._route(request, path, json.loads(body) if body else {})
        answer.headers["Sync-Token"] = f"test=MQ==;sn={self._changes}"
        return cut(request) if fault.cut == AFTER else answer

    def _route(self, request: web.Request, path: list[str], body: Json) -> web.Response:
        if not path or path[0] != "kv" or request.query.get("label", NO_LABEL) not in ("", NO_LABEL):
            return _problem(404, "Not found", "the test server knows key-values without a label")
        if len(path) == 1:
            return self._list(request)
        key = "/".join(path[1:])
        item = self.items.get(key)
        if request.method in ("PUT", "DELETE"):
            wanted, unwanted = _etag(request, "If-Match"), _etag(request, "If-None-Match")
            if (wanted and (item is None or wanted not in ("*", item["etag"]))) or (
                unwanted and item is not None and unwanted in ("*", item["etag"])
            ):
                return _problem(412, "Precondition failed", "the etag does not match")
            if request.method == "DELETE":
                self._changes += 1
                removed = self.items.pop(key, None)
                return web.Response(status=204) if removed is None else _item(removed)
            return _item(self.put(key, body.get("value"), body.get("content_type"), body.get("tags")))
        if item is None:
            return _problem(404, "Not found", key)
        if _etag(request, "If-None-Match") == item["etag"]:
            return web.Response(status=304, headers={"ETag": f'"{item["etag"]}"'})
        return _item(item)

    def _list(self, request: web.Request) -> web.Response:
        """Return one page of the matching keys; its etag changes with any of its key-values."""
        self.queries.append(dict(request.query))
        wanted = request.query.get("key", "*")
        found = [item for key, item in sorted(self.items.items()) if _matches(key, wanted)]
        start = int(request.query.get("after") or 0)
        page = found[start : start + self.page_size]
        etag = hashlib.sha256("".join(item["etag"] for item in page).encode()).hexdigest()[:32]
        headers = {"ETag": f'"{etag}"'}
        answer: Json = {"items": page}
        if start + self.page_size < len(found):
            query = [(k, v) for k, v in request.query.items() if k != "after"] + [("after", start + self.page_size)]
            link = f"{request.path}?{urllib.parse.urlencode(query)}"
            answer["@nextLink"] = link
            headers["Link"] = f'<{link}>; rel="next"'
        if _etag(request, "If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.json_response(answer, headers=headers, content_type=PAGE_TYPE)


def _not_signed(request: web.Request, body: bytes) -> str:
    """Return what is wrong with the request's HMAC signature; empty when nothing is."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    if request.headers.get("x-ms-content-sha256") != digest:
        return "the hash of the content does not match"
    match = re.fullmatch(
        r"HMAC-SHA256 Credential=([^&]+)&SignedHeaders=([^&]+)&Signature=(.+)", request.headers.get("Authorization", "")
    )
    if match is None or match[1] != ID:
        return "no such credential"
    signed_headers = ";".join(request.headers.get(name, "") for name in match[2].split(";"))
    text = f"{request.method}\n{request.raw_path}\n{signed_headers}"
    signature = hmac.new(base64.b64decode(SECRET), text.encode(), hashlib.sha256).digest()
    return "" if hmac.compare_digest(match[3], base64.b64encode(signature).decode()) else "the signature is wrong"


def _matches(key: str, wanted: str) -> bool:
    return key.startswith(wanted[:-1]) if wanted.endswith("*") else key == wanted


def _etag(request: web.Request, header: str) -> str:
    return request.headers.get(header, "").strip('"')


def _item(item: Json) -> web.Response:
    return web.json_response(item, headers={"ETag": f'"{item["etag"]}"'}, content_type=ITEM_TYPE)


def _problem(status: int, title: str, detail: str) -> web.Response:
    return web.json_response(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status=status,
        content_type=PROBLEM_TYPE,
    )
