"""Document `auto-model`: names the learned models that a tenant is served.

The nightly job (`learning/`) writes it, and the feed serves by it. A model whose users watch less than the holdout is
withdrawn. The weights are in the model versions that it names, which never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

AUTO_MODEL_ID = "auto-model"
LEARNED_PREFIX = "auto-"
"""Prefix of the names of learned model versions. No other version can have such a name."""
MAX_TAKEN_BACK = 20
"""Limit of withdrawn versions in the document, newest first; older ones are in the audit."""
MAX_HOLDOUT_DAYS = 28
REST_NIGHTS = 14
"""Nights without a promotion after a model was withdrawn: the holdout's result outweighs any replay."""


@dataclass(frozen=True, slots=True)
class AutoModel:
    """Learned models of a tenant, and how they were chosen.

    `night`: UTC date of the newest evaluated day. `popularity`: version whose fitted popularity the popular feed and
    the holdout get; None: the shipped popularity. `personal`: version that the other users get; None: popularity, as
    none proved better. `suggested`: version that the gate would promote, for a tenant that decides itself. `why`: the
    gate's reason, for people. `report`: the night's figures (`learning.learner.Night.report`). `taken_back`: versions
    that lost to the holdout; `taken_back_on`: the night of the newest of these. `holdout_days`: watch figures of the
    holdout and of the others, one entry for each UTC day, newest last (`learning/take_back.py`).
    """

    night: str
    popularity: str | None = None
    personal: str | None = None
    suggested: str | None = None
    why: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    taken_back: tuple[str, ...] = ()
    taken_back_on: str | None = None
    holdout_days: tuple[Mapping[str, Any], ...] = ()

    def rests(self, night: str) -> bool:
        """Whether no model can be promoted this night (a UTC date), because one was withdrawn recently."""
        taken, this = _date(self.taken_back_on), _date(night)
        return taken is not None and this is not None and 0 <= (this - taken).days < REST_NIGHTS

    def to_document(self) -> dict[str, Any]:
        """The stored shape."""
        return {
            "id": AUTO_MODEL_ID,
            "kind": AUTO_MODEL_ID,
            "night": self.night,
            "popularity": self.popularity,
            "personal": self.personal,
            "suggested": self.suggested,
            "why": self.why,
            "report": dict(self.report),
            "takenBack": list(self.taken_back[:MAX_TAKEN_BACK]),
            "takenBackOn": self.taken_back_on,
            "holdoutDays": [dict(day) for day in self.holdout_days[-MAX_HOLDOUT_DAYS:]],
        }

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> AutoModel | None:
        """Read a stored document leniently. None when it names no night; then the shipped models are served."""
        night = body.get("night")
        if not isinstance(night, str) or not night:
            return None
        report, taken_back, days = body.get("report"), body.get("takenBack"), body.get("holdoutDays")
        return cls(
            night,
            _version(body.get("popularity")),
            _version(body.get("personal")),
            _version(body.get("suggested")),
            str(body.get("why") or ""),
            report if isinstance(report, Mapping) else {},
            tuple(each for each in taken_back if isinstance(each, str)) if isinstance(taken_back, list) else (),
            _version(body.get("takenBackOn")),
            tuple(each for each in days if isinstance(each, Mapping)) if isinstance(days, list) else (),
        )


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def _version(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
