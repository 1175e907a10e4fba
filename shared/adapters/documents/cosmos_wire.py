"""Sends Cosmos DB requests without the SDK: it pools connections, adds an Entra token,
and skips an endpoint for a while after it failed.

An endpoint that failed rests for a while, and the next one of the list is used. When all rest, there is none, and the
caller uses the SDK. It also does after an answer that it does not trust (`Unusual`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

API_VERSION = "2020-07-15"
REST_SECONDS = 10.0
"""Pause of an endpoint after a failure."""
CONNECT_SECONDS = 0.5
RENEW_SECONDS = 300.0
"""A token is renewed this long before it ends."""
CONNECTIONS = 100
_REFUSED_TOKEN = frozenset({401, 403})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Unusual(Exception):
    """The answer is missing or not trusted. `status` is 0 without an answer.

    `untried`: the service has certainly not begun with the request, so the SDK can send it at once, also a write.
    """

    def __init__(
        self, status: int = 0, headers: Mapping[str, str] | None = None, *, untried: bool = False, cause: str = ""
    ) -> None:
        self.status, self.headers, self.untried = status, headers or {}, untried
        super().__init__(cause or f"status {status}")

    @property
    def sub_status(self) -> int | None:
        """Numeric sub-status of the answer; None without one."""
        said = self.headers.get("x-ms-substatus", "")
        return int(said) if said.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def endpoints_of(account: str, regions: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the account's endpoints in these regions, in order; the account's own if none is named.

    `https://account.documents.azure.com` in West Europe is `https://account-westeurope.documents.azure.com`.
    """
    account = account.rstrip("/")
    scheme, _, host = account.partition("://")
    name, dot, rest = host.partition(".")
    names = (region.replace(" ", "").lower() for region in regions)
    return tuple(f"{scheme}://{name}-{region}{dot}{rest}" for region in names if region) or (account,)


class Endpoints:
    """Endpoints in order of preference. `clock`: monotonic, in seconds."""

    def __init__(self, endpoints: Iterable[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rests_until = dict.fromkeys(endpoints, float("-inf"))
        for endpoint in self._rests_until:
            parts = urlsplit(endpoint)
            if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
                raise ValueError("a token is sent over https only")

    def next(self) -> str | None:
        """Return the first endpoint that does not rest; None while all rest."""
        now = self._clock()
        for endpoint, until in self._rests_until.items():
            if until <= now:
                return endpoint
        return None

    def rest(self, endpoint: str) -> None:
        """Pause an endpoint for `REST_SECONDS`."""
        self._rests_until[endpoint] = self._clock() + REST_SECONDS


class Wire:
    """Connection to one account, opened at the first use. `credential` makes an asynchronous token credential."""

    def __init__(
        self,
        account: str,
        database: str,
        credential: Callable[[], Any],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.account, self.clock = account, clock
        self._database = database
        self._token = _Token(credential, _scope(account))
        self._session: aiohttp.ClientSession | None = None

    def documents_url(self, endpoint: str, container: str) -> str:
        """Return the URL of a container's documents."""
        return f"{endpoint}/dbs/{self._database}/colls/{container}/docs"

    async def ask(
        self, method: str, url: str, headers: dict[str, str], timeout: aiohttp.ClientTimeout, body: bytes | None = None
    ) -> Reply:
        """Send one request and return its response. `url`: quoted; `headers`: completed here. Raises `Unusual`."""
        try:
            headers["Authorization"] = await self._token.header()
        except Exception as error:
            raise Unusual(untried=True, cause="no token") from error
        headers["x-ms-version"] = API_VERSION
        headers["x-ms-date"] = _date(int(time.time()))
        headers["Accept"] = "application/json"
        try:
            async with self._connected().request(
                method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False, timeout=timeout
            ) as response:
                reply = Reply(response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unusual(untried=True, cause="no connection") from error
        except Exception as error:
            raise Unusual(cause=type(error).__name__) from error
        if reply.status in _REFUSED_TOKEN:
            self._token.drop()
        return reply

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections. Safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._token.close()


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def timeout_of(seconds: float) -> aiohttp.ClientTimeout:
    """Return the time-out of one request: `seconds` in all, `CONNECT_SECONDS` for connecting."""
    return aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds))


def _scope(account: str) -> str:
    """Return the scope of a token: the account's name, whatever the region."""
    parts = urlsplit(account)
    return f"{parts.scheme}://{parts.hostname}/.default"


class _Token:
    """Newest token as a header. Concurrent callers share one renewal."""

    def __init__(self, credential: Callable[[], Any], scope: str) -> None:
        self._make, self._scope = credential, scope
        self._credential: Any = None
        self._header = ""
        self._renew_at = 0.0
        self._asking = asyncio.Lock()

    async def header(self) -> str:
        if time.time() < self._renew_at:
            return self._header
        async with self._asking:
            if time.time() >= self._renew_at:
                if self._credential is None:
                    self._credential = self._make()
                token = await self._credential.get_token(self._scope)
                self._header = quote(f"type=aad&ver=1.0&sig={token.token}", safe="")
                self._renew_at = token.expires_on - RENEW_SECONDS
        return self._header

    def drop(self) -> None:
        """Drop the token, because the service refused it."""
        self._renew_at = 0.0

    async def close(self) -> None:
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()
