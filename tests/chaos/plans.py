"""Named fault plans for the test servers, modeled on service failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PAGE = "<html><body><h1>502 Bad Gateway</h1></body></html>"
GARBAGE = "servicebus garbage frames"
"""Stands for a fault of the proxy in front of the broker: it sends bytes that are no frame."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One fault of one server. `fault` has fields of `tests.emulators.faults.Fault`; without any it is `GARBAGE`."""

    name: str
    server: str
    fault: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **self.fault}


def _cosmos(answer: str, match: str, times: int, **fault: Any) -> Plan:
    return Plan(f"cosmos {answer}", "cosmos", {"match": match, "times": times, **fault})


def _bus(answer: str, match: str, times: int, **fault: Any) -> Plan:
    return Plan(f"servicebus {answer}", "servicebus", {"match": match, "times": times, **fault})


def _blob(answer: str, times: int, **fault: Any) -> Plan:
    return Plan(f"blob {answer}", "blob", {"match": "PUT", "times": times, **fault})


PLANS = (
    _cosmos("cut after a write", "batch user-activity", 4, cut="after"),
    _cosmos("cut before a write", "batch", 4, cut="before"),
    _cosmos("403/3", "batch user-activity", 12, status=403, substatus=3),
    _cosmos("403/5302", "read", 12, status=403, substatus=5302),
    _cosmos("404/1002", "read", 6, status=404, substatus=1002),
    _cosmos("410", "batch", 6, status=410),
    _cosmos("429 with a wait", "batch", 10, status=429, retry_after_ms=50),
    _cosmos("429 without a wait", "batch", 10, status=429),
    _cosmos("449", "batch", 6, status=449),
    _cosmos("503", "read", 10, status=503),
    _cosmos("a page for a document", "read", 6, status=200, body=PAGE, content_type="text/html"),
    _cosmos("nothing for a write", "batch", 4, status=200, body=""),
    _bus("cut after a send", "send", 1, cut="after"),
    _bus("cut before a settlement", "settle", 1, cut="before"),
    _bus("server-busy", "send", 4, condition="com.microsoft:server-busy"),
    _bus("detach-forced", "send", 2, detach="amqp:link:detach-forced"),
    _bus("connection-forced", "settle", 1, close="amqp:connection:forced"),
    _bus("lock lost", "settle", 3, condition="com.microsoft:message-lock-lost"),
    Plan(GARBAGE, "servicebus", {}),
    _blob("a lease", 3, status=412, headers={"x-ms-error-code": "LeaseIdMissing"}),
    _blob("503", 3, status=503, headers={"x-ms-error-code": "ServerBusy"}),
)
