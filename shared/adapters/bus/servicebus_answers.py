"""What each error condition of Service Bus means.

Sources: the list of AMQP errors (learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-troubleshoot), the
messaging exceptions with what to do (…/service-bus-messaging-exceptions), the quotas (…/service-bus-quotas), throttling
(…/service-bus-throttling), and the standard's own conditions (OASIS AMQP 1.0, transport, section 2.8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.adapters.answers import Kind

SERVER_BUSY: Final = "com.microsoft:server-busy"
TOO_LARGE: Final = "amqp:link:message-size-exceeded"

KINDS: Final[Mapping[str, Kind]] = {
    SERVER_BUSY: Kind.OUTAGE,  # throttled: the link is good, wait
    "com.microsoft:timeout": Kind.OUTAGE,
    "com.microsoft:operation-cancelled": Kind.OUTAGE,
    "com.microsoft:auth-failed": Kind.OUTAGE,  # a token that ran out, a role that is missing or not yet known
    "com.microsoft:entity-disabled": Kind.OUTAGE,  # somebody switched the topic off
    "com.microsoft:address-already-in-use": Kind.OUTAGE,
    "com.microsoft:message-lock-lost": Kind.CONFLICT,
    "com.microsoft:session-lock-lost": Kind.CONFLICT,
    "com.microsoft:session-cannot-be-locked": Kind.CONFLICT,
    "com.microsoft:message-not-found": Kind.CONFLICT,
    "com.microsoft:argument-error": Kind.REFUSAL,
    "com.microsoft:argument-out-of-range": Kind.REFUSAL,
    TOO_LARGE: Kind.REFUSAL,
    "amqp:decode-error": Kind.REFUSAL,
    "amqp:invalid-field": Kind.REFUSAL,
    "amqp:unauthorized-access": Kind.OUTAGE,
    "amqp:not-found": Kind.OUTAGE,  # deploy the infrastructure first
    "amqp:resource-limit-exceeded": Kind.OUTAGE,  # the topic is full, or too many connections are open
    "amqp:resource-locked": Kind.OUTAGE,
    "amqp:internal-error": Kind.OUTAGE,
    "amqp:not-allowed": Kind.OUTAGE,
    "amqp:connection:forced": Kind.OUTAGE,  # the service moves, or the connection was idle
    "amqp:link:detach-forced": Kind.OUTAGE,  # the link was idle for ten minutes
    "amqp:link:stolen": Kind.OUTAGE,
}


def kind_of(condition: str) -> Kind:
    """The kind of an AMQP error condition. What the table lacks is an outage."""
    return KINDS.get(condition, Kind.OUTAGE)
