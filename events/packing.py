"""Packs batches into messages: batches for the same session within a short time share a message.

A message costs an execution, a send, a settlement and its properties, however many batches it has. Batches are sent
like small segments in Nagle's algorithm: after a pause at once, then one message every `linger_seconds` with all that
arrived meanwhile. So no batch waits longer than that, and at a low rate none waits at all.

An unconfirmed message can be on the bus. This process sends it again unchanged under the same id, so the bus drops a
duplicate. If the bus refuses a message, each of its batches is sent alone: a bad batch does not affect the others.
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
"""Measured with `_size_of`: a fifth of the largest message."""
PACKED_FROM_VERSION = 2
"""Messages of version 1 have one batch."""
BATCH_BYTES, ROW_BYTES = 300, 150
"""Estimated size of a batch's head, and of an event or a receipt: more than usual, before compression."""


@dataclass(eq=False, slots=True)
class _Pack:
    """Batches of one message. `message`: the message that was sent. `result`: the outcome of the latest attempt.
    `sending`: the attempt in progress."""

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
        """Wait until the bus has the batch. Raises `BusUnavailable` when that was not confirmed, `BusRefused` when the
        bus will never take it. A call after `BusUnavailable` sends the same message again.

        A cancelled caller removes its batch from a message that was not sent yet.
        """
        while True:
            pack = self._pack
            await self._packer.outcome_of(self, pack)
            if pack is self._pack:
                return

    def move_to(self, pack: _Pack) -> None:
        """Assign the batch to another message, after its own was split."""
        self._pack = pack


class Packer:
    """Packs the messages of one publisher. `suffix` distinguishes their ids from those of other publishers; `version`
    is the version of the messages.

    With a linger of zero, or messages of version 1, every batch is sent at once in a message of its own.
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
        """By subscription and session: the open message, and the timer that sends it when the linger is over."""
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, batch: Batch, to: str, session_id: str) -> PackedBatch:
        """Send a batch to a subscription, packed with others for the same session. `confirmed` of the result waits for
        the bus."""
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
        """Send a batch and wait until the bus has it: `add` and `confirmed`."""
        await self.add(batch, to, session_id).confirmed()

    async def close(self) -> None:
        """Send the open messages, and wait for those being sent."""
        for pack, timer in self._open.values():
            timer.cancel()
            if pack.batches:
                self._send(pack)
        self._open.clear()
        while self._sending:
            await asyncio.wait(self._sending)

    async def outcome_of(self, packed: PackedBatch, pack: _Pack) -> None:
        """Wait for the outcome of a message. Send it again if its last attempt failed."""
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
        """Open a message after one to the same session was sent: new batches wait until the linger is over."""
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
        """Send a message once. Raises the errors of the bus."""
        if not pack.batches:  # all callers were cancelled
            return
        try:
            if pack.message is None:
                pack.message = self._message_of(pack)
            await self._bus.publish(pack.message)
        except BusUnavailable:
            raise
        except Exception:  # refused, or a batch that cannot be encoded: send the others without it
            if len(pack.batches) == 1:
                raise
            self._take_apart(pack)

    def _sent(self, pack: _Pack, task: asyncio.Task[None]) -> None:
        """Pass the outcome of an attempt to all callers that wait."""
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
        """Send each batch in a message of its own. If an earlier attempt can have reached the bus, the batches get the
        flag `again`."""
        for packed in pack.batches:
            if pack.unconfirmed:
                packed.batch = replace(packed.batch, again=True)
            alone = _Pack(pack.to, pack.session_id, [packed])
            packed.move_to(alone)
            self._send(alone)


def _result() -> asyncio.Future[None]:
    """Return a future whose error need not be retrieved: its callers can have given up."""
    result: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    result.add_done_callback(lambda done: done.cancelled() or done.exception())
    return result


def _id_of(batches: Sequence[Batch]) -> str:
    """Return the id of a message: the id of its only batch, or a hash of the ids of its batches in order."""
    if len(batches) == 1:
        return batches[0].id
    return blake2b("\n".join(batch.id for batch in batches).encode(), digest_size=16).hexdigest()


def _size_of(batch: Batch) -> int:
    """Return a quick estimate of the bytes that a batch adds to a message."""
    return BATCH_BYTES + ROW_BYTES * (len(batch.events) + len(batch.requests))
