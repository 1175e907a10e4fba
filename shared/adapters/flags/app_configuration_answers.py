"""Classifies App Configuration's answers. The number behind a row is its source; [1] to [5] are under
learn.microsoft.com/azure/azure-app-configuration.

[1] "Key-values", rest-api-key-value: answers to reads, lists, conditional writes and deletes.
[2] "Throttling", rest-api-throttling: 429 with `retry-after-ms`, for requests, bandwidth and storage; 503 is retried
    too.
[3] "HMAC authentication" and "Microsoft Entra authentication", rest-api-authentication-hmac and
    rest-api-authentication-azure-ad: faults of a signature or a token.
[4] "Microsoft Entra authorization", rest-api-authorization-azure-ad: a role that is missing.
[5] "Locks", rest-api-locks, and [1]: a locked key-value cannot be written.
[6] "HTTP Semantics", RFC 9110, sections 6 and 15, where these pages say nothing.

The flag port has one error, `FlagsUnavailable`, for outages and refusals. Readers keep their earlier flags; operators,
who write flags, see the status in its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.adapters.answers import Kind

NO_ANSWER = 0

KINDS: Final[Mapping[int, Kind]] = {
    400: Kind.REFUSAL,  # the key, the label or a parameter is wrong [1]
    401: Kind.OUTAGE,  # an invalid signature or token, or a wrong clock [3]
    403: Kind.OUTAGE,  # the caller's role, or the store's network rules [4]
    404: Kind.ABSENT,  # no such key-value; for a list: another program answered [1]
    408: Kind.OUTAGE,  # out of time; a write can have happened [6]
    409: Kind.REFUSAL,  # the key-value is locked [5]
    410: Kind.OUTAGE,  # answer of another program [6]
    412: Kind.CONFLICT,  # the etag has changed [1]
    413: Kind.REFUSAL,  # a key-value holds 10 KB [6]
    429: Kind.OUTAGE,  # more requests or data than the tier allows [2]
    449: Kind.OUTAGE,  # answer of another program [6]
    500: Kind.OUTAGE,  # [6]
    503: Kind.OUTAGE,  # [2]
    NO_ANSWER: Kind.OUTAGE,  # a cut connection, a stall, or a body of another program [6]
}


def kind_of(status: int, content_type: str = "") -> Kind:
    """Return the kind of an answer. One that the table lacks is an outage; so is a proxy's 404, which is a web page."""
    kind = KINDS.get(status, Kind.OUTAGE)
    return Kind.OUTAGE if kind is Kind.ABSENT and content_type.startswith("text/html") else kind
