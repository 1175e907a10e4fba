"""Classifies Service Bus's error conditions. The number behind a row is its source; [1] to [4] are under
learn.microsoft.com/azure/service-bus-messaging.

[1] "AMQP errors in Azure Service Bus", service-bus-amqp-troubleshoot: links and connections that the service closes
    because nothing was sent on them.
[2] "Service Bus messaging exceptions", service-bus-messaging-exceptions-latest: the reasons, and whether a retry helps.
[3] "Throttling operations on Azure Service Bus", service-bus-throttling: how long to wait; the link still works.
[4] "Service Bus quotas", service-bus-quotas: sizes of messages and topics, numbers of connections.
[5] The conditions' names, which these pages do not list: the constants of the official SDKs,
    `azure/servicebus/_common/constants.py` in github.com/Azure/azure-sdk-for-python, and `AmqpClientConstants.cs` in
    github.com/Azure/azure-sdk-for-net.
[6] OASIS AMQP 1.0, transport, sections 2.8.15 to 2.8.18: errors of the protocol, of a connection, a session, a link.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.adapters.answers import Kind

SERVER_BUSY: Final = "com.microsoft:server-busy"
TOO_LARGE: Final = "amqp:link:message-size-exceeded"

KINDS: Final[Mapping[str, Kind]] = {
    SERVER_BUSY: Kind.OUTAGE,  # throttled: the link works, wait [3, 5]
    "com.microsoft:timeout": Kind.OUTAGE,  # [2, 5]
    "com.microsoft:operation-cancelled": Kind.OUTAGE,  # [5]
    "com.microsoft:auth-failed": Kind.OUTAGE,  # an expired token, or a role that is missing or not yet known [2, 5]
    "com.microsoft:entity-disabled": Kind.OUTAGE,  # the topic is switched off [2, 5]
    "com.microsoft:address-already-in-use": Kind.OUTAGE,  # [5]
    "com.microsoft:message-lock-lost": Kind.CONFLICT,  # [2, 5]
    "com.microsoft:session-lock-lost": Kind.CONFLICT,  # [2, 5]
    "com.microsoft:session-cannot-be-locked": Kind.CONFLICT,  # [2, 5]
    "com.microsoft:message-not-found": Kind.CONFLICT,  # [2, 5]
    "com.microsoft:argument-error": Kind.REFUSAL,  # [5]
    "com.microsoft:argument-out-of-range": Kind.REFUSAL,  # [5]
    TOO_LARGE: Kind.REFUSAL,  # [2, 4, 6]
    "amqp:decode-error": Kind.REFUSAL,  # [6]
    "amqp:invalid-field": Kind.REFUSAL,  # [6]
    "amqp:unauthorized-access": Kind.OUTAGE,  # [2, 6]
    "amqp:not-found": Kind.OUTAGE,  # deploy the infrastructure first [2, 6]
    "amqp:resource-limit-exceeded": Kind.OUTAGE,  # the topic is full, or too many connections are open [2, 4, 6]
    "amqp:resource-locked": Kind.OUTAGE,  # [6]
    "amqp:internal-error": Kind.OUTAGE,  # [6]
    "amqp:not-allowed": Kind.OUTAGE,  # [6]
    "amqp:connection:forced": Kind.OUTAGE,  # the service moves the connection, or it was idle [1, 6]
    "amqp:link:detach-forced": Kind.OUTAGE,  # the link was idle for ten minutes [1, 6]
    "amqp:link:stolen": Kind.OUTAGE,  # [6]
}


def kind_of(condition: str) -> Kind:
    """Return the kind of an AMQP error condition. One that the table lacks is an outage."""
    return KINDS.get(condition, Kind.OUTAGE)
