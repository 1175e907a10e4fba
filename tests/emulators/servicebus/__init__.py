"""A test broker for Service Bus: AMQP 1.0 with claims-based security, peek-lock, sessions and dead letters."""

from tests.emulators.servicebus.broker import KEY, KEY_NAME, ServiceBusBroker
from tests.emulators.servicebus.entities import EntityOptions, Namespace

__all__ = ["KEY", "KEY_NAME", "EntityOptions", "Namespace", "ServiceBusBroker"]
