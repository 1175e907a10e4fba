"""Upload limits of one user."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.tickets import (
    DONE,
    HOUR_SECONDS,
    MOST_AN_HOUR,
    MOST_BYTES_A_DAY,
    MOST_OPEN,
    Spent,
    Ticket,
    TooMany,
    is_id,
    new_id,
)

NOW = 1_790_000_000.0


def stored(spent: Spent) -> Spent:
    return Spent.read(json.loads(json.dumps(spent.document())))


@given(st.lists(st.tuples(st.floats(0, 4_000), st.integers(1, 300_000_000), st.booleans()), max_size=120))
def test_no_sequence_of_uploads_exceeds_any_limit(steps: list[tuple[float, int, bool]]) -> None:
    spent, now, issued = Spent(), NOW, list[Ticket]()
    closed: set[str] = set()
    for n, (pause, size, completes) in enumerate(steps):
        now += pause
        ticket = Ticket(f"{n:040x}", "video/mp4", size, now)
        try:
            spent = stored(spent.with_ticket(ticket))
        except TooMany:
            continue
        issued.append(ticket)
        if completes:
            spent = stored(spent.without(ticket.id))
            closed.add(ticket.id)
        assert sum(now - HOUR_SECONDS < each.issued_at for each in issued) <= MOST_AN_HOUR
        assert sum(each.bytes for each in issued if each.issued_at > now - 24 * HOUR_SECONDS) <= MOST_BYTES_A_DAY
        assert sum(each.expires_at > now and each.id not in closed for each in issued) <= MOST_OPEN


def test_upload_succeeds_after_the_announced_wait() -> None:
    spent, now = Spent(), NOW
    for n in range(MOST_OPEN):
        spent = spent.with_ticket(Ticket(f"{n}", "image/png", 1, now))
    with pytest.raises(TooMany) as many:
        spent.with_ticket(Ticket("x", "image/png", 1, now))
    spent.with_ticket(Ticket("x", "image/png", 1, now + many.value.retry_seconds))


def test_ticket_reads_back_as_stored() -> None:
    ticket = Ticket(new_id(), "image/png", 5, NOW, DONE)
    assert Ticket.read(json.loads(json.dumps(ticket.document()))) == ticket
    assert is_id(ticket.id)
    assert not is_id("../" + ticket.id[3:])
    assert Spent.read({"lately": "x", "hours": [], "open": None}) == Spent()
