"""Learns one tenant's ranking day by day: fits its weights, judges them on the next day, and decides what is served.

    learner = Learner("tenant")
    for visit in replay.walk():
        learner.see(replay, visit)          # a day's models are fitted on earlier days alone
    night = learner.end_day()               # models to serve, and the report with the reasons

The same steps run over a log (`python -m evaluation nights`) and in a nightly job that adds one day each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learning.evidence import Evidence, evidence_of, pooled
from learning.fit import (
    LIMITS_NEXT_WATCH,
    NOT_LEARNED,
    POPULARITY,
    SHOWN_WEIGHT,
    SHOWN_WEIGHT_NEXT_WATCH,
    fit,
    model_of,
)
from learning.gate import POOLED_DAYS, Decision, decide
from learning.judge import Judge, Judged
from learning.ranking_metrics import Interval
from learning.replay import DAY, Replay, Visit
from learning.samples import MOST_CHOICES, Collector, Samples, joined
from learning.scoring import Contestant
from ranking.features import FEATURES
from ranking.model import LinearModel, global_model, popularity_model

SHRINK_TENANT = 3e-3
"""Shrinkage towards the global popularity, for one tenant. Between 1e-3 and 1e-2 no tenant lost; at 1e-1, those for
whom the global demand windows are wrong lose much."""
PRIOR_CHOICES = 500.0
"""How many of a tenant's choices the global personal weights count for: shrinkage is this divided by the choices. A
free fit to the 545 choices of 3 % of a log loses to popularity as much as the prior alone gains."""
TRAINING_DAYS = 7
DEMAND = ("demand_1h", "demand_6h", "demand_24h", "demand_7d")
LEARNED = tuple(name for name in FEATURES if name not in NOT_LEARNED)
PERSONAL, POPULAR, UNLEARNED = "personal", "popularity", "global popularity"


@dataclass(frozen=True)
class Night:
    """Result of a night: the models fitted on all days so far, and the decision which of them is served.

    `lift`, `placebo` and `unlearned` compare the day that ended with the tenant's fitted popularity of the previous
    night; None on the first day. `unlearned`: of the global popularity, which a tenant has without learning.
    `explored`: how well the two rankings predict long views in that day's exploration slots.
    """

    day: int
    popularity: LinearModel
    personal: LinearModel
    decision: Decision
    requests: int
    lift: Interval | None = None
    placebo: Interval | None = None
    unlearned: Interval | None = None
    explored: Mapping[str, Any] | None = None

    @property
    def served(self) -> LinearModel:
        """The model for users with enough history."""
        return self.personal if self.decision.personal else self.popularity

    def report(self) -> dict[str, Any]:
        """Return the report for people and for the model's document."""
        return {
            "day": self.day,
            "served": PERSONAL if self.decision.personal else POPULAR,
            "why": self.decision.why,
            "requests": self.requests,
            "decidedOver": {"days": self.decision.days, "lift": _rounded(self.decision.lift)},
            "lift": _rounded(self.lift),
            "placebo": _rounded(self.placebo),
            "withoutLearning": _rounded(self.unlearned),
            "explored": self.explored,
            "models": {POPULAR: self.popularity.version, PERSONAL: self.personal.version},
        }


@dataclass(frozen=True, slots=True)
class Memory:
    """State from which a learner continues on another night: the choices of the last days, the evidence of the last
    judged days for the first 20 positions and the first 100 (`deep`), and the last night's result."""

    days: tuple[Samples, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    deep: tuple[Evidence, ...] = ()
    night: Night | None = None


@dataclass
class _Day:
    number: int
    collector: Collector
    judge: Judge | None


@dataclass
class Learner:
    """Learner of one tenant; see the module. `towards_popularity`, `towards_personal`: the global models that little
    data keeps close to."""

    name: str
    towards_popularity: LinearModel = field(default_factory=popularity_model)
    towards_personal: LinearModel = field(default_factory=global_model)
    shrink: float = SHRINK_TENANT
    nights: list[Night] = field(default_factory=list)
    most_choices: int = MOST_CHOICES
    _days: list[Samples] = field(default_factory=list)
    _evidence: list[Evidence] = field(default_factory=list)
    _deep: list[Evidence] = field(default_factory=list)
    _today: _Day | None = None

    def recall(self, memory: Memory) -> None:
        """Continue from the state of another learner of the same tenant."""
        self._days, self._evidence, self._deep = list(memory.days), list(memory.evidence), list(memory.deep)
        self.nights = [] if memory.night is None else [memory.night]

    def memory(self) -> Memory:
        """Return the state for the learner of a later night."""
        night = self.nights[-1] if self.nights else None
        return Memory(tuple(self._days), tuple(self._evidence), tuple(self._deep), night)

    def see(self, replay: Replay, visit: Visit) -> None:
        """Add a visit, in time order. The first visit of a new day ends the day before."""
        number = int(visit.now // DAY)
        if self._today is not None and number != self._today.number:
            self.end_day()
        if self._today is None:
            self._today = _Day(number, Collector(LEARNED, seed=number, most=self.most_choices), self._new_judge())
        if self._today.judge is not None:
            self._today.judge.see(replay, visit)
        self._today.collector.see(replay, visit)

    def end_day(self) -> Night | None:
        """Fit and decide at the end of a day. Returns None while there is nothing to learn from."""
        today, self._today = self._today, None
        if today is None:
            return None
        found = today.collector.samples_or_none()
        if found is not None:
            self._days = [*self._days, found][-TRAINING_DAYS:]
        judged = today.judge.catalog if today.judge else None
        lifts: dict[str, Any] = {}
        if judged is not None and today.judge is not None and len(judged.user):
            self._evidence = [*self._evidence, _evidence(judged, PERSONAL)][-POOLED_DAYS:]
            self._deep = [*self._deep, _evidence(today.judge.deep, PERSONAL)][-POOLED_DAYS:]
            lifts = {
                "lift": self._evidence[-1].lift(),
                "placebo": _evidence(today.judge.placebo, PERSONAL).lift(),
                "unlearned": _evidence(judged, UNLEARNED).lift(),
                "explored": today.judge.explored.report(PERSONAL, POPULAR),
            }
        if not self._days:
            return None
        popularity, personal = self._fitted(joined(self._days))
        requests = len(judged.user) if judged else 0
        admitted = bool(self.nights) and self.nights[-1].decision.personal
        decision = decide(self._evidence, self._deep, admitted)
        self.nights.append(Night(today.number, popularity, personal, decision, requests, **lifts))
        return self.nights[-1]

    def _new_judge(self) -> Judge | None:
        """Return a judge of yesterday's models for today; None on the first day."""
        if not self.nights:
            return None
        last = self.nights[-1]
        return Judge(
            [
                Contestant(POPULAR, model=last.popularity, as_served=True),
                Contestant(PERSONAL, model=last.personal, fallback=last.popularity, as_served=True),
                Contestant(UNLEARNED, model=self.towards_popularity, as_served=True),
            ],
            slot=False,
            deep=True,
        )

    def _fitted(self, samples: Samples) -> tuple[LinearModel, LinearModel]:
        popularity = fit_popularity(samples, self.towards_popularity, self.shrink, f"{self.name}-popularity")
        prior = with_demand_of(self.towards_personal, popularity)
        shrink = min(1.0, max(self.shrink, PRIOR_CHOICES / len(samples.sizes)))
        return popularity, fit_personal(samples, prior, shrink, f"{self.name}-personal")


def with_demand_of(model: LinearModel, popularity: LinearModel) -> LinearModel:
    """Return the personal model that a tenant starts from: its own demand weights, all others from the global model.

    Demand differs most between tenants and can be learned from few long views. The rest differs less and needs
    thousands.
    """
    return model.changed(
        lambda _: {name: popularity.weights.get(name, 0.0) for name in DEMAND}, f"{model.version}+demand"[-64:]
    )


def fit_popularity(samples: Samples, towards: LinearModel | None, shrink: float, name: str) -> LinearModel:
    """Return a tenant's popularity model: weights of the demand windows, which determine the half-life, and of
    quality."""
    prior = towards or popularity_model()
    weights = fit(samples.only(POPULARITY).weighing_shown(0.0), towards.weights if towards else None, shrink)
    return model_of(weights, by_hand_of(prior), _trained(samples, shrink, towards), name)


@dataclass(frozen=True, slots=True)
class ShownWeights:
    """Weight of a user's day of shown videos relative to a request: without next watch, and if it has a value."""

    without: float = SHOWN_WEIGHT
    with_next_watch: float = SHOWN_WEIGHT_NEXT_WATCH


def fit_personal(
    samples: Samples,
    towards: LinearModel | None,
    shrink: float,
    name: str,
    shown: ShownWeights = ShownWeights(),
    limits: Mapping[str, tuple[float, float]] = LIMITS_NEXT_WATCH,
) -> LinearModel:
    """Fit both sets of weights of a personal model: with next watch, and without. `limits`: bounds of weights in the
    first."""
    prior = towards or global_model()
    without = samples.leaving_out("next_watch").weighing_shown(shown.without)
    start = towards.weights if towards else None
    start_without = towards.suited(next_watch=False).weights if towards else None
    weights_without = fit(without, start_without, shrink)
    told = samples.having("next_watch").weighing_shown(shown.with_next_watch)
    weights = fit(told, start, shrink, limits) if len(told.sizes) else dict(start or weights_without)
    trained = {**_trained(samples, shrink, towards), "shownWeights": [shown.without, shown.with_next_watch]}
    trained["limits"] = {name: list(edges) for name, edges in limits.items()}
    return model_of(weights, by_hand_of(prior), trained, name, weights_without)


def by_hand_of(model: LinearModel) -> dict[str, float]:
    """Return the weights of a model that are set by hand."""
    return {name: weight for name, weight in model.weights.items() if name in NOT_LEARNED}


def _trained(samples: Samples, shrink: float, towards: LinearModel | None) -> dict[str, Any]:
    return {
        "choices": len(samples.sizes),
        "explored": samples.explored(),
        "shrink": shrink,
        "towards": towards.version if towards else "zero",
        "setByHand": sorted(by_hand_of(towards or global_model())),
    }


def _evidence(judged: Judged, name: str) -> Evidence:
    if not judged.user:
        return pooled(())
    return evidence_of(judged.of(name), judged.of(POPULAR), np.array(judged.user, np.int64))


def _rounded(interval: Interval | None) -> list[float] | None:
    """Return value, low and high; None if the interval is unknown."""
    if interval is None or not np.isfinite([interval.low, interval.high]).all():
        return None
    return [round(each, 4) for each in (interval.value, interval.low, interval.high)]
