"""Point reads of Cosmos DB over pooled connections, without the SDK: what a feed request reads, at a fifth of the CPU.

One GET with an Entra token (learn.microsoft.com/rest/api/cosmos-db/get-a-document). It takes two answers at their
word: 200 with the document, and a plain 404 in the service's own words. Everything else is `Unusual`: throttling,
a time-out, a cut connection, a refused token, a body that no service of ours wrote. The caller then asks the SDK, which
knows what to do. The endpoint that behaved so rests for a while; meanwhile the next one of the list is asked, and with
none left nobody is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from shared.adapters.documents.cosmos_answers import says_absent

API_VERSION = "2020-07-15"
REST_SECONDS = 10.0
"""How long an endpoint is left alone after anything but an answer."""
CONNECT_SECONDS = 0.5
RENEW_SECONDS = 300.0
"""A token is renewed so long before it ends."""
CONNECTIONS = 100
_ABSENT_SUB_STATUSES = (None, "0")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Unusual(Exception):
    """Anything but a document or its absence. `status` is 0 where no answer came."""

    def __init__(self, status: int = 0, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        super().__init__(f"status {status}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read: the item as it is stored, None where there is none."""

    item: dict[str, Any] | None
    headers: Mapping[str, str]


def endpoints_of(account: str, regions: Sequence[str]) -> tuple[str, ...]:
    """The account's endpoints in these regions, in this order; the account's own where none is named.

    `https://account.documents.azure.com` in West Europe is `https://account-westeurope.documents.azure.com`.
    """
    account = account.rstrip("/")
    scheme, _, host = account.partition("://")
    name, dot, rest = host.partition(".")
    names = (region.replace(" ", "").lower() for region in regions)
    return tuple(f"{scheme}://{name}-{region}{dot}{rest}" for region in names if region) or (account,)


def _scope(account: str) -> str:
    """What a token is asked for: the account by name, whatever region answers."""
    parts = urlsplit(account)
    return f"{parts.scheme}://{parts.hostname}/.default"


class PointReads:
    """Reads documents by id. Connects at the first use. `credential` makes an asynchronous token credential.

    `wanted` is asked before each read, so that operators can switch it. Times are seconds; `clock` never goes back.
    """

    def __init__(
        self,
        account: str,
        database: str,
        credential: Callable[[], Any],
        *,
        regions: Sequence[str] = (),
        wanted: Callable[[], bool] = lambda: True,
        timeout_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = endpoints_of(account, regions)
        for endpoint in self._endpoints:
            parts = urlsplit(endpoint)
            if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
                raise ValueError("a token is sent over https only")
        self._database = database
        self._token = _Token(credential, _scope(account))
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=min(CONNECT_SECONDS, timeout_seconds))
        self._clock = clock
        self._rests_until = dict.fromkeys(self._endpoints, float("-inf"))
        self._session: aiohttp.ClientSession | None = None
        self.wanted = wanted

    def endpoint(self) -> str | None:
        """The endpoint to ask; None while all of them rest, or nobody wants it."""
        if not self.wanted():
            return None
        now = self._clock()
        return next((each for each in self._endpoints if self._rests_until[each] <= now), None)

    async def read(self, endpoint: str, container: str, partition: str, id: str, *, session: str | None) -> Answer:
        """One item. `session`: the session token it must not be older than; None reads eventually. Raises `Unusual`."""
        url = f"{endpoint}/dbs/{self._database}/colls/{container}/docs/{quote(id, safe='')}"
        headers = {
            "x-ms-version": API_VERSION,
            "x-ms-documentdb-partitionkey": json.dumps([partition]),
            "x-ms-consistency-level": "Eventual" if session is None else "Session",
            "Accept": "application/json",
        }
        if session:
            headers["x-ms-session-token"] = session
        try:
            headers["Authorization"] = await self._token.header()
            headers["x-ms-date"] = formatdate(usegmt=True)
            async with self._connected().get(url, headers=headers, allow_redirects=False) as response:
                body = await response.read()
            return self._understood(response, body)
        except Unusual as unusual:
            if unusual.status in (401, 403):
                self._token.drop()
            self._rest(endpoint)
            raise
        except BaseException as error:  # a caller that gave up waiting, too, says that the endpoint is slow
            self._rest(endpoint)
            if isinstance(error, Exception):
                raise Unusual from error
            raise

    def _understood(self, response: aiohttp.ClientResponse, body: bytes) -> Answer:
        headers = response.headers
        if response.status == 200:
            item = orjson.loads(body)
            if isinstance(item, dict):
                return Answer(item, headers)
        plain_404 = response.status == 404 and headers.get("x-ms-substatus") in _ABSENT_SUB_STATUSES
        if plain_404 and says_absent(body.decode("utf-8", "replace")):
            return Answer(None, headers)
        raise Unusual(response.status, headers)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                trust_env=False,
            )
        return self._session

    def _rest(self, endpoint: str) -> None:
        self._rests_until[endpoint] = self._clock() + REST_SECONDS

    async def close(self) -> None:
        """Let go of the connections. Safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._token.close()


class _Token:
    """The header with the newest token; asked for once by all who wait."""

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
        """The service refused it: ask for another one."""
        self._renew_at = 0.0

    async def close(self) -> None:
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()
