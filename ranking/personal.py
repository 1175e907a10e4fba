"""The model and signals that rank for one user, for rankings beside the feed such as the row of stories."""

from __future__ import annotations

from dataclasses import dataclass

from ranking.model import LinearModel
from shared.domain.user_signals import Signals


@dataclass(frozen=True, slots=True, eq=False)
class PersonalRanking:
    """A model and the user's signals, None where there are none yet. `reason` says why nothing may be ranked for this
    user now, None when it may; with a reason, there are no signals."""

    model: LinearModel
    signals: Signals | None = None
    reason: str | None = None
