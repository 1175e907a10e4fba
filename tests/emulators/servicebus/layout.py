"""Creates the project's entities on the test broker."""

from __future__ import annotations

from shared.adapters.bus.port import (
    DUPLICATE_WINDOW_SECONDS,
    LOCK_SECONDS,
    MAX_DELIVERIES,
    MESSAGE_TTL_SECONDS,
    SESSION_SUBSCRIPTIONS,
    SUBSCRIPTIONS,
    TOPIC,
)
from shared.adapters.bus.servicebus_layout import UNLIMITED_DELIVERIES, dead_letter_queue, rule
from tests.emulators.servicebus.entities import EntityOptions, Namespace


def user_events(namespace: Namespace, lock_seconds: float = LOCK_SECONDS, max_deliveries: int = MAX_DELIVERIES) -> None:
    """Return the topic, its subscriptions and their dead-letter queues, as `servicebus_layout` describes them."""
    for subscription in SUBSCRIPTIONS:
        namespace.add_queue(
            dead_letter_queue(subscription),
            EntityOptions(lock_seconds=lock_seconds, max_deliveries=UNLIMITED_DELIVERIES),
        )
    namespace.add_topic(
        TOPIC,
        {
            subscription: EntityOptions(
                lock_seconds=lock_seconds,
                max_deliveries=max_deliveries,
                sessions=subscription in SESSION_SUBSCRIPTIONS,
                ttl_seconds=MESSAGE_TTL_SECONDS,
                forward_dead_letters_to=dead_letter_queue(subscription),
                rule=rule(subscription),
            )
            for subscription in SUBSCRIPTIONS
        },
        DUPLICATE_WINDOW_SECONDS,
    )
