"""Light decoding of the messages the Service Bus trigger brings.

The SDK decodes every property of a message before the function runs, dates by trying up to 26 formats, on the event
loop: 0.2 ms a message, more than most folds wait for the store. The fold needs the body and the message id, for the
body carries every id, key and time. So those two are taken as they are, and anything else is decoded by the SDK when
somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import azure.functions as func
from azure.functions import servicebus
from azure.functions.meta import Datum

_CONVERTER = servicebus.ServiceBusMessageInConverter
_decode_whole = _CONVERTER.decode_single_message


def _deferred(name: str) -> property:
    return property(lambda self: getattr(self.whole, name))


class _Message(func.ServiceBusMessage):
    """A message whose metadata is decoded when asked for."""

    def __init__(self, data: Datum, metadata: Mapping[str, Datum]) -> None:
        self._data = data
        self._metadata = metadata
        self._whole: Any = None

    def get_body(self) -> bytes:
        body: bytes = self._data.value
        return body

    @property
    def message_id(self) -> str:
        return str(self._metadata["MessageId"].value)

    @property
    def whole(self) -> Any:
        """What the SDK makes of it."""
        if self._whole is None:
            self._whole = _decode_whole(self._data, trigger_metadata=self._metadata)
        return self._whole


_rest = [name for name in dir(func.ServiceBusMessage) if isinstance(getattr(func.ServiceBusMessage, name), property)]
LightMessage: Any = type("LightMessage", (_Message,), {name: _deferred(name) for name in _rest if name != "message_id"})


def _decode(cls: type, data: Datum, *, trigger_metadata: Mapping[str, Datum]) -> func.ServiceBusMessage:
    """A binary message with a plain id, lightly; anything else as the SDK does it."""
    id = trigger_metadata.get("MessageId")
    if data is None or data.type != "bytes" or id is None or id.type != "string":
        return _decode_whole(data, trigger_metadata=trigger_metadata)
    light: func.ServiceBusMessage = LightMessage(data, trigger_metadata)
    return light


def decode_lightly() -> None:
    """From now on single messages of this process are decoded lightly. Calling it twice does no harm."""
    _CONVERTER.decode_single_message = classmethod(_decode)  # type: ignore[method-assign, assignment]
