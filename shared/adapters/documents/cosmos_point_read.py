"""Point reads of Cosmos DB over pooled connections, without the SDK: what a feed request reads, at a fifth of its CPU.

One GET with an Entra token (learn.microsoft.com/rest/api/cosmos-db/get-a-document). It takes two answers at their
word: 200 with the document, and a plain 404 in the service's own words. Everything else is `Unusual`: throttling,
a time-out, a cut connection, a refused token, a body that no service of ours wrote. The caller then asks the SDK, which
knows what to do.
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
    """A read: the item as it is stored, None where there is none."""

    item: dict[str, Any] | None
    headers: Mapping[str, str]


class PointReads:
    """Reads documents by id. `wanted` is asked before each read, so that operators can switch it."""

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
        """The endpoint to ask; None while all of them rest, or nobody wants it."""
        return self._endpoints.next() if self.wanted() else None

    async def read(self, endpoint: str, container: str, partition: str, id: str, *, session: str | None) -> Answer:
        """One item. `session`: the session token it must not be older than; None reads eventually. Raises `Unusual`."""
        headers = {
            "x-ms-documentdb-partitionkey": json.dumps([partition]),
            "x-ms-consistency-level": "Eventual" if session is None else "Session",
        }
        if session:
            headers["x-ms-session-token"] = session
        url = f"{self.wire.documents_url(endpoint, container)}/{quote(id, safe='')}"
        try:
            return _understood(await self.wire.ask("GET", url, headers, self._timeout))
        except BaseException as error:  # a caller that gave up waiting, too, says that the endpoint is slow
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
