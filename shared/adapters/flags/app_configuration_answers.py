"""Table of App Configuration's answers and what each means. The number behind a row is its source; [1] to [5] are under
learn.microsoft.com/azure/azure-app-configuration.

[1] "Key-values", rest-api-key-value: what reading, listing, writing under a condition and deleting answer.
[2] "Throttling", rest-api-throttling: 429 with `retry-after-ms`, for requests, bandwidth and storage; 503 is to be
    tried again too.
[3] "HMAC authentication" and "Microsoft Entra authentication", rest-api-authentication-hmac and
    rest-api-authentication-azure-ad: what is wrong with a signature or a token.
[4] "Microsoft Entra authorization", rest-api-authorization-azure-ad: a role that is missing.
[5] "Locks", rest-api-locks, and [1]: a locked key-value cannot be written.
[6] "HTTP Semantics", RFC 9110, sections 6 and 15, where these pages say nothing.

The flag port has one error, `FlagsUnavailable`, for outages and refusals: whoever reads flags keeps those from before,
and whoever writes one is an operator, who reads the status in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.adapters.answers import Kind

NO_ANSWER = 0

KINDS: Final[Mapping[int, Kind]] = {
    400: Kind.REFUSAL,  # the key, the label or a parameter is wrong [1]
    401: Kind.OUTAGE,  # a signature or token that is no good, a clock that is wrong [3]
    403: Kind.OUTAGE,  # the caller's role, or the store's network rules [4]
    404: Kind.ABSENT,  # no such key-value; of a whole list: the store is elsewhere [1]
    408: Kind.OUTAGE,  # out of time; a write may have happened [6]
    409: Kind.REFUSAL,  # the key-value is locked, until somebody unlocks it [5]
    410: Kind.OUTAGE,  # something in the service's place [6]
    412: Kind.CONFLICT,  # the etag has changed [1]
    413: Kind.REFUSAL,  # a key-value holds 10 KB [6]
    429: Kind.OUTAGE,  # more requests or data than the tier allows [2]
    449: Kind.OUTAGE,  # something in the service's place [6]
    500: Kind.OUTAGE,  # [6]
    503: Kind.OUTAGE,  # [2]
    NO_ANSWER: Kind.OUTAGE,  # a cut, a stall, or a body that no service of ours wrote [6]
}


def kind_of(status: int, content_type: str = "") -> Kind:
    """The kind of an answer. What the table lacks is an outage, and so is a 404 that is a web page: a proxy's."""
    kind = KINDS.get(status, Kind.OUTAGE)
    return Kind.OUTAGE if kind is Kind.ABSENT and content_type.startswith("text/html") else kind
