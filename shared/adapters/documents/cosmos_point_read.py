"""Reads Cosmos DB documents by id over pooled connections, without the SDK, at a fifth of its CPU.

Feed requests use it. A read is one GET with an Entra token (learn.microsoft.com/rest/api/cosmos-db/get-a-document). Two
answers are trusted: 200 with the document, and a 404 without a sub-status and with the service's own body. All else is
`Unusual`: throttling, a time-out, a cut connection, a refused token, a body of another program. The caller then uses
the SDK, which handles it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from shared.adapters.documents.cosmos_answers import says_absent
from shared.adapters.documents.cosmos_wire import Endpoints, Reply, Unusual, Wire, endpoints_of, timeout_of

_ABSENT_SUB_STATUSES = (None, "0")


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of a read: the stored item, None if it does not exist."""

    item: dict[str, Any] | None
    headers: Mapping[str, str]


class PointReads:
    """Reads documents by id. `wanted` is called before each read: operators can switch it off."""

    def __init__(
        self,
        wire: Wire,
        *,
        regions: Sequence[str] = (),
        wanted: Callable[[], bool] = lambda: True,
        timeout_seconds: float = 2.0,
    ) -> None:
        self.wire, self.wanted = wire, wanted
        self._endpoints = Endpoints(endpoints_of(wire.account, regions), wire.clock)
        self._timeout = timeout_of(timeout_seconds)

    def endpoint(self) -> str | None:
        """Return the next endpoint; None while all rest after failures, or while `wanted` is False."""
        return self._endpoints.next() if self.wanted() else None

    async def read(self, endpoint: str, container: str, partition: str, id: str, *, session: str | None) -> Answer:
        """Read one item at least as new as the session token `session`; None reads eventually. Raises `Unusual`."""
        headers = {
            "x-ms-documentdb-partitionkey": json.dumps([partition]),
            "x-ms-consistency-level": "Eventual" if session is None else "Session",
        }
        if session:
            headers["x-ms-session-token"] = session
        url = f"{self.wire.documents_url(endpoint, container)}/{quote(id, safe='')}"
        try:
            return _understood(await self.wire.ask("GET", url, headers, self._timeout))
        except BaseException as error:  # a caller that stopped waiting also shows that the endpoint is slow
            self._endpoints.rest(endpoint)
            if isinstance(error, Exception) and not isinstance(error, Unusual):
                raise Unusual from error
            raise


def _understood(reply: Reply) -> Answer:
    headers = reply.headers
    if reply.status == 200:
        item = orjson.loads(reply.body)
        if isinstance(item, dict):
            return Answer(item, headers)
    plain_404 = reply.status == 404 and headers.get("x-ms-substatus") in _ABSENT_SUB_STATUSES
    if plain_404 and says_absent(reply.body.decode("utf-8", "replace")):
        return Answer(None, headers)
    raise Unusual(reply.status, headers)
