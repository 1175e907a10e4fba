"""compose.yaml starts the entities, ports and keys that the adapters expect."""

from __future__ import annotations

from pathlib import Path

from shared.adapters.bus.port import SUBSCRIPTIONS, TOPIC
from shared.adapters.bus.servicebus_layout import SUBSCRIPTION_SETTINGS, dead_letter_queue, rule
from tests.contracts import containers
from tests.emulators.servicebus.emulator_config import as_text, emulator_config

ROOT = Path(__file__).resolve().parents[2]


def test_emulator_configuration_is_generated_from_the_layout():
    written = (ROOT / "tests/emulators/servicebus/emulator.json").read_text()
    assert written == as_text(), "run: python -m tests.emulators.servicebus.emulator_config > …/emulator.json"


def test_emulator_has_every_entity_with_its_rule_and_dead_letter_queue():
    namespace = emulator_config()["UserConfig"]["Namespaces"][0]
    assert {queue["Name"] for queue in namespace["Queues"]} == {dead_letter_queue(s) for s in SUBSCRIPTIONS}
    [topic] = namespace["Topics"]
    assert topic["Name"] == TOPIC
    for subscription in topic["Subscriptions"]:
        name = subscription["Name"]
        assert subscription["Rules"][0]["Properties"]["SqlFilter"]["SqlExpression"] == rule(name)
        wanted = SUBSCRIPTION_SETTINGS[name]
        assert subscription["Properties"]["ForwardDeadLetteredMessagesTo"] == wanted["forwardDeadLetteredMessagesTo"]


def test_test_suites_use_the_ports_and_keys_of_compose():
    compose = (ROOT / "compose.yaml").read_text()
    for port in ("8081", "5672", "8483", "10000"):
        assert f"127.0.0.1:{port}:{port}" in compose
        connections = containers.COSMOS + containers.SERVICE_BUS + containers.APP_CONFIGURATION + containers.BLOB
        assert f"127.0.0.1:{port}" in connections
    secret = containers.APP_CONFIGURATION.split("Secret=")[1]
    assert f"Secret: {secret}" in compose
    assert f"AZURITE_ACCOUNTS: feed:{secret}" in compose
