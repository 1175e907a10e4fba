"""The record of an accepted batch of events, independent of its encoding. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from events.schema import Event
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint

NOBODY = "-"
"""User key of a batch without consent."""
SHARD_MARK = "#"


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to create
class Batch:
    """An accepted batch of one user. `accepted_at` is in seconds since the epoch.

    `requests` are the verified feed requests that its events quote. `trusted`: its events can count in video statistics
    without one. `consented` is False when the user opted out of personalization: then no signals are kept. `trace_id`
    (32 hex digits, or empty) is the trace of the request that sent the batch. `counted` has one flag for each event:
    whether statistics and co-watch count it. It is None until that is decided.

    `again`: the batch can have been published before, so a consumer must check whether it already counted it.
    `passed_over`: how many more events it had, of types that only a later release knows.
    """

    id: str
    tenant_id: str
    user_key: str
    accepted_at: float
    events: tuple[Event, ...]
    requests: tuple[FeedReceipt, ...] = ()
    trusted: bool = False
    consented: bool = True
    trace_id: str = ""
    counted: tuple[bool, ...] | None = None
    again: bool = False
    passed_over: int = field(default=0, compare=False)

    def session(self, shards: int) -> str:
        """Return the session of the roll-up: the tenant, or a shard of a busy tenant as `tenant#n`."""
        if shards <= 1:
            return self.tenant_id
        return f"{self.tenant_id}{SHARD_MARK}{_number_of(self.id) % shards}"


def _number_of(id: str) -> int:
    """Return a number that spreads evenly. Ids made by this app are hex digits already."""
    try:
        return int(id[:8], 16)
    except ValueError:
        return fingerprint(id)
