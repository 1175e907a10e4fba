"""What is shown of a stored state of learning, whatever is in it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cms.learning.models import learning_view
from feed.tenant_models import served_models
from shared.domain.auto_model import AutoModel
from shared.domain.records import Tenant
from tests.cms.test_learned_models import AUTO, version
from tests.cms.test_learning_page import REPORT

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*REPORT]), inner, max_size=4),
    max_leaves=8,
)


@given(JSON, st.lists(st.dictionaries(st.sampled_from(["day", "personal", "model", "holdout"]), JSON), max_size=3))
def test_whatever_a_stored_report_holds_is_shown_or_left_out(report: Any, days: list[dict[str, Any]]) -> None:
    body = {**AUTO.to_document(), "report": report, "holdoutDays": days, "takenBackOn": "once"}
    auto = AutoModel.from_document(body)
    assert auto is not None
    stored = {"night-1": version()}
    view = learning_view(Tenant("t"), auto, served_models(Tenant("t"), auto, stored.get), True, True)
    assert view.model_dump_json(by_alias=True)
