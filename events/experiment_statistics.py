"""Computes an experiment's result: lift and interval of each arm against the first, and a sample-ratio check. Pure.

The check tests whether the arms got their shares of users. Users are the unit of randomization, so the variance is that
over users. A rate such as watch time per video shown is a ratio of two sums over users; its variance comes from the
delta method (Deng et al., KDD 2018, eq. 5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from events.archive import counted_before_ms, counts
from ranking.watching import counted_watch_time
from shared.domain.event_types import COMPLETE, IMPRESSION, LIKE, PROGRESS, SAVE, SHARE, SKIP, START, VIDEO_VIEW
from shared.domain.experiment_measures import MEASURES
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Arm, Experiment

CONFIDENCE = 0.95
MISMATCH = 0.001
"""A smaller p-value of the sample-ratio check means that the assignment or the logging is broken: trust no lift."""


@dataclass(slots=True)
class Outcome:
    """Outcome of one user in one arm."""

    arm: int
    shown: set[int] = field(default_factory=set)
    views: int = 0
    watched_ms: float = 0.0
    completes: int = 0
    approvals: int = 0
    skips: int = 0

    def numerator(self, measure: str) -> float:
        """Return the user's part of the measure's numerator."""
        return {
            "clickThrough": float(self.views),
            "watchSeconds": self.watched_ms / 1000,
            "completion": float(self.completes),
            "approval": float(self.approvals),
            "skip": float(self.skips),
        }[measure]


@dataclass
class Outcomes:
    """Outcomes of an experiment's users, from archived events that quote a feed request of one of its arms.

    Users seen in two arms (the shares were changed during the experiment) are left out of both. Beyond `most_users`, a
    hashed half of the users is dropped, repeatedly. The rest is representative of all, whatever their arm.
    """

    experiment: Experiment
    most_users: int = 100_000
    halvings: int = 0
    users: dict[str, Outcome] = field(default_factory=dict)
    crossed: set[str] = field(default_factory=set)
    events: int = 0

    def add(self, lines: Iterable[Mapping[str, Any]], durations: Mapping[str, float] | None = None) -> None:
        """Add archive lines. Lines about other experiments, or that do not count, are skipped. `durations` of videos in
        seconds, if known: they limit the watch time that counts, as in statistics."""
        durations = durations or {}
        for line in lines:
            request, user = line.get("request"), line.get("user")
            if not request or not user or not self._ours(request) or not counts(line) or not self._in_sample(user):
                continue
            self.events += 1
            outcome = self.users.setdefault(user, Outcome(request["arm"]))
            if outcome.arm != request["arm"]:
                self.crossed.add(user)
                continue
            _count(outcome, line, durations.get(line["videoId"], 0.0))
            if len(self.users) > self.most_users:
                self.halvings += 1
                self.users = {user: kept for user, kept in self.users.items() if self._in_sample(user)}

    def _in_sample(self, user: str) -> bool:
        return not fingerprint(user) & ((1 << self.halvings) - 1)

    def _ours(self, request: Mapping[str, Any]) -> bool:
        served_at = request["servedAt"] / 1000
        experiment = self.experiment
        return (
            1 <= request["arm"] <= len(experiment.arms)
            and experiment.started_at is not None
            and served_at >= int(experiment.started_at)
            and (experiment.stopped_at is None or served_at <= experiment.stopped_at)
        )


def _count(outcome: Outcome, line: Mapping[str, Any], duration_seconds: float) -> None:
    kind = line["type"]
    if kind in (IMPRESSION, START, PROGRESS, VIDEO_VIEW, SKIP, COMPLETE):
        # An app can send a view without the impression before it. Either one shows that the video was on the screen.
        outcome.shown.add(fingerprint(f"{line['request']['servedAt']}/{line['videoId']}"))
    if kind in (VIDEO_VIEW, PROGRESS):
        before = counted_before_ms(line)
        outcome.views += before is None
        outcome.watched_ms += counted_watch_time(line.get("watchTimeMs"), duration_seconds)
        outcome.watched_ms -= counted_watch_time(before, duration_seconds)
    outcome.completes += kind == COMPLETE
    outcome.skips += kind == SKIP
    outcome.approvals += kind in (LIKE, SHARE, SAVE)


@dataclass(frozen=True, slots=True)
class Rate:
    """A ratio of sums over users, with the variance of the estimate."""

    value: float
    variance: float


def ratio(above: Sequence[float], below: Sequence[float]) -> Rate | None:
    """Return Σ above / Σ below over users; None if Σ below is not positive or there are fewer than two users."""
    users, total = len(below), sum(below)
    if users < 2 or total <= 0:
        return None
    value = sum(above) / total
    residuals = [one - value * other for one, other in zip(above, below, strict=True)]
    spread = sum(each * each for each in residuals) / (users - 1)
    return Rate(value, spread / users / (total / users) ** 2)


@dataclass(frozen=True, slots=True)
class Lift:
    """Relative difference from the control: 0.05 is 5 % more. The 95 % interval holds for all arms of a measure
    together."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes "no difference"."""
        return not self.low <= 0.0 <= self.high


def lift(control: Rate, treatment: Rate, comparisons: int = 1) -> Lift | None:
    """Return the lift, computed on the log scale, where a ratio's error is symmetric. Bonferroni-corrected for several
    comparisons. None if a rate is not positive."""
    if control.value <= 0 or treatment.value <= 0:
        return None
    z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / comparisons)
    log_ratio = math.log(treatment.value / control.value)
    error = z * math.sqrt(control.variance / control.value**2 + treatment.variance / treatment.value**2)
    return Lift(math.expm1(log_ratio), math.expm1(log_ratio - error), math.expm1(log_ratio + error))


def sample_ratio_p(users: Sequence[int], shares: Sequence[float]) -> float:
    """Return the probability that users fall on arms at least this unevenly if the shares are right (Pearson's χ²
    test)."""
    total, whole = sum(users), sum(shares)
    pairs = [(seen, total * share / whole) for seen, share in zip(users, shares, strict=True) if share > 0]
    if len(pairs) < 2 or total == 0:
        return 1.0
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in pairs)
    return chi_square_tail(statistic, len(pairs) - 1)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """P(χ² with whole `degrees` of freedom ≥ statistic): the finite sums of Abramowitz & Stegun, 26.4.4 and 26.4.5."""
    half = statistic / 2
    if degrees % 2 == 0:
        term = total = math.exp(-half)
        for step in range(1, degrees // 2):
            term *= half / step
            total += term
        return min(1.0, total)
    total = math.erfc(math.sqrt(half))
    term = math.sqrt(half / math.pi) * 2 * math.exp(-half)
    for step in range(1, (degrees + 1) // 2):
        total += term
        term *= half / (step + 0.5)
    return min(1.0, total)


def report(outcomes: Outcomes) -> dict[str, Any]:
    """Return the report as plain values, ready for JSON. A lift is None where there is too little data."""
    experiment = outcomes.experiment
    by_arm = {arm.number: _users_of(outcomes, arm) for arm in experiment.arms}
    control = experiment.arms[0]
    p_value = sample_ratio_p([len(by_arm[arm.number]) for arm in experiment.arms], [a.percent for a in experiment.arms])
    return {
        "experiment": experiment.id,
        "name": experiment.name,
        "status": experiment.status,
        "events": outcomes.events,
        "sampleOfUsers": 0.5**outcomes.halvings,
        "usersInTwoArms": len(outcomes.crossed),
        "sampleRatio": {"pValue": p_value, "ok": p_value >= MISMATCH},
        "control": control.name,
        "arms": [
            _arm_report(arm, by_arm[arm.number], by_arm[control.number], len(experiment.arms) - 1)
            for arm in experiment.arms
        ],
    }


def _users_of(outcomes: Outcomes, arm: Arm) -> list[Outcome]:
    return [
        outcome
        for user, outcome in outcomes.users.items()
        if outcome.arm == arm.number and outcome.shown and user not in outcomes.crossed
    ]


def _arm_report(arm: Arm, users: list[Outcome], control: list[Outcome], comparisons: int) -> dict[str, Any]:
    measures: dict[str, Any] = {}
    for measure, meaning in MEASURES.items():
        own, base = _rate(users, measure), _rate(control, measure)
        against = lift(base, own, comparisons) if own and base and users is not control else None
        measures[measure] = {
            "meaning": meaning,
            "value": own.value if own else None,
            "lift": against.value if against else None,
            "interval": [against.low, against.high] if against else None,
            "clear": against.clear if against else None,
        }
    shown = sum(len(user.shown) for user in users)
    return {
        "number": arm.number,
        "name": arm.name,
        "percent": arm.percent,
        "users": len(users),
        "shown": shown,
        "measures": measures,
    }


def _rate(users: list[Outcome], measure: str) -> Rate | None:
    return ratio([user.numerator(measure) for user in users], [float(len(user.shown)) for user in users])


def as_text(result: Mapping[str, Any]) -> str:
    """Return the report for a terminal."""
    lines = [f"Experiment {result['experiment']} ({result['name']}), {result['status']}, {result['events']} events"]
    p_value = result["sampleRatio"]["pValue"]
    verdict = "as it should be" if result["sampleRatio"]["ok"] else "MISMATCH: believe none of the lifts below"
    if result["sampleOfUsers"] < 1:
        lines.append(f"From a hashed sample of {result['sampleOfUsers']:.3%} of the users.")
    lines.append(f"Sample ratio: p = {p_value:.4g}, {verdict}. Users in two arms, left out: {result['usersInTwoArms']}")
    for arm in result["arms"]:
        control = " (control)" if arm["name"] == result["control"] else ""
        lines.append(
            f"\n{arm['name']}{control}: {arm['percent']:g} %, {arm['users']} users, {arm['shown']} videos shown"
        )
        for measure in arm["measures"].values():
            if measure["value"] is None:
                lines.append(f"  {measure['meaning']:45} –")
                continue
            line = f"  {measure['meaning']:45} {measure['value']:8.4f}"
            if measure["lift"] is not None:
                low, high = measure["interval"]
                line += f"   {measure['lift']:+7.1%}  [{low:+.1%}, {high:+.1%}]{'  *' if measure['clear'] else ''}"
            lines.append(line)
    return "\n".join(lines) + "\n"
