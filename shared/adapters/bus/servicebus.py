"""The bus port on Azure Service Bus, through the asynchronous SDK.

What this module does because of how the SDK behaves, each proven by a test in `tests/emulators/`:

- A sender takes half a second to open and has its own connection, so there is one for the topic, opened by `ready`.
- Concurrent sends on one sender delay each other by polling. Here one writer at a time sends all waiting messages as
  one AMQP batch. A message larger than a batch is sent alone.
- The service closes links that are idle for ten minutes; the SDK notices at the next send. A failed send is repeated
  once on a new link within the caller's budget; the message id makes that harmless.
- A send that exceeds its budget leaves the link in an unknown state, so the link is closed.
- The SDK counts deliveries from zero, the port from one.
- Settling each message alone costs more CPU than the rest of the roll-up, and waits for the service each time.
  Consecutive messages of a session are settled as ranges, one AMQP frame each, as the library under the official
  JavaScript SDK does (`write_dispositions` in github.com/amqp/rhea). The receiver waits for the outcome of every
  message. If one is missing, messages are settled one by one for ten minutes.
- After a failure the SDK reopens the link of a session, and can get the session back after another owner had it. Here a
  session that failed once is lost for good.
- `servicebus_answers.py` classifies the service's answers. For a foreign frame the SDK raises many errors; all become
  `BusUnavailable`.
- All connections share one TLS context: each would load the certificate authorities again, 50 ms of CPU on the loop.
- Closing a link waits for a loop that sleeps for a second at a time. The link is detached at once, the rest ends in the
  background.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import certifi
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus._common.constants import (
    MGMT_REQUEST_FROM_SEQUENCE_NUMBER,
    MGMT_REQUEST_MAX_MESSAGE_COUNT,
    REQUEST_RESPONSE_PEEK_OPERATION,
)
from azure.servicebus._pyamqp._decode import decode_payload
from azure.servicebus._pyamqp.error import ErrorCondition, MessageSettlementUnconfirmed
from azure.servicebus._pyamqp.outcomes import Accepted
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.amqp import AmqpMessageBodyType
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageSizeExceededError,
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from shared.adapters.answers import Kind
from shared.adapters.azure_credential import azure_credential
from shared.adapters.bus.coalescing import RETRY_AFTER_SECONDS
from shared.adapters.bus.port import (
    MAX_REASON_LENGTH,
    SESSION_SUBSCRIPTIONS,
    TOPIC,
    BusError,
    BusRefused,
    BusUnavailable,
    DeadLetter,
    LockLost,
    OutgoingMessage,
    ReceivedMessage,
    check_message,
    check_subscription,
)
from shared.adapters.bus.reconnecting_sender import BUSY_SECONDS, ConnectionBusy, ReconnectingSender
from shared.adapters.bus.servicebus_answers import SERVER_BUSY, TOO_LARGE, kind_of
from shared.adapters.bus.servicebus_layout import (
    DEAD_LETTER_DESCRIPTION,
    DEAD_LETTER_REASON,
    ONLY_FOR,
    ORIGINAL_ID,
    dead_letter_queue,
)
from shared.adapters.bus.servicebus_ranges import Ranges, in_ranges
from shared.settings import Settings

log = logging.getLogger("feed.adapters")
T = TypeVar("T")
PEEK_LIMIT = 1_000
NOTHING_TO_PEEK = 204
OVERHEAD_BYTES = 512
"""Estimated bytes that ids and properties add to a message's body in a batch."""
LET_GO_SECONDS = 0.1
OUTCOME_SHARE = 0.8
"""Share of `CALL_SECONDS` to wait for the outcomes of a range, so that a missing one is noticed before the time-out."""
CALL_SECONDS = 10.0
"""Longest wait for one answer of the service, unless the caller sets it."""


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A message to send, its id on the wire and its application properties."""

    message: OutgoingMessage
    wire_id: str
    properties: dict[str | bytes, Any] = field(default_factory=dict)

    def encode(self) -> ServiceBusMessage:
        return ServiceBusMessage(
            self.message.body,
            message_id=self.wire_id,
            session_id=self.message.session_id or None,
            application_properties=dict(self.properties) or None,
        )


class ServiceBusBus:
    """The bus port. Connects at the first use or at `ready`, whichever comes first.

    Needs either `connection_string` (an emulator) or `namespace` with `credential`, a function that makes a token
    credential (production)."""

    def __init__(
        self,
        *,
        connection_string: str | None = None,
        namespace: str | None = None,
        credential: Callable[[], Any] | None = None,
        publish_budget_seconds: float = 2.0,
        call_seconds: float = CALL_SECONDS,
        max_batch: int = 200,
        busy_seconds: float = BUSY_SECONDS,
        settle_ranges: bool = True,
    ) -> None:
        if (connection_string is None) == (namespace is None):
            raise ValueError("give either a connection string or a namespace")
        if namespace is not None and credential is None:
            raise ValueError("a namespace needs a credential")
        self._connection_string, self._namespace, self._make_credential = connection_string, namespace, credential
        self._budget, self._patience, self._max_batch = publish_budget_seconds, call_seconds, max_batch
        self._busy_seconds = busy_seconds
        self._options: dict[str, Any] = {"retry_total": 0}
        self._client: ServiceBusClient | None = None
        self._credential: Any = None
        self._senders: dict[str, ReconnectingSender[_Outgoing]] = {}
        self._receivers: set[ServiceBusBusReceiver] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._ranges = Ranges(allowed=settle_ranges)

    @classmethod
    def from_settings(cls, settings: Settings) -> ServiceBusBus:
        """Build from the settings; nothing connects yet."""
        return cls(
            connection_string=settings.servicebus_connection_string or None,
            namespace=settings.servicebus_namespace or None,
            credential=azure_credential,
            publish_budget_seconds=settings.publish_budget_ms / 1000,
        )

    # Sending

    async def publish(self, message: OutgoingMessage) -> None:
        check_message(message)
        if message.to is not None:
            check_subscription(message.to)
        properties: dict[str | bytes, Any] = {ONLY_FOR: message.to} if message.to else {}
        await self._submit(TOPIC, _Outgoing(message, message.message_id, properties))

    async def resend(self, subscription: str, message: OutgoingMessage) -> None:
        check_subscription(subscription)
        check_message(message, subscription)
        properties: dict[str | bytes, Any] = {ONLY_FOR: subscription, ORIGINAL_ID: message.message_id}
        await self._submit(TOPIC, _Outgoing(message, uuid.uuid4().hex, properties))

    async def dead_letter(
        self, subscription: str, message: OutgoingMessage, reason: str, description: str = ""
    ) -> None:
        check_subscription(subscription)
        check_message(message, subscription)
        texts = {
            DEAD_LETTER_REASON: reason[:MAX_REASON_LENGTH],
            DEAD_LETTER_DESCRIPTION: description[:MAX_REASON_LENGTH],
        }
        outgoing = _Outgoing(message, message.message_id, {name: text for name, text in texts.items() if text})
        await self._submit(dead_letter_queue(subscription), outgoing)

    async def _submit(self, path: str, outgoing: _Outgoing) -> None:
        await self._sender(path).submit(outgoing, len(outgoing.message.body) + OVERHEAD_BYTES)

    # Receiving

    async def receiver(self, subscription: str, *, dead_letters: bool = False) -> ServiceBusBusReceiver:
        check_subscription(subscription)
        if dead_letters:
            receiver = self._open_client().get_queue_receiver(dead_letter_queue(subscription))
        elif subscription in SESSION_SUBSCRIPTIONS:
            raise ValueError(f"the subscription {subscription} has sessions: ask for its next_session")
        else:
            receiver = self._open_client().get_subscription_receiver(TOPIC, subscription)
        try:
            return await self._opened(receiver)
        except (_NothingCame, LockLost):
            raise BusUnavailable("Service Bus did not open a receiver", RETRY_AFTER_SECONDS) from None

    async def next_session(self, subscription: str, wait_seconds: float) -> ServiceBusBusReceiver | None:
        check_subscription(subscription)
        if subscription not in SESSION_SUBSCRIPTIONS:
            raise ValueError(f"the subscription {subscription} has no sessions: ask for a receiver")
        receiver = self._open_client().get_subscription_receiver(
            TOPIC, subscription, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=max(wait_seconds, 0.01)
        )
        try:
            return await self._opened(receiver, wait_seconds)
        except _NothingCame:
            return None
        except LockLost:
            raise BusUnavailable("Service Bus did not give a session", RETRY_AFTER_SECONDS) from None

    async def peek_dead_letters(self, subscription: str, limit: int, after: int = 0) -> list[DeadLetter]:
        check_subscription(subscription)
        receiver = await self.receiver(subscription, dead_letters=True)
        try:
            found: list[DeadLetter] = []
            while len(found) < limit:
                page = await receiver.peek(limit - len(found), after + 1)
                if not page:
                    break
                found += page
                after = found[-1].message.sequence_number
            return found
        except LockLost:
            raise BusUnavailable("Service Bus did not show its dead letters", RETRY_AFTER_SECONDS) from None
        finally:
            await receiver.close()

    async def depth(self, subscription: str) -> tuple[int, int]:
        """See the port. Counts one page of a peek each, so numbers stop at `PEEK_LIMIT`."""
        check_subscription(subscription)
        waiting = await self._peek(TOPIC, subscription)
        return len(waiting), len(await self._peek(dead_letter_queue(subscription)))

    async def oldest(self, subscription: str) -> float | None:
        """See the port. A peek returns the messages of all sessions by sequence number."""
        check_subscription(subscription)
        found = await self._peek(TOPIC, subscription, limit=1)
        if not found:
            return None
        annotations = decode_payload(memoryview(found[0][b"message"])).message_annotations or {}
        enqueued_ms = annotations.get(b"x-opt-enqueued-time")
        return enqueued_ms / 1000 if isinstance(enqueued_ms, int | float) else 0.0

    async def _peek(self, path: str, subscription: str | None = None, limit: int = PEEK_LIMIT) -> list[Any]:
        """Return the messages of one peek, encoded.

        The SDK's public peek needs a link, which only the owner of a session can open, and its administration client
        needs the right to manage the namespace. The service requires neither, so this uses the SDK's internal handler
        for requests without a link, with which the SDK lists sessions.
        """
        client: Any = self._open_client()
        handler = client._create_session_browser(path, subscription)
        request = {
            MGMT_REQUEST_FROM_SEQUENCE_NUMBER: handler._amqp_transport.AMQP_LONG_VALUE(1),
            MGMT_REQUEST_MAX_MESSAGE_COUNT: limit,
        }

        def messages(status: int, message: Any, description: str, **_: Any) -> list[Any]:
            if status == NOTHING_TO_PEEK:
                return []
            if status != 200:  # must not look like an empty queue
                raise BusUnavailable(f"Service Bus did not tell its depth: status {status}", RETRY_AFTER_SECONDS)
            return list(message.value[b"messages"])

        try:
            return await _answered(
                handler._mgmt_request_response_with_retry(
                    REQUEST_RESPONSE_PEEK_OPERATION,
                    request,
                    messages,
                    keep_alive_associated_link=False,
                    timeout=self._patience,
                ),
                self._patience,
            )
        except (_NothingCame, LockLost):
            raise BusUnavailable("Service Bus did not tell its depth") from None
        finally:
            await self._letting_go(handler.close())

    # Life

    async def ready(self) -> None:
        await self._sender(TOPIC).open(self._patience)

    async def close(self) -> None:
        open_parts: list[ReconnectingSender[_Outgoing] | ServiceBusBusReceiver] = [
            *self._senders.values(),
            *self._receivers,
        ]
        self._senders.clear()
        await asyncio.gather(*(part.close() for part in open_parts))
        if closing := list(self._closing):
            _, sleeping = await asyncio.wait(closing, timeout=LET_GO_SECONDS)
            for task in sleeping:
                task.cancel()
            await asyncio.gather(*sleeping, return_exceptions=True)
        client, self._client = self._client, None
        credential, self._credential = self._credential, None
        if client is not None:
            await _quietly(client.close())
        if credential is not None:
            await credential.close()

    async def let_go(self, receiver: ServiceBusBusReceiver, closing: Awaitable[None]) -> None:
        """Close a receiver."""
        self._receivers.discard(receiver)
        await self._letting_go(closing)

    async def _letting_go(self, closing: Awaitable[None]) -> None:
        """Wait until the service knows of a close; the rest of it goes on in the background."""
        task = asyncio.create_task(_quietly(closing))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        await asyncio.wait({task}, timeout=LET_GO_SECONDS)

    def _open_client(self) -> ServiceBusClient:
        if self._client is None:
            self._options["ssl_context"] = ssl.create_default_context(cafile=certifi.where())
            if self._connection_string is not None:
                self._client = ServiceBusClient.from_connection_string(self._connection_string, **self._options)
            else:
                assert self._make_credential is not None
                self._credential = self._make_credential()
                self._client = ServiceBusClient(self._namespace or "", self._credential, **self._options)
        return self._client

    def _sender(self, path: str) -> ReconnectingSender[_Outgoing]:
        async def open_connection(seconds: float) -> _SenderConnection:
            client = self._open_client()
            sender = client.get_topic_sender(path) if path == TOPIC else client.get_queue_sender(path)
            connection = _SenderConnection(sender, self._letting_go)
            await connection.open(seconds)
            return connection

        found = self._senders.get(path)
        if found is None:
            found = self._senders[path] = ReconnectingSender(
                open_connection, self._budget, self._max_batch, self._busy_seconds
            )
        return found

    async def _opened(self, receiver: ServiceBusReceiver, wait_seconds: float = 0.0) -> ServiceBusBusReceiver:
        try:
            await _answered(receiver.__aenter__(), self._patience + wait_seconds)
        except BaseException:
            await self._letting_go(receiver.close())
            raise
        ours = ServiceBusBusReceiver(receiver, self.let_go, self._patience, self._ranges)
        self._receivers.add(ours)
        return ours


class _SenderConnection:
    """A connection of the SDK's sender."""

    def __init__(self, sender: ServiceBusSender, letting_go: Callable[[Awaitable[None]], Awaitable[None]]) -> None:
        self._sender = sender
        self._letting_go = letting_go

    async def open(self, seconds: float) -> None:
        try:
            await _confirmed(self._sender.__aenter__(), seconds)
        except BaseException:
            await self.close()
            raise

    async def send(self, outgoing: list[_Outgoing], seconds: float) -> int:
        return await _confirmed(_send_batch(self._sender, outgoing), seconds, of_message=True)

    async def close(self) -> None:
        await self._letting_go(self._sender.close())


async def _send_batch(sender: ServiceBusSender, outgoing: list[_Outgoing]) -> int:
    if len(outgoing) == 1:
        await sender.send_messages(outgoing[0].encode())
        return 1
    batch = await sender.create_message_batch()
    count = 0
    for each in outgoing:
        try:
            batch.add_message(each.encode())
        except MessageSizeExceededError:
            break
        count += 1
    if count > 1:
        await sender.send_messages(batch)
        return count
    await sender.send_messages(outgoing[0].encode())
    return 1


class ServiceBusBusReceiver:
    """`Receiver` of a subscription, of one of its sessions, or of its dead letters."""

    def __init__(
        self,
        receiver: ServiceBusReceiver,
        let_go: Callable[[ServiceBusBusReceiver, Awaitable[None]], Awaitable[None]],
        call_seconds: float,
        ranges: Ranges,
    ) -> None:
        self._receiver = receiver
        self._ranges = ranges
        self._let_go = let_go
        self._patience = call_seconds
        self._held: dict[int, ServiceBusReceivedMessage] = {}
        self._session_lost = False
        self.session_id: str | None = receiver.session.session_id if receiver.session else None

    async def receive(self, max_messages: int, wait_seconds: float) -> list[ReceivedMessage]:
        """See the port. With `wait_seconds` 0 the SDK still waits a moment."""
        wait = max(wait_seconds, 0.01)
        found = await self._do(
            lambda: self._receiver.receive_messages(max_messages, max_wait_time=wait), self._patience + wait
        )
        self._held.update((int(message.sequence_number or 0), message) for message in found)
        return [_received(message) for message in found]

    async def complete(self, messages: Sequence[ReceivedMessage]) -> None:
        in_session = self._receiver.session is not None and self._ranges.may_be_used()
        ranges = in_ranges(messages, lambda each: each.handle._delivery_id if in_session else None)
        lost = 0
        for range in ranges:
            try:
                if len(range) > 1:
                    await self._complete_range(range)
                else:
                    await self._settle(range[0], self._receiver.complete_message)
            except LockLost:
                lost += len(range)
        if lost:
            raise LockLost(f"up to {lost} of {len(messages)} messages were no longer held: they come again")

    async def _complete_range(self, messages: Sequence[ReceivedMessage]) -> None:
        """Settle consecutive messages by one frame, and wait until the service has confirmed each."""
        first, last = messages[0].handle, messages[-1].handle
        receiver: Any = self._receiver

        async def settle(**_: Any) -> None:
            receiver._check_live()
            link = receiver._handler._link
            try:
                await link.send_disposition(
                    first_delivery_id=first._delivery_id,
                    last_delivery_id=last._delivery_id,
                    delivery_tag=first._delivery_tag,
                    delivery_state=Accepted(),
                    batchable=True,
                    await_outcome=True,
                    outcome_timeout=self._patience * OUTCOME_SHARE,
                )
            except MessageSettlementUnconfirmed as error:
                if error.condition != ErrorCondition.ClientError:
                    raise error.__cause__ or error from None  # the reason why the link closed
                self._ranges.was_not_confirmed()
                log.warning("Service Bus did not confirm a range of messages; they are settled one by one for a while")
                raise
            for message in messages:
                message.handle._settled = True
                link._received_delivery_tags.discard(message.handle._delivery_tag)

        for message in messages:
            self._held.pop(message.sequence_number, None)
        await self._do(lambda: receiver._do_retryable_operation(settle, timeout=None), of_message=True)

    async def abandon(self, message: ReceivedMessage) -> None:
        await self._settle(message, self._receiver.abandon_message)

    async def dead_letter(self, message: ReceivedMessage, reason: str, description: str = "") -> None:
        settle = partial(
            self._receiver.dead_letter_message,
            reason=reason[:MAX_REASON_LENGTH],
            error_description=description[:MAX_REASON_LENGTH],
        )
        await self._settle(message, settle)

    async def renew(self, message: ReceivedMessage | None = None) -> None:
        """See the port. A session has one lock for all its messages."""
        session = self._receiver.session
        if session is not None:
            await self._do(lambda: session.renew_lock())
        elif message is None:
            raise ValueError("without a session only the lock of a message can be renewed: name one")
        else:
            await self._do(lambda: self._receiver.renew_message_lock(message.handle))

    async def peek(self, limit: int, from_sequence_number: int) -> list[DeadLetter]:
        """Return messages with their dead-letter reasons, without locking them."""
        found = await self._do(
            lambda: self._receiver.peek_messages(max_message_count=limit, sequence_number=from_sequence_number)
        )
        return [
            DeadLetter(_received(m), _reason(m, DEAD_LETTER_REASON), _reason(m, DEAD_LETTER_DESCRIPTION)) for m in found
        ]

    async def close(self) -> None:
        """See the port. A session is free at once. Outside of sessions, held messages are released, which counts as a
        failed delivery."""
        held, self._held = self._held, {}
        if self._receiver.session is None:
            for message in held.values():
                with contextlib.suppress(LockLost, BusUnavailable, _NothingCame):
                    await _answered(self._receiver.abandon_message(message), self._patience)
        await self._let_go(self, self._receiver.close())

    async def _settle(self, message: ReceivedMessage, settle: Callable[[Any], Awaitable[None]]) -> None:
        self._held.pop(message.sequence_number, None)
        await self._do(lambda: settle(message.handle), of_message=True)

    async def _do(
        self, call: Callable[[], Awaitable[T]], seconds: float | None = None, *, of_message: bool = False
    ) -> T:
        if self._session_lost:
            raise LockLost("the session is lost")
        try:
            return await _answered(call(), seconds or self._patience, of_message=of_message)
        except _NothingCame:
            self._session_lost = self.session_id is not None
            raise BusUnavailable("Service Bus did not answer in time", RETRY_AFTER_SECONDS) from None
        except (BusUnavailable, _LinkGone):
            self._session_lost = self.session_id is not None
            raise


class _NothingCame(Exception):
    """The operation's own wait ended without a result."""


class _LinkGone(LockLost):
    """The link closed, so every lock taken through it is lost."""


async def _answered(call: Awaitable[T], seconds: float, *, of_message: bool = False) -> T:
    """Return the call's result. Raises every failure of the SDK as an error of the port. Only a call about a message
    (`of_message`) can raise `BusRefused`."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            return await call
    except (OperationTimeoutError, TimeoutError):
        raise _NothingCame from None
    except (SessionLockLostError, SessionCannotBeLockedError) as error:
        raise _LinkGone(f"the session is lost ({type(error).__name__})") from None
    except (MessageLockLostError, MessageAlreadySettled) as error:
        raise LockLost(f"the lock is lost ({type(error).__name__})") from None
    except ServiceBusError as error:
        if isinstance(error.inner_exception, ValueError):  # the link was closed while it was in use
            raise _LinkGone("the link the message came through is gone") from None
        raise _failure(str(error._condition or ""), type(error).__name__, of_message) from None
    except ValueError as error:  # the SDK raises it for a receiver whose connection was replaced
        if "shutdown" in str(error):
            raise _LinkGone("the link the message came through is gone") from None
        raise BusUnavailable("Service Bus gave an answer that is none (ValueError)", RETRY_AFTER_SECONDS) from None
    except Exception as error:  # for a broken connection or a foreign frame the SDK raises many errors
        raise BusUnavailable(f"Service Bus cannot be reached ({type(error).__name__})", RETRY_AFTER_SECONDS) from None


def _failure(condition: str, name: str, of_message: bool) -> BusError:
    """Return the port's error for an error condition of the service. `name`: the SDK's name of it."""
    if condition == SERVER_BUSY:
        return ConnectionBusy("Service Bus is busy")
    kind = kind_of(condition)
    if kind is Kind.REFUSAL and of_message:
        return BusRefused(f"Service Bus refused the message ({condition})", too_large=condition == TOO_LARGE)
    if kind is Kind.CONFLICT and of_message:
        return LockLost(f"the lock is lost ({condition})")
    return BusUnavailable(f"Service Bus failed ({condition or name})", RETRY_AFTER_SECONDS)


async def _confirmed(call: Awaitable[T], seconds: float, *, of_message: bool = False) -> T:
    """Return the result of a sender's call. A sender holds no locks, so every failure means `BusUnavailable` or a
    refusal."""
    try:
        return await _answered(call, seconds, of_message=of_message)
    except (_NothingCame, LockLost) as error:
        raise BusUnavailable("Service Bus did not confirm in time", RETRY_AFTER_SECONDS) from error


async def _quietly(closing: Awaitable[None]) -> None:
    """Close a link that can be broken already. Ends within seconds and never raises."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(3.0):
            await closing


def _received(message: ServiceBusReceivedMessage) -> ReceivedMessage:
    """Convert a message to the port's form. Accepts messages of other programs."""
    properties = message.application_properties or {}
    return ReceivedMessage(
        message_id=_text(properties.get(ORIGINAL_ID.encode()) or message.message_id),
        session_id=_text(message.session_id),
        body=_body_of(message),
        sequence_number=int(message.sequence_number or 0),
        delivery_count=int(message.delivery_count or 0) + 1,
        enqueued_at=_enqueued_at(message),
        handle=message,
    )


def _reason(message: ServiceBusReceivedMessage, name: str) -> str:
    """Return a dead-letter property as text. The SDK's own reader fails for a value that is no text."""
    return _text((message.application_properties or {}).get(name.encode()))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _enqueued_at(message: ServiceBusReceivedMessage) -> float:
    try:
        enqueued = message.enqueued_time_utc
    except (ValueError, OverflowError, TypeError):
        return 0.0
    return enqueued.timestamp() if enqueued else 0.0


def _body_of(message: ServiceBusReceivedMessage) -> bytes:
    """Return the bytes of a message. Empty for a value, a sequence or no body, which only other programs send."""
    try:
        return b"".join(message.body) if message.body_type is AmqpMessageBodyType.DATA else b""
    except (TypeError, ValueError):
        return b""
