"""Finds the feed request that each event of a batch quotes, and the position of its video on that page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from events.schema import Event
from ranking.columns import key64
from shared.domain.feed_receipt import FeedReceipt, places, verify
from shared.domain.keys import SigningKeys


@dataclass(frozen=True, slots=True)
class Sender:
    """Sender of a batch, and the current time in seconds. A feed request id is valid only if it was signed for both."""

    tenant_id: str
    user_key: str
    now: float


def attribute(
    parsed: Sequence[tuple[Event, str | None]], keys: SigningKeys, sender: Sender
) -> tuple[tuple[Event, ...], tuple[FeedReceipt, ...]]:
    """Return the events with the index of the feed request they quote, and these feed requests, each verified once.

    `parsed` has each event with the unverified text of the feed request id it quotes.
    """
    quoting: dict[str, list[int]] = {}
    for number, (_, quoted) in enumerate(parsed):
        if quoted is not None:
            quoting.setdefault(quoted, []).append(number)
    events = [event for event, _ in parsed]
    verified: list[FeedReceipt] = []
    for quoted, numbers in quoting.items():
        receipt = verify(quoted, keys, sender.tenant_id, sender.user_key, sender.now)
        if receipt is None:
            continue
        stood = places(receipt, keys, [key64(events[number].video_id) for number in numbers])
        for at, number in enumerate(numbers):
            place = None if stood is None else stood[at]
            events[number] = replace(events[number], request=len(verified), place=place)
        verified.append(receipt)
    return tuple(events), tuple(verified)
