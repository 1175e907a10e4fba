"""`GET /v1/cms/learning` shows the served model with its reason, the nightly figures and the suggestion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from learning.holdout import HoldoutDay, WatchedDay
from learning.take_back import with_holdout_day
from ranking.model import global_model, popularity_model
from shared.adapters.flags.evaluation import AUTO_MODELS
from shared.domain.auto_model import AutoModel
from tests.cms.editor import Editor, new_editor
from tests.cms.test_learned_models import AUTO, FITTED, store, version
from tests.served_app import App, make_videos, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")

REPORT = {
    "day": 20785,
    "served": "personal",
    "why": "it won on the newest day",
    "requests": 812,
    "decidedOver": {"days": 1, "lift": [0.21, 0.1, 0.33]},
    "lift": [0.21, 0.1, 0.33],
    "placebo": [0.05, -0.01, 0.12],
    "withoutLearning": [-0.2, -0.3, -0.1],
    "explored": {"shown": 900, "longViews": 80, "effective": 700.0, "auc": {}, "difference": [0.02, 0.01, 0.03]},
    "models": {},
}


def measured(auto: AutoModel, less: float) -> AutoModel:
    """Seven days on which the model's users watched that much less than the holdout."""
    for day in range(22, 29):
        seconds = 600.0 * (1.0 - less)
        model = WatchedDay(2_000, 2_000 * seconds, 2_200 * seconds**2)
        figures = HoldoutDay(model, WatchedDay(2_000, 1.2e6, 7.92e8))
        auto = with_holdout_day(auto, f"2026-11-{day}", "night-1", figures)
    return auto


async def page(editor: Editor) -> dict[str, Any]:
    answer = await editor.get("learning")
    assert answer.status == 200, answer.json
    return dict(answer.json)


async def test_tenant_without_learning_gets_an_empty_learning_page(app: App) -> None:
    shown = await page(await new_editor(app))
    assert (shown["state"], shown["promoting"], shown["night"]) == ("on", True, None)
    shipped = {"personal": global_model().version, "popularity": popularity_model().version}
    assert shown["served"] == {"by": "shipped", **shipped, "why": "Nothing has been learned yet."}
    assert (shown["report"], shown["suggestion"], shown["takenBack"]) == (None, None, [])
    assert (shown["holdout"]["on"], shown["holdout"]["percent"], shown["holdout"]["days"]) == (True, 2.0, [])


async def test_learning_page_shows_the_served_model_the_reason_and_nightly_figures(app: App) -> None:
    editor = await new_editor(app, make_videos(3))
    await store(editor, measured(replace(AUTO, report=REPORT), -0.1), version())
    shown = await page(editor)
    assert shown["served"] == {
        "by": "learning", "personal": "night-1", "popularity": FITTED, "why": "it won on the newest day",
    }  # fmt: skip
    report = shown["report"]
    assert report["lift"] == report["decidedBy"] == {"value": 0.21, "low": 0.1, "high": 0.33}
    assert (report["requests"], report["decidedOverDays"]) == (812, 1)
    assert report["placebo"]["value"] == 0.05
    assert report["withoutLearning"]["high"] == -0.1
    assert report["explored"] == {
        "shown": 900, "longViews": 80, "difference": {"value": 0.02, "low": 0.01, "high": 0.03},
    }  # fmt: skip
    holdout = shown["holdout"]
    assert holdout["judgedDays"] == len(holdout["days"]) == 7
    assert holdout["lift"]["value"] == pytest.approx(0.1)
    assert holdout["verdict"] == "Its users watch more than the holdout."
    assert holdout["days"][-1] == {
        "day": "2026-11-28", "personal": "night-1", "modelSeconds": 660.0, "holdoutSeconds": 600.0,
        "modelUsers": 2_000, "holdoutUsers": 2_000,
    }  # fmt: skip


async def test_promoted_suggestion_is_no_longer_suggested(app: App) -> None:
    editor = await new_editor(app, make_videos(3), auto_model="suggest")
    await store(editor, replace(AUTO, popularity=None, personal=None, suggested="night-1"), version())
    shown = await page(editor)
    assert shown["served"]["by"] == "shipped"
    assert shown["suggestion"] == {"version": "night-1", "why": "it won on the newest day"}
    assert (await editor.post(f"models/{shown['suggestion']['version']}/promote")).status == 200
    shown = await page(editor)
    assert (shown["served"]["by"], shown["served"]["personal"]) == ("promotion", "night-1")
    assert shown["served"]["popularity"] == FITTED
    assert shown["suggestion"] is None


async def test_rollback_is_shown_with_the_next_possible_promotion_night(app: App) -> None:
    editor = await new_editor(app, make_videos(3))
    await store(editor, measured(AUTO, 0.2), version())
    await app.services.take_backs.run()
    shown = await page(editor)
    assert (shown["takenBack"], shown["takenBackOn"]) == (["night-1"], "2026-11-28")
    assert shown["nothingPromotedUntil"] == "2026-12-12"
    assert shown["served"]["personal"] == FITTED
    assert "watch less" in shown["served"]["why"]


async def test_unservable_model_and_stopped_promotion_are_reported(app: App) -> None:
    editor = await new_editor(app, make_videos(3))
    await store(editor, AUTO, version(popularityWeights={"nonsense": 1.0}))
    app.write_flags(personalized(), {"id": AUTO_MODELS, "enabled": False})
    assert await app.services.flags_refresher.refresh()
    shown = await page(editor)
    app.write_flags(personalized())
    assert await app.services.flags_refresher.refresh()
    assert not shown["promoting"]
    assert (shown["served"]["by"], shown["served"]["personal"]) == ("shipped", global_model().version)
    assert "models are invalid" in shown["served"]["why"]


async def test_learning_page_is_readable_by_the_tenants_content_team_only(app: App) -> None:
    editor, other = await new_editor(app), await new_editor(app)
    await store(editor, replace(AUTO, report=REPORT), version())
    assert (await page(other))["night"] is None
    answer = await editor.with_key(editor.client.key).get("learning")
    assert (answer.status, answer.code) == (403, "forbidden")
    assert (await editor.with_key(other.key).get("learning")).status == 401
