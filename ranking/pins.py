"""Pins: puts the videos that editors pinned at their positions. It is the last step, and only uses rows that the
filters kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ranking.columns import Rows
from ranking.rank import Slate


def with_pins(slate: Slate, pins: Mapping[int, int], candidates: Rows, limit: int) -> Slate:
    """Return the slate with pinned rows at their positions (0-based position → row); at most `limit` long.

    A pin is ignored if its row is not among the candidates, so no pin restores a row that a filter removed. The other
    rows keep their order around the pins; those that no longer fit are left for the next page. A pin beyond the end
    goes last. A pinned video that its score had not put on the page gets the score 0.
    """
    allowed = set(candidates.tolist())
    wanted = {place: row for place, row in sorted(pins.items()) if 0 <= place < limit and row in allowed}
    if not wanted:
        return slate
    pinned = set(wanted.values())
    rest = [at for at, row in enumerate(slate.rows.tolist()) if row not in pinned]
    place_of = {row: at for at, row in enumerate(slate.rows.tolist())}
    rows: list[int] = []
    scores: list[float] = []
    propensities: list[float] = []
    explored = None
    waiting = list(wanted.items())
    while len(rows) < limit and (rest or waiting):
        if waiting and (waiting[0][0] <= len(rows) or not rest):
            _, row = waiting.pop(0)
            if row in rows:
                continue
            rows.append(row)
            scores.append(float(slate.scores[place_of[row]]) if row in place_of else 0.0)
            propensities.append(1.0)
        else:
            at = rest.pop(0)
            if at == slate.explored:
                explored = len(rows)
            rows.append(int(slate.rows[at]))
            scores.append(float(slate.scores[at]))
            propensities.append(float(slate.propensities[at]))
    return replace(
        slate,
        rows=np.array(rows, np.int64),
        scores=np.array(scores),
        propensities=np.array(propensities),
        explored=explored,
        pinned=frozenset(place for place, row in enumerate(rows) if row in pinned),
    )
