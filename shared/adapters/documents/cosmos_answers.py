"""Classifies Cosmos DB's answers. The number behind a row is its source; [1] is under learn.microsoft.com/rest/api, [2]
to [6] are under learn.microsoft.com/azure/cosmos-db/nosql.

[1] "HTTP status codes for Azure Cosmos DB", cosmos-db/http-status-codes-for-cosmosdb: each status and its cause.
[2] "Designing resilient applications with Azure Cosmos DB SDKs", conceptual-resilient-sdk-applications: transient
    statuses, statuses after which a write can have happened, statuses that no retry helps.
[3] "Troubleshoot Azure Cosmos DB forbidden exceptions", troubleshoot-forbidden: the firewall, a role that is missing, a
    logical partition that is full.
[4] "Diagnose and troubleshoot the availability of Azure Cosmos DB SDKs in multiregional environments",
    troubleshoot-sdk-availability: writes to a region that is no longer the write region.
[5] "Diagnose and troubleshoot Azure Cosmos DB not found exceptions", troubleshoot-not-found: a session that is ahead of
    the replica, a parent that was deleted.
[6] "Diagnose and troubleshoot Azure Cosmos DB request rate too large exceptions",
    troubleshoot-request-rate-too-large.
[7] Numbers that these pages do not list: `SubStatusCodes` in `azure/cosmos/http_constants.py` of the official SDK,
    github.com/Azure/azure-sdk-for-python. It has 5300 for refused Entra tokens; 5301 and 5302 are seen beside it.
[8] "HTTP Semantics", RFC 9110, sections 6 and 15: responses that do not fit the request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.adapters.answers import Kind
from shared.adapters.documents.cosmos_wire import Unusual
from shared.adapters.documents.port import Failure, StoreRefused, StoreUnavailable, WriteRejected

NO_ANSWER = 0

KINDS: Final[Mapping[tuple[int, int | None], Kind]] = {
    (400, None): Kind.REFUSAL,  # the body, the partition key or the query is wrong [1]
    (401, None): Kind.OUTAGE,  # a rotated key, an expired token, or a wrong clock [1]
    (403, None): Kind.OUTAGE,  # the firewall, the caller's role, or a full logical partition [3]
    (403, 3): Kind.OUTAGE,  # the write region moved [4, 7]
    (403, 5302): Kind.OUTAGE,  # a role assignment that is missing or not yet known [3, 7]
    (404, None): Kind.ABSENT,  # [1]
    (
        404,
        1002,
    ): Kind.OUTAGE,  # this replica lags behind the session, or the session is one of a former container [5, 7]
    (404, 1003): Kind.OUTAGE,  # the container or the database is gone [5, 7]
    (404, 1008): Kind.OUTAGE,  # the account is gone [7]
    (408, None): Kind.OUTAGE,  # the service ran out of time; a write may have happened [2]
    (409, None): Kind.CONFLICT,  # the id is taken [1]
    (410, None): Kind.OUTAGE,  # a partition moves or splits [2]
    (412, None): Kind.CONFLICT,  # the etag has changed [1]
    (413, None): Kind.REFUSAL,  # the document is larger than 2 MB [1]
    (429, None): Kind.OUTAGE,  # more request units than are provisioned [6]
    (449, None): Kind.OUTAGE,  # a write crossed another one; to be sent again [1, 2]
    (500, None): Kind.OUTAGE,  # [1]
    (503, None): Kind.OUTAGE,  # [1, 2]
    (NO_ANSWER, None): Kind.OUTAGE,  # a cut connection, a stall, or a body of another program [8]
}

NOT_APPLIED: Final = frozenset({429, 449})
"""Statuses that promise that nothing was done: such a request can be sent again, also a write."""
CONFLICTS: Final = frozenset({409, 412})
"""Statuses of a whole batch that was refused because of the stored state."""
WORTH_A_SECOND_READ: Final = frozenset({NO_ANSWER, 408, 410, 500, 502, 503, 504})
"""Statuses after which a read is repeated once, immediately. A write can have happened."""
STALE_SESSION: Final = 1002
TOO_LARGE: Final = 413
DEPENDS: Final = 424
"""Status of an operation whose batch failed because of another operation."""
ACTIVITY_ID: Final = "x-ms-activity-id"
"""Header of every answer of the service itself (…/rest/api/cosmos-db/common-cosmosdb-rest-response-headers)."""

CONTAINER_PATH: Final = "x-ms-alt-content-path"
"""Header that names the container of an answer."""

FAILURES: Final[Mapping[int, Failure]] = {
    404: Failure.NOT_FOUND,
    409: Failure.ALREADY_EXISTS,
    412: Failure.CONFLICT,
}
"""Failure by the status of one operation of a batch."""


def kind_of(status: int, sub_status: int | None) -> Kind:
    """Return the kind of an answer. A status or sub-status that the table lacks is an outage."""
    if not sub_status:
        return KINDS.get((status, None), Kind.OUTAGE)
    fallback = KINDS.get((status, None), Kind.OUTAGE)
    # Only a 404 without a sub-status means that the document does not exist.
    return KINDS.get((status, sub_status), Kind.OUTAGE if fallback is Kind.ABSENT else fallback)


def says_absent(body: str | None) -> bool:
    """Whether the body of a 404 is the service's own. A 404 of a proxy says nothing about a document."""
    try:
        answered = json.loads(body or "")
    except ValueError:
        return False
    return isinstance(answered, dict) and answered.get("code") == "NotFound"


def checked_page(result: Any) -> None:
    """Raise `NotAnAnswer` unless `result` is a page of documents: the SDK reads anything else as an empty page."""
    if not isinstance(result, Mapping) or not isinstance(result.get("Documents"), list):
        raise NotAnAnswer("a page of documents")


def first_refused(statuses: Sequence[int]) -> int | None:
    """Return the index of the operation for which a batch was refused; None when all were written."""
    refused = [i for i, status in enumerate(statuses) if not 200 <= status < 300]
    return next((i for i in refused if statuses[i] != DEPENDS), refused[0] if refused else None)


def refusal_of(results: Sequence[Mapping[str, Any]], refused: int, headers: Mapping[str, Any]) -> Exception:
    """Return the error for a refused batch: the caller's state, throttling, or a wrong request."""
    statuses = [int(result["statusCode"]) for result in results]
    failures = {i: FAILURES[status] for i, status in enumerate(statuses) if status in FAILURES}
    if failures:
        return WriteRejected(failures)
    status = statuses[refused]
    if status in NOT_APPLIED:
        return Unusual(status, headers)
    if kind_of(status, None) is Kind.REFUSAL:
        text = f"Cosmos DB refused operation {refused} of a batch: status {status}"
        return StoreRefused(text, too_large=status == TOO_LARGE)
    return StoreUnavailable(f"Cosmos DB did not serve write: status {status}")


def charge_of(headers: Mapping[str, Any]) -> float:
    """Return the request units of an answer; 0 when the header is not a number."""
    try:
        return float(headers.get("x-ms-request-charge") or 0.0)
    except ValueError:
        return 0.0


def retry_after_of(headers: Mapping[str, Any]) -> float | None:
    """Return the seconds that the service asks to wait; None without them."""
    try:
        seconds = float(headers["x-ms-retry-after-ms"]) / 1000
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < float("inf") else None


class NotAnAnswer(Exception):
    """The answer does not fit the request; it can come from another program."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"the answer is not {wanted}")
