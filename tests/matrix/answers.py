"""Responses of a failing HTTP service."""

from __future__ import annotations

from dataclasses import replace

from tests.emulators.faults import AFTER, BEFORE, Fault

HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"
STATUSES = (302, 400, 401, 403, 404, 408, 409, 410, 412, 413, 429, 449, 500, 503)

HTTP: dict[str, Fault] = {
    "200 empty": Fault(status=200, body=""),
    "200 with a foreign body": Fault(status=200, body='{"hello": "world"}'),
    "200 with a list": Fault(status=200, body="[]"),
    "200 with broken JSON": Fault(status=200, body='{"Documents": ['),
    "200 with a page": Fault(status=200, body=HTML, content_type="text/html"),
    "204": Fault(status=204, body=""),
    "206 empty": Fault(status=206, body=""),
    "302 to elsewhere": Fault(status=302, body="", headers={"Location": "http://127.0.0.1:9/"}),
    "404 with a page": Fault(status=404, body=HTML, content_type="text/html"),
    "403 with a page": Fault(status=403, body=HTML, content_type="text/html"),
    "502 with a page": Fault(status=502, body=HTML, content_type="text/html"),
    "418": Fault(status=418),
    "a cut before": Fault(cut=BEFORE),
    "a cut after": Fault(cut=AFTER),
    "a stall": Fault(stall=True),
    "a silence": Fault(delay=30.0),
    **{str(status): Fault(status=status) for status in STATUSES},
    "429 with a wait": Fault(status=429, retry_after_ms=10, headers={"Retry-After": "1"}),
    "503 with a wait": Fault(status=503, headers={"Retry-After": "1"}),
    "429 with a wait that is none": Fault(status=429, headers={"x-ms-retry-after-ms": "soon", "Retry-After": "soon"}),
}
COSMOS: dict[str, Fault] = HTTP | {
    "403/3": Fault(status=403, substatus=3),
    "403/5302": Fault(status=403, substatus=5302),
    "404/1002": Fault(status=404, substatus=1002),
    "404/1003": Fault(status=404, substatus=1003),
    "404/7": Fault(status=404, substatus=7),
    "410/1002": Fault(status=410, substatus=1002),
}
_CODES = {
    "404 BlobNotFound": (404, "BlobNotFound"),
    "404 ContainerNotFound": (404, "ContainerNotFound"),
    "409 BlobImmutableDueToPolicy": (409, "BlobImmutableDueToPolicy"),
    "412 LeaseIdMissing": (412, "LeaseIdMissing"),
    "503 ServerBusy": (503, "ServerBusy"),
}
BLOB: dict[str, Fault] = HTTP | {
    name: Fault(status=status, headers={"x-ms-error-code": code}) for name, (status, code) in _CODES.items()
}

FLAGS: dict[str, Fault] = HTTP | {"304": Fault(status=304)}


def always(fault: Fault) -> Fault:
    """Return the fault for every request, as a new object, because a plan uses up its faults."""
    return replace(fault, times=None)


_CONDITIONS = (
    "com.microsoft:server-busy",
    "com.microsoft:timeout",
    "com.microsoft:auth-failed",
    "com.microsoft:entity-disabled",
    "com.microsoft:message-lock-lost",
    "com.microsoft:session-lock-lost",
    "com.microsoft:argument-error",
    "com.microsoft:a-condition-nobody-knows",
    "amqp:unauthorized-access",
    "amqp:not-found",
    "amqp:link:message-size-exceeded",
    "amqp:resource-limit-exceeded",
    "amqp:internal-error",
)
AMQP: dict[str, Fault] = {
    **{
        condition: Fault(status=410 if condition.endswith("lock-lost") else 500, condition=condition)
        for condition in _CONDITIONS
    },
    "amqp:link:detach-forced": Fault(detach="amqp:link:detach-forced"),
    "amqp:connection:forced": Fault(close="amqp:connection:forced"),
    "a cut before": Fault(cut=BEFORE),
    "a cut after": Fault(cut=AFTER),
    "a stall": Fault(stall=True),
    "garbage frames": Fault(garbage=True),
}
