"""Response models of a tenant's learning. Unreadable parts of a stored report are left out. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import Field

from cms.configuration.models import AutoModelState
from cms.views import one_of
from feed.tenant_models import ServedModels
from learning.holdout import Verdict, WatchedDay
from learning.ranking_metrics import Interval
from learning.take_back import judge, watched_of
from ranking.model import global_model, popularity_model
from shared.domain.auto_model import REST_NIGHTS, AutoModel
from shared.domain.formats import is_number
from shared.domain.holdout_users import HOLDOUT_SHARE
from shared.domain.records import AUTO_OFF, AUTO_ON, AUTO_SUGGEST, Tenant
from shared.web.responses import Count, View

BY = ("promotion", "learning", "shipped")


class Lift(View):
    """A difference with its 95 % confidence interval: 0.05 is 5 % more."""

    value: float
    low: float
    high: float


class Explored(View):
    """Results from exploration places, which are filled at random."""

    shown: Count
    long_views: Count
    difference: Annotated[
        Lift | None,
        Field(description="AUC of the personal model minus that of popularity, in predicting long views."),
    ]


class NightReport(View):
    """Results of the latest night: a replay of a day that the models were not trained on."""

    requests: Annotated[Count, Field(description="Requests of that day with a long view.")]
    decided_over_days: Annotated[Count, Field(description="Number of days on which the decision is based.")]
    decided_by: Annotated[Lift | None, Field(description="The lift on which the decision is based.")]
    lift: Annotated[
        Lift | None,
        Field(description="NDCG@20 of the personal model over the tenant's fitted popularity model, on that day."),
    ]
    placebo: Annotated[
        Lift | None,
        Field(
            description="The same lift if videos shown but not watched counted as hits. It measures how much of the "
            "lift only imitates the previous ranking."
        ),
    ]
    without_learning: Annotated[
        Lift | None, Field(description="The same lift for the shipped popularity model, used without learning.")
    ]
    explored: Annotated[Explored | None, Field(description="null: too few videos were shown by exploration.")]


class HoldoutDayView(View):
    """Watch time of the two groups on a day (UTC), in seconds per active user."""

    day: str
    personal: Annotated[str | None, Field(description="The version served to users outside the holdout; null: none.")]
    model_seconds: float | None
    holdout_seconds: float | None
    model_users: Count
    holdout_users: Count


class Holdout(View):
    """Comparison of the holdout (users who never get a learned personal model) with the other users.

    A model that loses to the holdout is taken back, whatever its replay says.
    """

    on: Annotated[bool, Field(description="The configuration's `holdout`.")]
    percent: float
    days: Annotated[list[HoldoutDayView], Field(description="The newest day last.")]
    judged_days: Annotated[Count, Field(description="Number of these days that count for the served model.")]
    lift: Annotated[
        Lift | None, Field(description="Relative difference in watch time per user and day; null: too little data.")
    ]
    verdict: Annotated[str, Field(description="The result in words.")]


class Served(View):
    """The models that rank now."""

    by: Annotated[str, Field(description="What selected them.", json_schema_extra=one_of(*BY))]
    personal: Annotated[str, Field(description="The version that ranks personal pages.")]
    popularity: Annotated[str, Field(description="The version that orders the popular feed.")]
    why: str


class Suggestion(View):
    """A model version suggested for promotion with `POST models/{version}/promote`."""

    version: str
    why: str


class Learning(View):
    """State and results of a tenant's learning."""

    state: Annotated[AutoModelState, Field(description="The configuration's `autoModel`.")]
    promoting: Annotated[bool, Field(description="The flag `auto-models`. false: no new model is promoted.")]
    night: Annotated[str | None, Field(description="The latest day (UTC) that was evaluated; null: none yet.")]
    served: Served
    suggestion: Suggestion | None
    report: NightReport | None
    holdout: Holdout
    taken_back: Annotated[list[str], Field(description="Versions that lost to the holdout, the newest first.")]
    taken_back_on: str | None
    nothing_promoted_until: Annotated[
        str | None, Field(description="After a take-back: the first night on which models can be promoted again.")
    ]


def learning_view(
    tenant: Tenant, auto: AutoModel | None, models: ServedModels | None, suggestion_stored: bool, promoting: bool
) -> Learning:
    """Build the view of a tenant's learning.

    `models`: the served models; None if the stored ones are invalid, and the shipped ones are served.
    """
    verdict = judge(auto) if auto else None
    return Learning(
        state=tenant.auto_model,  # type: ignore[arg-type]
        promoting=promoting,
        night=auto.night if auto else None,
        served=_served(tenant, auto, models),
        suggestion=_suggestion(tenant, auto) if suggestion_stored else None,
        report=_report(auto.report) if auto and auto.report else None,
        holdout=Holdout(
            on=tenant.holdout,
            percent=100.0 * HOLDOUT_SHARE,
            days=[_day(entry) for entry in auto.holdout_days] if auto else [],
            judged_days=verdict.days if verdict else 0,
            lift=_of(verdict.lift) if verdict else None,
            verdict=_words(tenant, verdict),
        ),
        taken_back=list(auto.taken_back) if auto else [],
        taken_back_on=auto.taken_back_on if auto else None,
        nothing_promoted_until=_rest_ends(auto),
    )


def _served(tenant: Tenant, auto: AutoModel | None, models: ServedModels | None) -> Served:
    if models is None:
        why = "The stored models are invalid, so the shipped models rank until they are repaired."
        return Served(by="shipped", personal=global_model().version, popularity=popularity_model().version, why=why)
    if tenant.model_version is not None:
        by, why = "promotion", "This version was promoted by hand, which overrides learned models."
    elif tenant.auto_model == AUTO_ON and auto is not None and (auto.personal or auto.popularity):
        by, why = "learning", auto.why
    elif tenant.auto_model == AUTO_OFF:
        by, why = "shipped", "Learning is switched off here (autoModel)."
    elif tenant.auto_model == AUTO_SUGGEST:
        by, why = "shipped", "Learned models are only suggested here (autoModel), and no version was promoted."
    else:
        by, why = "shipped", "Nothing has been learned yet."
    return Served(by=by, personal=models.personal.version, popularity=models.popularity.version, why=why)


def _suggestion(tenant: Tenant, auto: AutoModel | None) -> Suggestion | None:
    """Build the suggestion; None if there is none, or it is served already."""
    if auto is None or auto.suggested is None or tenant.auto_model == AUTO_OFF:
        return None
    served = tenant.model_version or (auto.personal if tenant.auto_model == AUTO_ON else None)
    return None if auto.suggested == served else Suggestion(version=auto.suggested, why=auto.why)


def _report(stored: Mapping[str, Any]) -> NightReport:
    decided = stored.get("decidedOver")
    decided = decided if isinstance(decided, Mapping) else {}
    return NightReport(
        requests=_count(stored.get("requests")),
        decided_over_days=_count(decided.get("days")),
        decided_by=_lift(decided.get("lift")),
        lift=_lift(stored.get("lift")),
        placebo=_lift(stored.get("placebo")),
        without_learning=_lift(stored.get("withoutLearning")),
        explored=_explored(stored.get("explored")),
    )


def _explored(stored: object) -> Explored | None:
    if not isinstance(stored, Mapping):
        return None
    shown, long_views = _count(stored.get("shown")), _count(stored.get("longViews"))
    return Explored(shown=shown, long_views=long_views, difference=_lift(stored.get("difference")))


def _day(entry: Mapping[str, Any]) -> HoldoutDayView:
    model, holdout = (watched_of(entry.get(name)) or WatchedDay() for name in ("model", "holdout"))
    personal = entry.get("personal")
    return HoldoutDayView(
        day=str(entry.get("day")),
        personal=personal if isinstance(personal, str) else None,
        model_seconds=_mean(model),
        holdout_seconds=_mean(holdout),
        model_users=model.users,
        holdout_users=holdout.users,
    )


def _mean(day: WatchedDay) -> float | None:
    return round(day.seconds / day.users, 1) if day.users else None


def _words(tenant: Tenant, verdict: Verdict | None) -> str:
    if not tenant.holdout:
        return "Nobody is held out (holdout): what the model brings is not measured on people."
    if verdict is None or not verdict.days:
        return "No personal model was served on a day that is measured."
    return f"{verdict.why[:1].upper()}{verdict.why[1:]}."


def _rest_ends(auto: AutoModel | None) -> str | None:
    if auto is None or not auto.rests(auto.night) or auto.taken_back_on is None:
        return None
    return (date.fromisoformat(auto.taken_back_on) + timedelta(days=REST_NIGHTS)).isoformat()


def _lift(stored: object) -> Lift | None:
    """Parse value, low and high from a stored report."""
    if not isinstance(stored, list) or len(stored) != 3 or not all(is_number(each) for each in stored):
        return None
    return Lift(value=stored[0], low=stored[1], high=stored[2])


def _of(interval: Interval) -> Lift | None:
    edges = (interval.value, interval.low, interval.high)
    if not all(math.isfinite(each) for each in edges):
        return None
    value, low, high = (round(each, 4) for each in edges)
    return Lift(value=value, low=low, high=high)


def _count(stored: object) -> int:
    return int(stored) if is_number(stored) and stored >= 0 else 0  # type: ignore[operator, call-overload]
