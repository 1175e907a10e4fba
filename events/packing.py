"""Packs batches into messages: what goes to the same place within a short linger shares a message.

A message costs an execution, a send, a settlement and its properties, however many batches it has. Batches are sent as
Nagle's algorithm sends small segments: after a pause at once, and then one message every `linger_seconds`, with all
that came meanwhile. So nobody waits for longer than the linger, and at a low rate nobody waits at all.

A message that was not confirmed may be on the bus. Sent again by this process, it is the same message under the same
id, which the bus drops if it has it. A message that the bus refuses is taken apart: no batch sinks its neighbors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b

from events.batch import Batch, encode, encode_all
from shared.adapters.bus.port import Bus, BusUnavailable, OutgoingMessage

MAX_BATCHES = 32
MAX_BYTES = 200_000
"""By `_size_of`: a fifth of what a message may have."""
PACKED_FROM_VERSION = 2
"""Messages of version 1 have one batch."""
BATCH_BYTES, ROW_BYTES = 300, 150
"""Of a batch's head, and of an event or a receipt: more than is usual, before compression."""


@dataclass(eq=False, slots=True)
class _Pack:
    """Batches of one message. `message` and `result` once it was sent: what was sent, and the outcome of the latest
    attempt; `sending` while one is under way."""

    to: str
    session_id: str
    batches: list[PackedBatch] = field(default_factory=list)
    size: int = 0
    waiting: int = 0
    message: OutgoingMessage | None = None
    unconfirmed: bool = False
    sending: asyncio.Task[None] | None = None
    result: asyncio.Future[None] = field(default_factory=lambda: _result())


@dataclass(eq=False, slots=True)
class PackedBatch:
    """A batch on its way in a message."""

    batch: Batch
    _packer: Packer
    _pack: _Pack

    async def confirmed(self) -> None:
        """Returns once the bus has the batch. Raises `BusUnavailable` when that was not confirmed, `BusRefused` when
        the bus will never take it; called again after `BusUnavailable`, sends the same message once more.

        A caller that is cancelled takes its batch out of a message that was not sent yet.
        """
        while True:
            pack = self._pack
            await self._packer.outcome_of(self, pack)
            if pack is self._pack:
                return

    def move_to(self, pack: _Pack) -> None:
        """The message was taken apart, and the batch goes in another."""
        self._pack = pack


class Packer:
    """Messages of one publisher. `suffix` sets their ids apart from those of another; `version` is that of messages.

    With a linger of zero, or messages of version 1, every batch is a message of its own, sent at once.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        version: int,
        linger_seconds: float,
        suffix: str = "",
        max_batches: int = MAX_BATCHES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._bus = bus
        self._version = version
        self._linger = linger_seconds if version >= PACKED_FROM_VERSION else 0.0
        self._suffix = suffix
        self._max_batches, self._max_bytes = max_batches, max_bytes
        self._open: dict[tuple[str, str], tuple[_Pack, asyncio.TimerHandle]] = {}
        """By where they go: what gathers since a message left, and what sends it when the linger is over."""
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, batch: Batch, to: str, session_id: str) -> PackedBatch:
        """Send a batch to a subscription, with others for the same session. Ask the result whether it is confirmed."""
        where, size = (to, session_id), _size_of(batch)
        if not self._linger:
            return self._alone(batch, to, session_id)
        found = self._open.get(where)
        if found is None:
            packed = self._alone(batch, to, session_id)
            self._begin(where)
            return packed
        pack, timer = found
        if pack.size + size > self._max_bytes and pack.batches:
            timer.cancel()
            self._send(pack)
            pack, timer = self._begin(where)
        packed = PackedBatch(batch, self, pack)
        pack.batches.append(packed)
        pack.size += size
        if len(pack.batches) >= self._max_batches or pack.size >= self._max_bytes:
            timer.cancel()
            self._send(pack)
            self._begin(where)
        return packed

    async def publish(self, batch: Batch, to: str, session_id: str) -> None:
        """As `add` and `confirmed`."""
        await self.add(batch, to, session_id).confirmed()

    async def close(self) -> None:
        """Send what gathers, and wait for what is being sent."""
        for pack, timer in self._open.values():
            timer.cancel()
            if pack.batches:
                self._send(pack)
        self._open.clear()
        while self._sending:
            await asyncio.wait(self._sending)

    async def outcome_of(self, packed: PackedBatch, pack: _Pack) -> None:
        """Wait for the outcome of a message; sends it again when its last attempt failed."""
        if pack.result.done() and isinstance(pack.result.exception(), BusUnavailable):
            pack.result = _result()
            self._send(pack)
        pack.waiting += 1
        try:
            await asyncio.shield(pack.result)
        except asyncio.CancelledError:
            if pack.message is None and packed in pack.batches:
                pack.batches.remove(packed)
                pack.size -= _size_of(packed.batch)
            elif pack.waiting == 1 and pack.sending is not None:
                pack.sending.cancel()
            raise
        finally:
            pack.waiting -= 1

    def _begin(self, where: tuple[str, str]) -> tuple[_Pack, asyncio.TimerHandle]:
        """A message to this place has just left: what comes now waits until the linger is over."""
        timer = asyncio.get_running_loop().call_later(self._linger, self._linger_is_over, where)
        self._open[where] = _Pack(*where), timer
        return self._open[where]

    def _linger_is_over(self, where: tuple[str, str]) -> None:
        pack, _ = self._open.pop(where)
        if pack.batches:
            self._send(pack)
            self._begin(where)

    def _alone(self, batch: Batch, to: str, session_id: str) -> PackedBatch:
        pack = _Pack(to, session_id)
        packed = PackedBatch(batch, self, pack)
        pack.batches.append(packed)
        self._send(pack)
        return packed

    def _send(self, pack: _Pack) -> None:
        task = pack.sending = asyncio.create_task(self._attempt(pack))
        self._sending.add(task)
        task.add_done_callback(partial(self._sent, pack))

    async def _attempt(self, pack: _Pack) -> None:
        """Send a message once. Raises what the bus does."""
        if not pack.batches:  # all have left
            return
        try:
            if pack.message is None:
                pack.message = self._message_of(pack)
            await self._bus.publish(pack.message)
        except BusUnavailable:
            raise
        except Exception:  # refused, or a batch that cannot be encoded: the others go without it
            if len(pack.batches) == 1:
                raise
            self._take_apart(pack)

    def _sent(self, pack: _Pack, task: asyncio.Task[None]) -> None:
        """Tell the outcome of an attempt to all who wait."""
        self._sending.discard(task)
        pack.sending = None
        error = BusUnavailable("nobody waits any more") if task.cancelled() else task.exception()
        if error is None:
            pack.result.set_result(None)
        else:
            pack.unconfirmed = pack.unconfirmed or isinstance(error, BusUnavailable)
            pack.result.set_exception(error)

    def _message_of(self, pack: _Pack) -> OutgoingMessage:
        batches = [packed.batch for packed in pack.batches]
        body = encode(batches[0], self._version) if len(batches) == 1 else encode_all(batches)
        return OutgoingMessage(f"{_id_of(batches)}{self._suffix}", pack.session_id, body, pack.to)

    def _take_apart(self, pack: _Pack) -> None:
        """Each batch in a message of its own. Where an attempt before may have reached the bus, they may come again."""
        for packed in pack.batches:
            if pack.unconfirmed:
                packed.batch = replace(packed.batch, again=True)
            alone = _Pack(pack.to, pack.session_id, [packed])
            packed.move_to(alone)
            self._send(alone)


def _result() -> asyncio.Future[None]:
    """A future whose error nobody needs to ask for: its callers may have given up."""
    result: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    result.add_done_callback(lambda done: done.cancelled() or done.exception())
    return result


def _id_of(batches: Sequence[Batch]) -> str:
    """The id of a message: that of its only batch, or a name of just these, in this order."""
    if len(batches) == 1:
        return batches[0].id
    return blake2b("\n".join(batch.id for batch in batches).encode(), digest_size=16).hexdigest()


def _size_of(batch: Batch) -> int:
    """About how many bytes a batch adds to a message, quickly."""
    return BATCH_BYTES + ROW_BYTES * (len(batch.events) + len(batch.requests))
