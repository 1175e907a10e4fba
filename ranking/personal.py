"""The model and signals that rank for one user outside the feed, such as in the row of stories."""

from __future__ import annotations

from dataclasses import dataclass

from ranking.model import LinearModel
from shared.domain.user_signals import Signals


@dataclass(frozen=True, slots=True, eq=False)
class PersonalRanking:
    """A model and the user's signals (None if there are none yet). `reason` tells why nothing can be ranked for this
    user now; None if it can. With a reason, there are no signals."""

    model: LinearModel
    signals: Signals | None = None
    reason: str | None = None
