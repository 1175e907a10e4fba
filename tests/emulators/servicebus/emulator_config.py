"""The configuration file of Microsoft's Service Bus emulator, written from the layout.

    python -m tests.emulators.servicebus.emulator_config > tests/emulators/servicebus/emulator.json

Where the emulator allows less than the service (messages live an hour, duplicates are remembered for five minutes,
ten deliveries), its limit stands.
"""

from __future__ import annotations

import json
from typing import Any

from shared.adapters.bus.port import TOPIC
from shared.adapters.bus.servicebus_layout import DEAD_LETTER_QUEUE_SETTINGS, SUBSCRIPTION_SETTINGS, TOPIC_SETTINGS

LONGEST_LIFE, LONGEST_WINDOW, MOST_DELIVERIES = "PT1H", "PT5M", 10


def emulator_config() -> dict[str, Any]:
    """Return the whole configuration file."""
    queues = [
        {
            "Name": name,
            "Properties": {
                "DeadLetteringOnMessageExpiration": wanted["deadLetteringOnMessageExpiration"],
                "DefaultMessageTimeToLive": LONGEST_LIFE,
                "DuplicateDetectionHistoryTimeWindow": LONGEST_WINDOW,
                "ForwardDeadLetteredMessagesTo": "",
                "ForwardTo": "",
                "LockDuration": wanted["lockDuration"],
                "MaxDeliveryCount": MOST_DELIVERIES,
                "RequiresDuplicateDetection": wanted["requiresDuplicateDetection"],
                "RequiresSession": wanted["requiresSession"],
            },
        }
        for name, wanted in DEAD_LETTER_QUEUE_SETTINGS.items()
    ]
    subscriptions = [
        {
            "Name": name,
            "Properties": {
                "DeadLetteringOnMessageExpiration": wanted["deadLetteringOnMessageExpiration"],
                "DefaultMessageTimeToLive": LONGEST_LIFE,
                "LockDuration": wanted["lockDuration"],
                "MaxDeliveryCount": min(MOST_DELIVERIES, wanted["maxDeliveryCount"]),
                "ForwardDeadLetteredMessagesTo": wanted["forwardDeadLetteredMessagesTo"],
                "ForwardTo": "",
                "RequiresSession": wanted["requiresSession"],
            },
            "Rules": [
                {
                    "Name": wanted["rule"]["name"],
                    "Properties": {
                        "FilterType": "Sql",
                        "SqlFilter": {"SqlExpression": wanted["rule"]["sqlExpression"]},
                    },
                }
            ],
        }
        for name, wanted in SUBSCRIPTION_SETTINGS.items()
    ]
    topic = {
        "Name": TOPIC,
        "Properties": {
            "DefaultMessageTimeToLive": LONGEST_LIFE,
            "DuplicateDetectionHistoryTimeWindow": LONGEST_WINDOW,
            "RequiresDuplicateDetection": TOPIC_SETTINGS["requiresDuplicateDetection"],
        },
        "Subscriptions": subscriptions,
    }
    namespace = {"Name": "sbemulatorns", "Queues": queues, "Topics": [topic]}
    return {"UserConfig": {"Namespaces": [namespace], "Logging": {"Type": "Console"}}}


def as_text() -> str:
    return json.dumps(emulator_config(), indent=2) + "\n"


if __name__ == "__main__":
    print(as_text(), end="")
