"""Simulates serving a generated tenant its learned models night by night, and measures the holdout by watch time.

A log does not show what a user would have done on another page. A generated tenant does, because its tastes are known.
So each request gets both pages, the personal one and that of fitted popularity, and the user goes through the first
places of the page of their group. Each generated user stands for `LIKENESSES` independent ones, so that a holdout of
2 % is enough for a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.tenant_kinds import World
from learning.holdout import HoldoutDay, Verdict, WatchedDay, holdout_verdict, in_holdout
from learning.learner import Learner, Night
from learning.ranking_metrics import Interval
from learning.replay import DAY, Replay, Visit
from learning.scoring import Contestant, served_page
from shared.domain.auto_model import REST_NIGHTS

LIKENESSES = 25
LONG_SECONDS, SHORT_SECONDS = 20.0, 2.0


@dataclass
class _Day:
    """Watched seconds by user with either page, and the expected seconds of genuine users with either."""

    served: bool
    watched: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    expected: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class ServedDay:
    """Results of one day. `lift`: by the replay. `truth`: lift of genuine users' expected watch time, personal page
    over popularity's. `verdict`: None on days without the personal model."""

    day: int
    served: bool
    truth: float
    night: Night
    verdict: Verdict | None
    resting: int

    def report(self) -> dict[str, Any]:
        """Return the day for a table."""
        return {
            "day": self.day,
            "served": "personal" if self.served else "popularity",
            "truth": round(self.truth, 4),
            "replayLift": _edges(self.night.lift),
            "gate": "admits" if self.night.decision.personal else "refuses",
            "why": self.night.decision.why,
            "holdoutLift": _edges(self.verdict.lift) if self.verdict else None,
            "holdout": self.verdict.why if self.verdict else "nothing to judge",
            "takenBack": bool(self.verdict and self.verdict.take_back),
            "resting": self.resting,
        }


class SimulatedTenant:
    """Walks a world's log once; `run` returns its days."""

    def __init__(self, name: str, world: World, seed: int = 0) -> None:
        self._name, self._world = name, world
        self._draw = np.random.default_rng([seed, 1])
        self._learner = Learner(name)
        self._held_out = np.array(
            [[in_holdout(f"{user} {n}", name) for n in range(LIKENESSES)] for user in world.log.users]
        )

    def run(self) -> list[ServedDay]:
        """Return the tenant's days. The first one has no model yet."""
        replay, learner = Replay(self._world.log), self._learner
        found: list[ServedDay] = []
        holdout: list[HoldoutDay] = []
        today, number, resting = _Day(False), -1, 0
        for visit in replay.walk():
            if int(visit.now // DAY) != number:
                if number >= 0:
                    learner.end_day()
                    resting = self._end(today, number, resting, holdout, found)
                number = int(visit.now // DAY)
                personal = bool(learner.nights) and learner.nights[-1].decision.personal
                today = _Day(personal and not resting)
            if learner.nights:
                self._serve(replay, visit, learner.nights[-1], today)
            learner.see(replay, visit)
        learner.end_day()
        self._end(today, number, resting, holdout, found)
        return found

    def _end(self, today: _Day, number: int, resting: int, holdout: list[HoldoutDay], found: list[ServedDay]) -> int:
        """Evaluate the ended day. Return the number of nights in which no model is promoted."""
        verdict = None
        if today.served:
            holdout.append(self._groups(today))
            verdict = holdout_verdict(holdout)
            if verdict.take_back:
                holdout.clear()
                resting = REST_NIGHTS
        elif resting:
            resting -= 1
        ours, theirs = np.array(today.expected).sum(axis=0) if today.expected else (0.0, 0.0)
        truth = float(ours / theirs - 1.0) if theirs else 0.0
        if self._learner.nights:
            found.append(ServedDay(number, today.served, truth, self._learner.nights[-1], verdict, resting))
        return resting

    def _groups(self, today: _Day) -> HoldoutDay:
        """Sum up the day's users by group, with the seconds of the page that their group gets."""
        users = np.array(sorted(today.watched))
        seconds = np.stack([today.watched[user] for user in users.tolist()])
        held = self._held_out[users]
        return HoldoutDay(_watched(seconds[:, 0][~held]), _watched(seconds[:, 1][held]))

    def _serve(self, replay: Replay, visit: Visit, night: Night, today: _Day) -> None:
        world = self._world
        seconds = today.watched.setdefault(visit.user, np.zeros((2, LIKENESSES)))
        if not world.genuine[visit.user]:
            seconds += LONG_SECONDS * world.kind.shown  # an invented user reports plays whatever it was served
            return
        expected = []
        for place, contestant in enumerate(
            (
                Contestant("ours", model=night.personal, fallback=night.popularity, as_served=True),
                Contestant("theirs", model=night.popularity, as_served=True),
            )
        ):
            page = served_page(replay, visit, contestant, visit.kept)[: world.kind.shown]
            chance = world.chance(visit.user, page, visit.now)
            long = self._draw.random((len(page), LIKENESSES)) < chance[:, None]
            seconds[place] += np.where(long, LONG_SECONDS, SHORT_SECONDS).sum(axis=0)
            expected.append(float((SHORT_SECONDS + (LONG_SECONDS - SHORT_SECONDS) * chance).sum()))
        today.expected.append((expected[0], expected[1]))


def served_days_markdown(name: str, days: Sequence[dict[str, Any]]) -> str:
    """Return the days as a Markdown table."""

    def percent(edges: Sequence[float] | None) -> str:
        return "–" if edges is None else f"{edges[0]:+.1%} [{edges[1]:+.1%}, {edges[2]:+.1%}]"

    lines = [
        f"## {name}",
        "",
        "| day | served | watch time, personal page over popularity's (known here alone) | replay | gate | "
        "holdout, up to a week | what the holdout did |",
        "|---|---|---|---|---|---|---|",
    ]
    first = days[0]["day"] if days else 0
    for each in days:
        did = "**takes it back**" if each["takenBack"] else each["holdout"]
        if each["resting"] and not each["takenBack"]:
            did = f"nothing is promoted for {each['resting']} more nights"
        lines.append(
            f"| {each['day'] - first + 1} | {each['served']} | {each['truth']:+.1%} | {percent(each['replayLift'])} "
            f"| {each['gate']}: {each['why']} | {percent(each['holdoutLift'])} | {did} |"
        )
    return "\n".join(lines) + "\n"


def _watched(seconds: NDArray[np.float64]) -> WatchedDay:
    return WatchedDay(seconds.size, float(seconds.sum()), float((seconds**2).sum()))


def _edges(interval: Interval | None) -> list[float] | None:
    if interval is None or not np.isfinite([interval.low, interval.high]).all():
        return None
    return [round(each, 4) for each in (interval.value, interval.low, interval.high)]
