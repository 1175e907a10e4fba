"""What each answer of Blob Storage means.

Sources: the service's error codes (learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and
…/common-rest-api-error-codes), and the pages on leases (…/lease-blob) and immutable storage
(learn.microsoft.com/azure/storage/blobs/immutable-storage-overview).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.adapters.answers import Kind

NO_ANSWER = 0
TOO_LARGE = 413

KINDS: Final[Mapping[tuple[int, str | None], Kind]] = {
    (400, None): Kind.REFUSAL,  # the name, a header or the body is wrong
    (401, None): Kind.OUTAGE,  # a token that ran out or is for another audience
    (403, None): Kind.OUTAGE,  # the firewall, the caller's role, a key that was rotated
    (404, None): Kind.OUTAGE,  # no code of the service's: the account's name leads elsewhere
    (404, "BlobNotFound"): Kind.ABSENT,
    (404, "ContainerNotFound"): Kind.OUTAGE,  # deploy the infrastructure first
    (408, None): Kind.OUTAGE,
    (409, None): Kind.CONFLICT,  # the state of the blob, or of the container, is another one
    (409, "BlobImmutableDueToPolicy"): Kind.REFUSAL,  # a policy holds this very blob
    (409, "ContainerBeingDeleted"): Kind.OUTAGE,
    (410, None): Kind.OUTAGE,
    (412, None): Kind.CONFLICT,  # the etag has changed
    (412, "LeaseIdMissing"): Kind.OUTAGE,  # somebody holds the blob for at most a minute, or until they let it go
    (413, None): Kind.REFUSAL,  # the blob is too large
    (429, None): Kind.OUTAGE,
    (449, None): Kind.OUTAGE,
    (500, None): Kind.OUTAGE,  # InternalError, OperationTimedOut
    (503, None): Kind.OUTAGE,  # ServerBusy
    (NO_ANSWER, None): Kind.OUTAGE,  # a cut, a stall, or a body that no service of ours wrote
}


def kind_of(status: int, code: str | None) -> Kind:
    """The kind of an answer by its status and the service's own error code. What the table lacks is an outage."""
    plain = KINDS.get((status, None), Kind.OUTAGE)
    return KINDS.get((status, code), plain) if code else plain
