"""The light decoding of trigger messages gives what the SDK gives, only later."""

from __future__ import annotations

import inspect

import azure.functions as func
import pytest
from azure.functions import servicebus
from azure.functions.meta import Datum

from events import trigger

METADATA = {
    "MessageId": Datum("m1", "string"),
    "DeliveryCount": Datum("3", "json"),
    "SequenceNumber": Datum("42", "json"),
    "EnqueuedTimeUtc": Datum('"2026-11-20T12:00:00.5Z"', "json"),
    "LockToken": Datum("token", "string"),
    "SessionId": Datum("tenant", "string"),
    "ApplicationProperties": Datum('{"onlyFor": "signals"}', "json"),
    "UserProperties": Datum("{}", "json"),
}


@pytest.fixture(autouse=True)
def light() -> None:
    trigger.decode_lightly()


def decode(data: Datum) -> func.ServiceBusMessage:
    converter = func.get_binding_registry().get("serviceBusTrigger")
    message: func.ServiceBusMessage = converter.decode(data, trigger_metadata=METADATA)
    return message


def test_a_binary_message_is_decoded_lightly_and_every_property_is_what_the_sdk_says() -> None:
    data = Datum(b"\x00body", "bytes")
    light, stock = decode(data), trigger._decode_whole(data, trigger_metadata=METADATA)

    assert isinstance(light, trigger.LightMessage)
    assert light.get_body() == stock.get_body()
    names = [name for name, _ in inspect.getmembers(func.ServiceBusMessage, lambda v: isinstance(v, property))]
    assert len(names) > 20
    for name in names:
        assert getattr(light, name) == getattr(stock, name), name


def test_a_text_message_is_left_to_the_sdk() -> None:
    assert isinstance(decode(Datum("text", "string")), servicebus.ServiceBusMessage)
    assert decode(Datum("text", "string")).get_body() == b"text"


def test_the_app_decodes_lightly() -> None:
    import function_app

    assert function_app.app is not None
    assert isinstance(decode(Datum(b"body", "bytes")), trigger.LightMessage)
