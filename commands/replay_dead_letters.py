"""`python -m commands.replay_dead_letters list|show|replay SUBSCRIPTION`: lists dead letters, and delivers them again.

`list` prints a line for each dead letter; `show` also prints types and times of its events. Neither prints an event:
the videos that a user watched must not get into the log of a terminal or a job. `show --content` prints events, for a
machine without a log.

A replayed message goes only to the subscription that failed. Signals recognize a batch that was folded by its marker,
statistics by its name. The bus drops a replay that is repeated within an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

import bootstrap
from bootstrap import App
from events.batch import Batch, marked_again
from events.dead_letters import all_dead_letters, readable, take_out
from events.frame import UnreadableBatch
from events.signals_consumer import MAX_AGE_SECONDS
from shared.adapters.bus.port import (
    LEARNING,
    MAX_ID_LENGTH,
    NO_SESSION,
    ROLLUP,
    SIGNALS,
    SUBSCRIPTIONS,
    BusError,
    BusRefused,
    DeadLetter,
    OutgoingMessage,
    ReceivedMessage,
)
from shared.domain.learning_message import decode, encode
from shared.settings import BadSetting, Settings


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns exit code 0; 1 if a dead letter was not replayed; 2 for wrong arguments or an outage."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except (BadSetting, BusError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m commands.replay_dead_letters", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("list", "show", "replay"))
    parser.add_argument("subscription", choices=SUBSCRIPTIONS)
    parser.add_argument("--sequence", type=int, help="only the letter with this sequence number")
    parser.add_argument("--reason", help="only letters with this reason")
    parser.add_argument("--content", action="store_true", help="show: the events themselves; for no log to keep")
    parser.add_argument("--dry-run", action="store_true", help="say what would be replayed, and do nothing")
    return parser


async def _run(options: argparse.Namespace) -> int:
    app = bootstrap.build(Settings.from_environment(os.environ))
    try:
        if options.content:
            print("warning: the output shows what people watched. Keep it out of every log.", file=sys.stderr)
        dead_letters = [dead async for dead in _dead_letters(app, options)]
        if options.command == "replay":
            return await replay(app, options.subscription, dead_letters, dry_run=options.dry_run)
        for dead in dead_letters:
            print(_line(dead))
            if options.command == "show":
                shown = _content(dead.message) if options.content else _outline(dead)
                print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
        print(f"{len(dead_letters)} dead letters of {options.subscription}")
        return 0
    finally:
        await app.close()


async def _dead_letters(app: App, options: argparse.Namespace) -> Any:
    async for dead in all_dead_letters(app.bus, options.subscription):
        if options.sequence in (None, dead.message.sequence_number) and options.reason in (None, dead.reason):
            yield dead


def _line(dead: DeadLetter) -> str:
    message = dead.message
    at = datetime.fromtimestamp(message.enqueued_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    batches = readable(message)
    events, tenants = sum(len(batch.events) for batch in batches), sorted({batch.tenant_id for batch in batches})
    what = f"{events} events of tenant {', '.join(tenants)}" if batches else f"{len(message.body)} unreadable bytes"
    if asked := decode(message.body):
        what = f"the night {asked[1]} of tenant {asked[0]}"
    return f"{message.sequence_number:>12}  {at}  {dead.reason}: {dead.description or '-'}  ({what})"


def _outline(dead: DeadLetter) -> dict[str, Any]:
    """Summarize a dead letter without watched videos. Users appear by the first characters of the stored pseudonym."""
    batches = readable(dead.message)
    if not batches:
        return {"reason": dead.reason, "unreadableBytes": len(dead.message.body)}
    return {"reason": dead.reason} | _one_or_several([_outline_of(batch) for batch in batches])


def _outline_of(batch: Batch) -> dict[str, Any]:
    times = [event.at_ms // 1000 for event in batch.events]
    return {
        "batch": batch.id,
        "tenant": batch.tenant_id,
        "user": batch.user_key[:6],
        "acceptedAt": batch.accepted_at,
        "eventsFrom": min(times, default=None),
        "eventsTo": max(times, default=None),
        "types": dict(Counter(event.type for event in batch.events)),
    }


def _content(message: ReceivedMessage) -> dict[str, Any]:
    """Return the content of a dead letter without its users."""
    batches = readable(message)
    if not batches:
        return {"unreadable": message.body[:2_000].decode("utf-8", "replace")}
    return _one_or_several(
        [
            {
                "batch": batch.id,
                "tenant": batch.tenant_id,
                "acceptedAt": batch.accepted_at,
                "events": [[event.type, event.video_id, event.at_ms, event.watch_ms] for event in batch.events],
            }
            for batch in batches
        ]
    )


def _one_or_several(shown: list[dict[str, Any]]) -> dict[str, Any]:
    return shown[0] if len(shown) == 1 else {"batches": shown}


async def replay(
    app: App,
    subscription: str,
    dead_letters: list[DeadLetter],
    *,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
) -> int:
    """Deliver messages again and remove them from the dead letters. Return 1 when one was not replayed, else 0.

    An unreadable message stays, because it would fail again. A message to the signals stays if its marker can have
    expired, because the fold would refuse it.
    """
    now = app.clock()
    wanted: set[int] = set()
    for dead in dead_letters:
        reason = _why_not(dead, subscription, now)
        if reason is None:
            wanted.add(dead.message.sequence_number)
        verb = f"stays, {reason}:" if reason else "would replay:" if dry_run else "replaying:"
        say(f"{verb} {_line(dead)}")
    if dry_run or not wanted:
        return 0 if len(wanted) == len(dead_letters) else 1
    with _Progress(len(wanted)) as done:

        async def again(dead: ReceivedMessage) -> bool:
            if subscription == LEARNING:
                await app.bus.publish(_asked_again(dead, now))
                done(1)
                return True
            batch = readable(dead)[0]
            tenant = app.tenants.get(batch.tenant_id)
            session = dead.session_id
            if not 1 <= len(session) <= MAX_ID_LENGTH:
                session = batch.session(tenant.rollup_shards if tenant else 1)
            try:
                body = marked_again(dead.body) if subscription == ROLLUP else dead.body
            except UnreadableBatch:
                say(f"stays, a part of it cannot be read: {dead.sequence_number}")
                return False
            id = f"{dead.message_id[:80]}.replay.{dead.sequence_number}"
            try:
                await app.bus.publish(OutgoingMessage(id, session, body, subscription))
            except BusRefused:
                say(f"stays, the bus refuses it: {dead.sequence_number}")
                return False
            done(1)
            return True

        replayed = await take_out(app.bus, subscription, lambda m: m.sequence_number in wanted, again)
    say(f"{replayed} of {len(dead_letters)} replayed to {subscription}")
    return 0 if replayed == len(dead_letters) else 1


def _why_not(dead: DeadLetter, subscription: str, now: float) -> str | None:
    """Return why a dead letter is not replayed, None when it is."""
    if subscription == LEARNING:
        return "unreadable" if decode(dead.message.body) is None else None
    batches = readable(dead.message)
    if not batches:
        return "unreadable"
    if subscription == SIGNALS and now - min(batch.accepted_at for batch in batches) > MAX_AGE_SECONDS:
        return "too old"
    return None


def _asked_again(dead: ReceivedMessage, now: float) -> OutgoingMessage:
    """Return a new request for a night of learning, sent now."""
    asked = decode(dead.body)
    assert asked is not None
    id = f"{dead.message_id[:80]}.replay.{dead.sequence_number}"
    return OutgoingMessage(id, NO_SESSION, encode(asked[0], asked[1], now), LEARNING)


class _Progress:
    """Progress bar if `tqdm` is installed (it is not in the deployed package), else nothing."""

    def __init__(self, total: int) -> None:
        try:
            from tqdm import tqdm
        except ImportError:
            self._bar: Any = None
        else:
            self._bar = tqdm(total=total, unit=" letters", desc="replayed")

    def __enter__(self) -> Callable[[int], None]:
        return self._bar.update if self._bar is not None else lambda _: None

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


if __name__ == "__main__":
    sys.exit(main())
