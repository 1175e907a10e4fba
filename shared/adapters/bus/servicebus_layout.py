"""Lists the Service Bus entities of the project. Bicep creates them in production; a test compares both.

    topic user-events ──┬── subscription signals  ──dead letters──▶ queue user-events-dead-signals
                        ├── subscription rollup   ──dead letters──▶ queue user-events-dead-rollup
                        └── subscription learning ──dead letters──▶ queue user-events-dead-learning

A function with the host's trigger cannot dead-letter its message, and no client can send to a subscription's own
dead-letter queue. So each subscription forwards its dead letters to a queue of ours, and functions send unreadable
messages to the same queue, with the same two properties. Replay reads from this one place.

A replayed message must reach one subscription only. It has the property `onlyFor`. Each subscription's rule accepts
messages that name it; subscriptions of events also accept messages that name none.

The topic must not be partitioned (in Premium: one partition), because one AMQP batch mixes sessions.
"""

from __future__ import annotations

from typing import Any

from shared.adapters.bus.port import (
    DUPLICATE_WINDOW_SECONDS,
    EVENT_SUBSCRIPTIONS,
    LOCK_SECONDS,
    MAX_DELIVERIES,
    MESSAGE_TTL_SECONDS,
    SESSION_SUBSCRIPTIONS,
    SUBSCRIPTIONS,
    TOPIC,
)

ONLY_FOR = "onlyFor"
ORIGINAL_ID = "originalId"
DEAD_LETTER_REASON = "DeadLetterReason"
DEAD_LETTER_DESCRIPTION = "DeadLetterErrorDescription"
UNLIMITED_DELIVERIES = 2_147_483_647
RULE_NAME = "everyone-or-me"


def dead_letter_queue(subscription: str) -> str:
    """Return the name of the queue with a subscription's dead letters."""
    return f"{TOPIC}-dead-{subscription}"


def rule(subscription: str) -> str:
    """Return the SQL filter of a subscription; it replaces the rule `$Default`."""
    named = f"{ONLY_FOR} = '{subscription}'"
    return f"NOT EXISTS({ONLY_FOR}) OR {named}" if subscription in EVENT_SUBSCRIPTIONS else named


TOPIC_SETTINGS: dict[str, Any] = {
    "requiresDuplicateDetection": True,
    "duplicateDetectionHistoryTimeWindow": f"PT{DUPLICATE_WINDOW_SECONDS / 60:.0f}M",
    "enablePartitioning": False,
    "supportOrdering": True,
}

SUBSCRIPTION_SETTINGS: dict[str, dict[str, Any]] = {
    subscription: {
        "requiresSession": subscription in SESSION_SUBSCRIPTIONS,
        "lockDuration": f"PT{LOCK_SECONDS / 60:.0f}M",
        "maxDeliveryCount": MAX_DELIVERIES,
        "defaultMessageTimeToLive": f"P{MESSAGE_TTL_SECONDS / 86_400:.0f}D",
        "deadLetteringOnMessageExpiration": True,
        "deadLetteringOnFilterEvaluationExceptions": False,
        "forwardDeadLetteredMessagesTo": dead_letter_queue(subscription),
        "rule": {"name": RULE_NAME, "sqlExpression": rule(subscription)},
    }
    for subscription in SUBSCRIPTIONS
}

DEAD_LETTER_QUEUE_SETTINGS: dict[str, dict[str, Any]] = {
    dead_letter_queue(subscription): {
        "requiresSession": False,
        "requiresDuplicateDetection": False,
        "lockDuration": f"PT{LOCK_SECONDS / 60:.0f}M",
        "maxDeliveryCount": UNLIMITED_DELIVERIES,
        "deadLetteringOnMessageExpiration": False,
    }
    for subscription in SUBSCRIPTIONS
}
"""Without a time to live: a dead letter stays until it is replayed or dropped."""
