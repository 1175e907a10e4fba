"""Any stored learning state can be shown, whatever it contains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cms.learning.models import learning_view
from feed.tenant_models import served_models
from shared.domain.auto_model import AutoModel
from shared.domain.records import Tenant
from tests.cms.test_learned_models import AUTO, version
from tests.cms.test_learning_page import REPORT
from tests.learning.generated_nights import TENANT, day_named, generated

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*REPORT]), inner, max_size=4),
    max_leaves=8,
)


@given(JSON, st.lists(st.dictionaries(st.sampled_from(["day", "personal", "model", "holdout"]), JSON), max_size=3))
def test_any_stored_report_is_shown_or_left_out(report: Any, days: list[dict[str, Any]]) -> None:
    body = {**AUTO.to_document(), "report": report, "holdoutDays": days, "takenBackOn": "once"}
    auto = AutoModel.from_document(body)
    assert auto is not None
    stored = {"night-1": version()}
    view = learning_view(Tenant("t"), auto, served_models(Tenant("t"), auto, stored.get), True, True)
    assert view.model_dump_json(by_alias=True)


async def test_report_of_a_real_night_is_shown_in_full(tmp_path: Path) -> None:
    world = generated(tmp_path)
    try:
        await world.begin(Tenant(TENANT, "R", auto_model="suggest"))
        await world.live(2)
        auto = await world.served()
        assert auto is not None
        version_name = f"auto-{day_named(1)}"
        stored = {version_name: await world.stored(f"model:{version_name}")}
        assert stored[version_name] is not None
        promoted = Tenant(TENANT, "R", auto_model="suggest", model_version=version_name)
        models = served_models(promoted, auto, stored.get)
        view = learning_view(promoted, auto, models, True, True)
    finally:
        await world.app.close()
    assert view.night == day_named(1)
    assert (view.served.personal, view.served.popularity) == (version_name, f"{version_name}-popularity")
    assert view.report is not None
    for measured in (view.report.lift, view.report.placebo, view.report.without_learning, view.report.decided_by):
        assert measured is not None
        assert measured.low <= measured.value <= measured.high
    assert view.report.requests > 0
    assert [day.day for day in view.holdout.days] == [day_named(0), day_named(1)]
    assert view.holdout.judged_days == 0, "no personal model was served by itself"
