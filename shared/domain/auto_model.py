"""What a tenant's own learning lets it be served: one document a tenant, beside its configuration.

The nightly job decides and writes it (`learning/`), the feed serves by it, and the holdout may take back what it
serves. The weights stand in the model versions that it names, which never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

AUTO_MODEL_ID = "auto-model"
MAX_TAKEN_BACK = 20
"""Versions that were taken back, newest first; older ones are in the audit."""


@dataclass(frozen=True, slots=True)
class AutoModel:
    """`night`: the UTC date of the newest day that was judged.

    `popularity`: the version whose fitted popularity the popular feed and the holdout are served; None: the shipped
    popularity. `personal`: the version that the others are served; None: popularity, because nothing better is shown.
    `suggested`: what the gate would serve, for a tenant that decides itself. `why`: the gate's reason, for people.
    `report`: the night's figures (`learning.learner.Night.report`). `taken_back`: versions that lost to the holdout.
    """

    night: str
    popularity: str | None = None
    personal: str | None = None
    suggested: str | None = None
    why: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    taken_back: tuple[str, ...] = ()

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
        }

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> AutoModel | None:
        """Read a stored document leniently; None when it names no night: then the shipped models are served."""
        night = body.get("night")
        if not isinstance(night, str) or not night:
            return None
        report, taken_back = body.get("report"), body.get("takenBack")
        return cls(
            night,
            _version(body.get("popularity")),
            _version(body.get("personal")),
            _version(body.get("suggested")),
            str(body.get("why") or ""),
            report if isinstance(report, Mapping) else {},
            tuple(each for each in taken_back if isinstance(each, str)) if isinstance(taken_back, list) else (),
        )


def _version(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
