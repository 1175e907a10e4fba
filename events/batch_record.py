"""The record of an accepted batch of events, whatever it is stored as. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from events.schema import Event
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.fingerprint import fingerprint

NOBODY = "-"
"""The user key of a batch without consent: it names nobody."""
SHARD_MARK = "#"


@dataclass(slots=True)  # not frozen, which is four times as dear to make
class Batch:
    """An accepted batch of one user. `accepted_at` in seconds since the epoch.

    `requests` are the verified feed requests its events quote. `trusted`: its events may count in video statistics
    without one. `consented` is False when the user opted out of personalization: then no signals are kept. `trace_id`
    (32 hex digits, or empty) is the trace of the request that brought it. `counted` says of each event whether
    statistics and co-watch count it; None until that is decided.

    `again`: it may have been handed on before, so whoever counts it looks whether it has it. `passed_over`: how many
    events it had besides, of types that only a later release knows.
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
        """The session of the roll-up: the tenant, or one of a hot tenant's shards as `tenant#n`."""
        if shards <= 1:
            return self.tenant_id
        return f"{self.tenant_id}{SHARD_MARK}{_number_of(self.id) % shards}"


def _number_of(id: str) -> int:
    """A number that spreads evenly: an id made here is hex digits already."""
    try:
        return int(id[:8], 16)
    except ValueError:
        return fingerprint(id)
