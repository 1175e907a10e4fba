"""Implements AMQP: connections, links, transfers, settlements, faults. The thread is in `reactor_thread.py`.

Fault labels are `send <path>`, `settle <path>`, `open <path>`, `token <path>` or `manage <path> <operation>`, paths in
lower case. For a management request, `status` with `condition` is the response.
"""

from __future__ import annotations

import time
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proton import Condition, Delivery, Endpoint, Message, symbol

from tests.emulators.clock import MovableClock
from tests.emulators.faults import AFTER, BEFORE, NO_FAULT, Fault, FaultPlan
from tests.emulators.servicebus import management, wire
from tests.emulators.servicebus.entities import (
    ABANDONED,
    COMPLETED,
    DEAD_LETTERED,
    RELEASED,
    LockGone,
    Namespace,
    Queue,
)
from tests.emulators.servicebus.reactor_thread import ReactorThread

KEY_NAME, KEY = "RootManageSharedAccessKey", "SAS_KEY_VALUE"
CREDIT = 1000
MAX_MESSAGE_BYTES = 1024 * 1024
TICKS_AT_EPOCH = 621_355_968_000_000_000
_LOCK_LOST = "com.microsoft:message-lock-lost"


@dataclass(eq=False, slots=True)
class Attached:
    """A link: its purpose, and its entity."""

    link: Any
    kind: str  # "send", "receive", "token", "manage"
    path: str
    queue: Queue | None = None
    session_id: str | None = None


@dataclass(eq=False, slots=True)
class WaitingForSession:
    attached: Attached
    wanted: str | None
    until: float


class ServiceBusBroker(ReactorThread):
    """Start and stop with `with`. Use `namespace` only through `call`, which runs on the broker's thread."""

    def __init__(self, namespace: Callable[[Namespace], None], clock: MovableClock | None = None, port: int = 0):
        super().__init__(port)
        self.clock = clock or MovableClock()
        self.faults = FaultPlan(self.clock)
        self.namespace = Namespace(self.clock.now)
        self.namespace.changed = self._deliver
        namespace(self.namespace)
        self._links: dict[Any, Attached] = {}
        self._waiting: list[WaitingForSession] = []
        self._authorized: dict[Any, set[str]] = {}
        self._refusing = False

    @property
    def connection_string(self) -> str:
        return (
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName={KEY_NAME};SharedAccessKey={KEY};"
            "UseDevelopmentEmulator=true;"
        )

    # From other threads

    def refuse(self) -> None:
        """Stop listening and drop every connection, until `accept`."""
        self._refusing = True
        self.call(self._follow_faults)

    def accept(self) -> None:
        self._refusing = False
        self.call(self._follow_faults)

    # Timed work

    def on_tick(self) -> None:
        self.tick()

    def tick(self) -> None:
        """Apply what is due: ended faults, expired locks and messages, released sessions."""
        self._follow_faults()
        for queue in list(self.namespace.queues.values()):
            for owner in queue.tick():
                self._lose_session(owner)
        self._grant_sessions()

    def _follow_faults(self) -> None:
        """While down, stop listening and close every connection."""
        self.listen(not (self.faults.is_down or self._refusing or self.stopping))

    def forget_connection(self, connection: Any) -> None:
        self._forget(lambda attached: attached.link.connection == connection)
        self._authorized.pop(connection, None)

    # Connections and links

    def on_connection_remote_open(self, event: Any) -> None:
        event.connection.container = "test-broker"
        event.connection.open()
        self.connections.add(event.connection)

    def on_session_remote_open(self, event: Any) -> None:
        event.session.open()

    def on_session_remote_close(self, event: Any) -> None:
        event.session.close()

    def on_connection_remote_close(self, event: Any) -> None:
        self._forget(lambda attached: attached.link.connection == event.connection)
        event.connection.close()

    def on_transport_tail_closed(self, event: Any) -> None:
        if event.connection is not None:
            self.connections.discard(event.connection)
            self._authorized.pop(event.connection, None)
            self._forget(lambda attached: attached.link.connection == event.connection)

    def on_link_remote_close(self, event: Any) -> None:
        self._forget(lambda attached: attached.link == event.link)
        event.link.close()

    on_link_remote_detach = on_link_remote_close

    def on_link_remote_open(self, event: Any) -> None:
        link = event.link
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        address = (link.remote_target.address if link.is_receiver else link.remote_source.address) or ""
        path = urllib.parse.urlparse(address).path if "://" in address else address
        path = path.strip("/").lower()
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        fault = self.faults.take(f"open {path}")
        if fault.cut:
            self.cut(link.connection)
            return
        if fault.condition or fault.detach:
            self._refuse(link, fault.condition or fault.detach, "injected")
            return
        if self._breaks(link, fault):
            return
        self._after(fault, lambda: self._attach(link, path))

    def _attach(self, link: Any, path: str) -> None:
        node = path.removesuffix("/$management")
        if path == "$cbs" or node != path:
            if path != "$cbs" and node not in self.namespace.queues and node not in self.namespace.topics:
                self._refuse_unknown(link, path)
                return
            attached = Attached(link, "token" if path == "$cbs" else "manage", path, self.namespace.queues.get(node))
        elif not any(path.startswith(allowed) for allowed in self._authorized.get(link.connection, ())):
            self._refuse(link, "amqp:unauthorized-access", "Unauthorized access. 'Send,Listen' claims are required.")
            return
        elif link.is_receiver:
            if path not in self.namespace.queues and path not in self.namespace.topics:
                self._refuse_unknown(link, path)
                return
            link.max_message_size = MAX_MESSAGE_BYTES
            attached = Attached(link, "send", path)
        else:
            queue = self.namespace.queues.get(path)
            if queue is None:
                self._refuse_unknown(link, path)
                return
            attached = Attached(link, "receive", path, queue)
            if queue.options.sessions:
                self._want_session(attached)
                return
        self._links[link] = attached
        link.open()
        if link.is_receiver:
            link.flow(CREDIT)
        elif attached.queue is not None:
            self._deliver(attached.queue)

    def _want_session(self, attached: Attached) -> None:
        link = attached.link
        filters = _filters(link)
        if "com.microsoft:session-filter" not in filters:
            self._refuse(link, "amqp:not-allowed", "It is not possible to create a non-sessionful message receiver.")
            return
        timeout = {str(k): v for k, v in (link.remote_properties or {}).items()}.get("com.microsoft:timeout", 65_000)
        wanted = filters["com.microsoft:session-filter"]
        self._waiting.append(WaitingForSession(attached, wanted, self.clock.now() + float(timeout) / 1000))
        self._grant_sessions()

    def _grant_sessions(self) -> None:
        for waiting in list(self._waiting):
            attached, link, queue = waiting.attached, waiting.attached.link, waiting.attached.queue
            assert queue is not None
            if link.state & Endpoint.REMOTE_CLOSED or link.connection not in self.connections:
                self._waiting.remove(waiting)
                continue
            session_id = queue.own_session(attached, waiting.wanted)
            if session_id is None:
                if waiting.wanted is not None or self.clock.now() >= waiting.until:
                    self._waiting.remove(waiting)
                    condition = "session-cannot-be-locked" if waiting.wanted else "timeout"
                    self._refuse(link, f"com.microsoft:{condition}", "No session could be accepted.")
                continue
            self._waiting.remove(waiting)
            attached.session_id = session_id
            answered = link.source.filter
            answered.clear()
            answered.put_map()
            answered.enter()
            answered.put_symbol("com.microsoft:session-filter")
            answered.put_string(session_id)
            answered.exit()
            until = queue.sessions[session_id].locked_until
            link.properties = {symbol("com.microsoft:locked-until-utc"): int(until * 1e7) + TICKS_AT_EPOCH}
            self._links[link] = attached
            link.open()
            self._deliver(queue)

    def _lose_session(self, owner: Attached) -> None:
        if owner.link in self._links:
            del self._links[owner.link]
            owner.link.condition = Condition("com.microsoft:session-lock-lost", "The session lock has expired.")
            owner.link.close()

    def _refuse(self, link: Any, condition: str, text: str) -> None:
        link.source.type = link.target.type = 0
        link.open()
        link.condition = Condition(condition, text)
        link.close()

    def _refuse_unknown(self, link: Any, path: str) -> None:
        self._refuse(link, "amqp:not-found", f"The messaging entity '{path}' could not be found.")

    def _forget(self, which: Callable[[Attached], bool]) -> None:
        for attached in [a for a in self._links.values() if which(a)]:
            del self._links[attached.link]
            if attached.kind == "receive" and attached.queue is not None:
                attached.queue.release_owner(attached)

    # Transfers

    def on_link_flow(self, event: Any) -> None:
        attached = self._links.get(event.link)
        if attached is not None and attached.kind == "receive" and attached.queue is not None:
            self._deliver(attached.queue)
        if event.link.is_sender and event.link.drain_mode:
            event.link.drained()

    def on_delivery(self, event: Any) -> None:
        delivery, link = event.delivery, event.delivery.link
        attached = self._links.get(link)
        if attached is None:
            return
        if link.is_receiver:
            if delivery.readable and not delivery.partial:
                raw = link.recv(delivery.pending)
                link.advance()
                if attached.kind == "send":
                    self._sent(attached, delivery, raw)
                else:
                    self._asked(attached, delivery, raw)
                link.flow(1)
        elif delivery.updated:
            self._settled(attached, delivery)

    def _sent(self, attached: Attached, delivery: Any, raw: bytes) -> None:
        fault = self.faults.take(f"send {attached.path}")
        if fault.cut == BEFORE:
            self.cut(attached.link.connection)
            return
        if fault.condition:
            _finish(delivery, Delivery.REJECTED, fault.condition)
            return
        if self._breaks(attached.link, fault):
            return

        def accept() -> None:
            for message in wire.split_batch(raw):
                self.namespace.publish(attached.path, message)
            if fault.cut == AFTER:
                self.cut(attached.link.connection)
            else:
                _finish(delivery, Delivery.ACCEPTED)

        self._after(fault, accept)

    def _asked(self, attached: Attached, delivery: Any, raw: bytes) -> None:
        request = wire.decode(raw)
        _finish(delivery, Delivery.ACCEPTED)
        if attached.kind == "token":
            path = management.audience_of_token(request, KEY, time.time())
            fault = self.faults.take(f"token {path or ''}")
            if path is not None and fault is NO_FAULT:
                self._authorized.setdefault(attached.link.connection, set()).add(path)
            answer = management.token_answer(path is not None and fault is NO_FAULT)
        elif attached.queue is not None:
            fault = self.faults.take(f"manage {attached.path} {management.operation_of(request)}")
            if fault.cut:
                self.cut(attached.link.connection)
                return
            if self._breaks(attached.link, fault):
                return
            if fault.status or fault.condition:
                answer = management.refusal(fault.status or 500, fault.condition, "injected")
            else:
                answer = management.manage(attached.queue, request)
        else:
            return
        self._reply(attached, request, answer)

    def _reply(self, attached: Attached, request: Message, answer: Message) -> None:
        answer.correlation_id = request.id
        for other in self._links.values():
            if (
                other.link.is_sender
                and other.path == attached.path
                and other.link.connection == attached.link.connection
            ):
                delivery = other.link.delivery(uuid.uuid4().hex)
                other.link.send(answer.encode())
                delivery.settle()
                return

    def _deliver(self, queue: Queue) -> None:
        """Deliver waiting messages to receivers with credit, in turn."""
        receivers = [a for a in self._links.values() if a.queue is queue and a.kind == "receive"]
        idle = 0
        while receivers and idle < len(receivers):
            attached = receivers.pop(0)
            receivers.append(attached)
            stored = queue.take(attached, attached.session_id) if attached.link.credit > 0 else None
            if stored is None:
                idle += 1
                continue
            idle = 0
            assert stored.lock is not None
            delivery = attached.link.delivery(stored.lock.bytes_le)
            delivery.lock = stored.lock
            attached.link.send(management.encode(stored))
            attached.link.advance()

    def _settled(self, attached: Attached, delivery: Any) -> None:
        queue, state = attached.queue, delivery.remote_state
        if state == 0 or queue is None:
            return
        fault = self.faults.take(f"settle {attached.path}")
        if fault.cut == BEFORE:
            self.cut(attached.link.connection)
            return
        if self._breaks(attached.link, fault):
            return
        how, reason, description = _settlement(delivery)
        try:
            if fault.condition:
                raise LockGone
            queue.settle(delivery.lock, how, reason, description)
        except LockGone:
            _finish(delivery, Delivery.REJECTED, fault.condition or _LOCK_LOST)
            return
        if fault.cut == AFTER:
            self.cut(attached.link.connection)
        else:
            _finish(delivery, state)

    def _breaks(self, link: Any, fault: Fault) -> bool:
        """Close the link or the connection as the fault says, or stay silent; return whether it did."""
        if fault.detach:
            self._forget(lambda attached: attached.link == link)
            link.condition = Condition(fault.detach, "injected")
            link.close()
        elif fault.close:
            connection = link.connection
            self._forget(lambda attached: attached.link.connection == connection)
            connection.condition = Condition(fault.close, "injected")
            connection.close()
        return bool(fault.detach or fault.close or fault.stall)

    def _after(self, fault: Fault, do: Callable[[], None]) -> None:
        if fault.delay:
            self.later(fault.delay, do)
        else:
            do()


def _finish(delivery: Any, state: Any, condition: str = "") -> None:
    if condition:
        # The SDK expects all three fields of an error; proton leaves out an empty map.
        details = {symbol("tracking-id"): uuid.uuid4().hex}
        delivery.local.condition = Condition(condition, "the test broker refuses", details)
    if not delivery.settled:
        delivery.update(state)
    delivery.settle()


def _settlement(delivery: Any) -> tuple[str, str, str]:
    """Return the receiver's settlement of a message, with the reason of a dead letter."""
    state = delivery.remote_state
    if state == Delivery.ACCEPTED:
        return COMPLETED, "", ""
    if state == Delivery.REJECTED:
        condition = delivery.remote.condition
        given = {str(k): str(v) for k, v in ((condition.info if condition else None) or {}).items()}
        return DEAD_LETTERED, given.get("DeadLetterReason", ""), given.get("DeadLetterErrorDescription", "")
    if state == Delivery.MODIFIED and delivery.remote.failed:
        return ABANDONED, "", ""
    return RELEASED, "", ""


def _filters(link: Any) -> dict[str, Any]:
    data = link.remote_source.filter
    data.rewind()
    found = data.get_object() if data.next() else None
    return {str(k): getattr(v, "value", v) for k, v in found.items()} if isinstance(found, dict) else {}
