"""Writes atomic batches of one partition to Cosmos DB over pooled connections, without the SDK.

One POST with an Entra token goes to the account's own name, which always leads to the write region. Request and answer
are those of the SDK (`_Batch` and `_format_batch_operations` of azure-cosmos 4.17). A write must never be counted
twice, so each answer has one of four outcomes:

- A result for each operation, from the service itself: it is trusted, also a refusal.
- 429 or 449, for the whole or for one operation: nothing was done. The caller waits, then uses the SDK.
- `Unusual` and `untried`: no token, no connection, or a refusal of the request itself (400, 401, 403, 413) by the
  service. The caller uses the SDK at once.
- Any other `Unusual`: the batch can have been applied. Only a caller that can check that sends it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.adapters.documents.cosmos_answers import ACTIVITY_ID, NOT_APPLIED
from shared.adapters.documents.cosmos_items import wire_operation
from shared.adapters.documents.cosmos_wire import Endpoints, Reply, Unusual, Wire, endpoints_of, timeout_of
from shared.adapters.documents.port import Container, Operation

REFUSED_UNTRIED: Final = frozenset({400, 401, 403, 413})
"""Statuses of a request that the service refused before it began: wrong, not allowed, or too large."""
_RESULTS = frozenset({200, 207})
_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Results:
    """Results of a batch, one for each operation: an integer `statusCode`, and `eTag` for a written item."""

    results: list[dict[str, Any]]
    headers: Mapping[str, str]


class BatchWrites:
    """Writes atomic batches. `wanted` is called before each batch: operators can switch it off."""

    def __init__(self, wire: Wire, *, wanted: Callable[[], bool] = lambda: True, timeout_seconds: float = 5.0) -> None:
        self.wire, self.wanted = wire, wanted
        self._endpoints = Endpoints(endpoints_of(wire.account), wire.clock)
        self._timeout = timeout_of(timeout_seconds)

    def endpoint(self) -> str | None:
        """Return the endpoint; None while it rests after a failure, or while `wanted` is False."""
        return self._endpoints.next() if self.wanted() else None

    async def write(
        self, endpoint: str, container: Container, partition: str, operations: Sequence[Operation], session: str | None
    ) -> Results:
        """Send one batch once. `session`: the newest known token of the partition. Raises `Unusual`."""
        body = encoded(operations, container, partition)
        headers = {
            "x-ms-cosmos-is-batch-request": "True",
            "x-ms-cosmos-batch-atomic": "True",
            "x-ms-cosmos-batch-continue-on-error": "False",
            "x-ms-documentdb-partitionkey": json.dumps([partition]),
            "x-ms-consistency-level": "Session",
            "Content-Type": "application/json",
        }
        if session:
            headers["x-ms-session-token"] = session
        url = self.wire.documents_url(endpoint, container.name)
        try:
            return _understood(await self.wire.ask("POST", url, headers, self._timeout, body), len(operations))
        except BaseException:  # a caller that stopped waiting also shows that the endpoint is slow
            self._endpoints.rest(endpoint)
            raise


def encoded(operations: Sequence[Operation], container: Container, partition: str) -> bytes:
    """Encode the body of a batch. Raises `Unusual` for values that are not JSON; the SDK then reports the fault."""
    wired = [wire_operation(op, container, partition) for op in operations]
    try:
        body = orjson.dumps(wired)
        # orjson writes NaN, which JSON lacks, as null. Without a null in the body, there was no NaN.
        return body if b"null" not in body else _STRICT.encode(wired).encode()
    except (TypeError, ValueError) as error:
        raise Unusual(untried=True, cause="no JSON") from error


def _understood(reply: Reply, operations: int) -> Results:
    """Return the results of an answer. Raises `Unusual`."""
    headers, ours = reply.headers, ACTIVITY_ID in reply.headers
    if reply.status in _RESULTS and ours:
        try:
            found = orjson.loads(reply.body)
        except ValueError:
            found = None
        if _is_results(found, operations):
            if refused := next((each["statusCode"] for each in found if each["statusCode"] in NOT_APPLIED), None):
                raise Unusual(refused, headers)
            return Results(found, headers)
    raise Unusual(reply.status, headers, untried=ours and reply.status in REFUSED_UNTRIED)


def _is_results(found: Any, operations: int) -> bool:
    return (
        isinstance(found, list)
        and len(found) == operations
        and all(isinstance(each, dict) and type(each.get("statusCode")) is int for each in found)
    )
