"""Reads and writes key-values of Azure App Configuration as raw JSON, one record at a time.

The SDK signs and sends the requests, but does not parse the answers: its own list raises for a whole page of flags when
one value is `null`, a list or a number, and it cannot keep a flag's tags. Every failure is `FlagsUnavailable`; no
exception of the SDK leaves this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from azure.appconfiguration import AzureAppConfigurationClient
from azure.core.rest import HttpRequest, HttpResponse

from shared.adapters.answers import Kind
from shared.adapters.flags.app_configuration_answers import kind_of
from shared.adapters.flags.port import FlagsUnavailable

KEY_PREFIX = ".appconfig.featureflag/"
CONTENT_TYPE = "application/vnd.microsoft.appconfig.ff+json;charset=utf-8"
API_VERSION = "2023-11-01"
NO_LABEL = "\0"
_FIRST_PAGE = "/kv?" + urlencode({"api-version": API_VERSION, "key": KEY_PREFIX + "*", "label": NO_LABEL})
_ACCEPT = "application/vnd.microsoft.appconfig.kvset+json, application/vnd.microsoft.appconfig.kv+json, */*;q=0.1"
MOST_PAGES = 1_000

Json = dict[str, Any]
OnAnswer = Callable[[Mapping[str, str]], None]
"""Called with the headers of every well-formed answer."""


class Changed(Exception):
    """Another client wrote the key-value first."""


@dataclass(frozen=True, slots=True)
class _Page:
    etag: str
    items: tuple[Any, ...]
    next: str | None


class KeyValues:
    """Key-values of feature flags without a label. Blocking; for one thread at a time.

    Needs either `connection_string` (an emulator) or `endpoint` with `credential`, a function that makes a token
    credential (production). `timeout_seconds` limits each wait for the network, `retries` the SDK's repeats.
    """

    def __init__(
        self,
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Callable[[], Any] | None = None,
        timeout_seconds: float,
        retries: int,
        on_answer: OnAnswer | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "connection_timeout": timeout_seconds,
            "read_timeout": timeout_seconds,
            "retry_total": retries,
            "permit_redirects": False,
        }
        self._pages: dict[str, _Page] = {}
        self._on_answer = on_answer or (lambda headers: None)
        self._credential = None
        if connection_string is not None:
            self._client = AzureAppConfigurationClient.from_connection_string(connection_string, **options)
        else:
            assert credential is not None
            self._credential = credential()
            self._client = AzureAppConfigurationClient(endpoint or "", self._credential, **options)

    def flags(self) -> list[Any]:
        """Return every flag's raw key-value, ordered by key. A page without changes since the last call costs one
        request without a body."""
        pages: dict[str, _Page] = {}
        found: list[Any] = []
        at: str | None = _FIRST_PAGE
        while at is not None:
            if at in pages or len(pages) >= MOST_PAGES:
                raise FlagsUnavailable("App Configuration's pages have no end")
            page = pages[at] = self._page(at, self._pages.get(at))
            found += page.items
            at = page.next
        self._pages = pages
        return found

    def get(self, key: str) -> Json | None:
        """Return one key-value, None without it."""
        response = self._send("GET", _path(key))
        if _kind(response) is Kind.ABSENT:
            return None
        return self._item(response, key)

    def put(self, key: str, fields: Json, *, etag: str | None) -> None:
        """Write a key-value whose etag is still `etag`; None: that does not exist. Raises `Changed`."""
        condition = {"If-None-Match": "*"} if etag is None else {"If-Match": f'"{etag}"'}
        headers = {**condition, "Content-Type": "application/vnd.microsoft.appconfig.kv+json"}
        body = orjson.dumps(fields).decode()  # text: the SDK encodes it again to sign it
        response = self._send("PUT", _path(key), headers, body)
        if _kind(response) is Kind.CONFLICT:
            raise Changed
        self._item(response, key)

    def delete(self, key: str) -> None:
        """Remove a key-value if it exists."""
        response = self._send("DELETE", _path(key))
        if response.status_code != 204:  # it did not exist
            self._item(response, key)

    def close(self) -> None:
        """Close connections."""
        self._client.close()
        if self._credential is not None:
            self._credential.close()

    def _page(self, at: str, known: _Page | None) -> _Page:
        response = self._send("GET", at, {"If-None-Match": known.etag} if known and known.etag else {})
        if known is not None and known.etag and response.status_code == 304:
            self._on_answer(response.headers)
            return known
        body = self._body(response)
        items, after = body.get("items"), body.get("@nextLink")
        if not isinstance(items, list):
            raise FlagsUnavailable("App Configuration answered with something else")
        if after is not None and not (isinstance(after, str) and after.startswith("/kv?")):
            raise FlagsUnavailable("App Configuration leads elsewhere for the next page")
        return _Page(response.headers.get("ETag", ""), tuple(items), after)

    def _item(self, response: HttpResponse, key: str) -> Json:
        """Return the key-value in an answer. Raises `FlagsUnavailable` for another key or no key-value."""
        item = self._body(response)
        if item.get("key") != key:
            raise FlagsUnavailable("App Configuration answered with something else")
        return item

    def _body(self, response: HttpResponse) -> Json:
        if response.status_code != 200:
            raise FlagsUnavailable(_unexpected(response))
        try:
            body = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise FlagsUnavailable("App Configuration answered with something else")
        self._on_answer(response.headers)
        return body

    def _send(self, method: str, at: str, headers: Mapping[str, str] | None = None, body: str = "") -> HttpResponse:
        request = HttpRequest(method, at, headers={"Accept": _ACCEPT, **(headers or {})}, content=body or None)
        try:
            return self._client.send_request(request)
        except Exception as error:  # the SDK, its credential and the network raise many errors
            raise FlagsUnavailable(f"App Configuration did not answer ({type(error).__name__})") from None


def _kind(response: HttpResponse) -> Kind:
    return kind_of(response.status_code, response.headers.get("Content-Type", ""))


def _path(key: str) -> str:
    return f"/kv/{quote(key, safe='')}?{urlencode({'api-version': API_VERSION, 'label': NO_LABEL})}"


def _unexpected(response: HttpResponse) -> str:
    locked = response.status_code == 409
    return f"App Configuration answered {response.status_code}" + (": the flag is locked" if locked else "")
