"""Runs a proton reactor on its own thread: starts, stops, listens, ticks, and runs calls of other threads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from proton import Handler
from proton.reactor import ApplicationEvent, Container, EventInjector

TICK_SECONDS = 0.02
ANSWER_SECONDS = 30.0
T = TypeVar("T")


@dataclass(eq=False)
class _Later:
    """A task for the reactor's timer."""

    do: Callable[[], None]

    def on_timer_task(self, _: Any) -> None:
        self.do()


@dataclass
class _Call:
    do: Callable[[], Any]
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None


class ReactorThread(Handler):
    """Start and stop with `with`. Subclasses handle proton's events and say in `on_tick` what time brings.

    `connections` are the open ones; subclasses add to them.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self.port = port or _free_port()
        self.connections: set[Any] = set()
        self.stopping = False
        self._acceptor: Any = None
        self._injector = EventInjector()
        self._listening = threading.Event()

    # From other threads

    def start(self) -> None:
        self._container = Container(self)
        self._thread = threading.Thread(target=self._container.run, name="servicebus-broker", daemon=True)
        self._thread.start()
        if not self._listening.wait(ANSWER_SECONDS):
            raise RuntimeError("the broker did not start")

    def stop(self) -> None:
        self.call(self._stop)
        self._injector.close()
        self._thread.join(ANSWER_SECONDS)

    def call(self, do: Callable[[], T]) -> T:
        """Run something on the reactor's thread and wait for it."""
        call = _Call(do)
        self._injector.trigger(ApplicationEvent("call", subject=call))
        if not call.done.wait(ANSWER_SECONDS):
            raise RuntimeError("the broker does not answer")
        if isinstance(call.result, Exception):
            raise call.result
        return call.result  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # On the thread

    def on_tick(self) -> None:
        """Handle what is due; called repeatedly."""

    def forget_connection(self, connection: Any) -> None:
        """Called when a connection is cut."""

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Run something on this thread after a delay."""
        self._container.schedule(seconds, _Later(do))

    def listen(self, wanted: bool) -> None:
        """Accept connections, or stop and cut open ones."""
        if wanted and self._acceptor is None:
            self._acceptor = self._container.listen(f"127.0.0.1:{self.port}")
        elif not wanted and self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
            for connection in list(self.connections):
                self.cut(connection)

    def cut(self, connection: Any) -> None:
        """Drop a connection without notice."""
        self.connections.discard(connection)
        self.forget_connection(connection)
        transport = connection.transport
        if transport is not None:
            with contextlib.suppress(Exception):
                transport.close_tail()
                transport.close_head()

    def _stop(self) -> None:
        self.stopping = True
        self.listen(False)

    def on_reactor_init(self, event: Any) -> None:
        event.reactor.selectable(self._injector)
        self.listen(True)
        self._container.schedule(TICK_SECONDS, self)
        self._listening.set()

    def on_call(self, event: Any) -> None:
        call: _Call = event.subject
        try:
            call.result = call.do()
        except Exception as error:
            call.result = error
        call.done.set()

    def on_timer_task(self, _: Any) -> None:
        if self.stopping:
            return
        self.on_tick()
        self._container.schedule(TICK_SECONDS, self)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
