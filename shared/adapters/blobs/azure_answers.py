"""Classifies Blob Storage's answers. The number behind a row is its source:

[1] "Common REST API error codes", learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes: requests,
    rights, conditions and load, of every storage service.
[2] "Azure Blob Storage error codes", learn.microsoft.com/rest/api/storageservices/blob-service-error-codes: blobs and
    containers.
[3] "Lease Blob", learn.microsoft.com/rest/api/storageservices/lease-blob: leases and their duration.
[4] "Immutable storage for blob data", learn.microsoft.com/azure/storage/blobs/immutable-storage-overview: policies.
[5] "HTTP Semantics", RFC 9110, sections 6 and 15, and RFC 6585 for 429: statuses that the service's pages do not list,
    and answers of other programs in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.adapters.answers import Kind

NO_ANSWER = 0
TOO_LARGE = 413

KINDS: Final[Mapping[tuple[int, str | None], Kind]] = {
    (400, None): Kind.REFUSAL,  # the name, a header or the body is wrong [1]
    (401, None): Kind.OUTAGE,  # a token that ran out or is for another audience [1]
    (403, None): Kind.OUTAGE,  # the firewall, the caller's role, a key that was rotated [1]
    (404, None): Kind.OUTAGE,  # without the service's code: another program answered at the account's name [5]
    (404, "BlobNotFound"): Kind.ABSENT,  # [2]
    (404, "ContainerNotFound"): Kind.OUTAGE,  # deploy the infrastructure first [2]
    (408, None): Kind.OUTAGE,  # [5]
    (409, None): Kind.CONFLICT,  # the blob or the container is in another state [2]
    (409, "BlobImmutableDueToPolicy"): Kind.REFUSAL,  # a policy holds this very blob [2, 4]
    (409, "ContainerBeingDeleted"): Kind.OUTAGE,  # [2]
    (410, None): Kind.OUTAGE,  # [5]
    (412, None): Kind.CONFLICT,  # the etag has changed [1]
    (
        412,
        "LeaseIdMissing",
    ): Kind.OUTAGE,  # the blob has a lease, for up to a minute or until it is released [2, 3]
    (413, None): Kind.REFUSAL,  # the blob is too large [1]
    (429, None): Kind.OUTAGE,  # [5]
    (449, None): Kind.OUTAGE,  # [5]
    (500, None): Kind.OUTAGE,  # InternalError, OperationTimedOut [1]
    (503, None): Kind.OUTAGE,  # ServerBusy [1]
    (NO_ANSWER, None): Kind.OUTAGE,  # a cut connection, a stall, or a body of another program [5]
}


def kind_of(status: int, code: str | None) -> Kind:
    """Return the kind of an answer by its status and error code. An answer that the table lacks is an outage."""
    plain = KINDS.get((status, None), Kind.OUTAGE)
    return KINDS.get((status, code), plain) if code else plain
