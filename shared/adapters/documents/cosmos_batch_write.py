"""Atomic batches of one partition, written to Cosmos DB over pooled connections without the SDK.

One POST with an Entra token, to the account's own name, which always leads to the write region; request and answer are
those of the SDK (`_Batch` and `_format_batch_operations` of azure-cosmos 4.17). A write must never be counted twice, so
each answer is one of four:

- A result for each operation, in the service's own words: taken at its word, a refusal too.
- 429 or 449, for the whole or for one operation: nothing was done. The caller waits and asks the SDK.
- `Unusual` and `untried`: no token, no connection, or a refusal of the request itself (400, 401, 403, 413) in the
  service's own words. The caller asks the SDK at once.
- Any other `Unusual`: the batch may have been applied. Nobody sends it again but those who can tell.
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
"""Statuses of a request that the service has not begun with: it is wrong, not allowed, or too large."""
_RESULTS = frozenset({200, 207})
_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Results:
    """One result for each operation: at least its `statusCode`, an integer; `eTag` where an item was written."""

    results: list[dict[str, Any]]
    headers: Mapping[str, str]


class BatchWrites:
    """Writes atomic batches. `wanted` is asked before each one, so that operators can switch it."""

    def __init__(self, wire: Wire, *, wanted: Callable[[], bool] = lambda: True, timeout_seconds: float = 5.0) -> None:
        self.wire, self.wanted = wire, wanted
        self._endpoints = Endpoints(endpoints_of(wire.account), wire.clock)
        self._timeout = timeout_of(timeout_seconds)

    def endpoint(self) -> str | None:
        """The endpoint to ask; None while it rests, or nobody wants it."""
        return self._endpoints.next() if self.wanted() else None

    async def write(
        self, endpoint: str, container: Container, partition: str, operations: Sequence[Operation], session: str | None
    ) -> Results:
        """One batch, sent once. `session`: the newest token known of the partition. Raises `Unusual`."""
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
        except BaseException:  # a caller that gave up waiting, too, says that the endpoint is slow
            self._endpoints.rest(endpoint)
            raise


def encoded(operations: Sequence[Operation], container: Container, partition: str) -> bytes:
    """The body of a batch. Raises `Unusual` for values that are no JSON: the SDK says what is wrong with them."""
    wired = [wire_operation(op, container, partition) for op in operations]
    try:
        body = orjson.dumps(wired)
        # orjson writes a number that JSON has not (NaN) as null; where there is none, there was no such number.
        return body if b"null" not in body else _STRICT.encode(wired).encode()
    except (TypeError, ValueError) as error:
        raise Unusual(untried=True, cause="no JSON") from error


def _understood(reply: Reply, operations: int) -> Results:
    """Interpret the answer. Raises `Unusual`."""
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
