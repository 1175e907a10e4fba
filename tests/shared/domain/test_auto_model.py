"""A tenant's learned state reads back as written, and a rollback is followed by a pause."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.auto_model import MAX_HOLDOUT_DAYS, REST_NIGHTS, AutoModel

VERSIONS = st.none() | st.text("abc123-", min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@given(VERSIONS, VERSIONS, VERSIONS, st.text(max_size=20), st.lists(st.text("ab", min_size=1), max_size=5))
def test_stored_state_reads_back(
    popularity: str | None, personal: str | None, suggested: str | None, why: str, taken_back: list[str]
) -> None:
    day = {"day": "2026-11-28", "model": [1, 2.0, 4.0], "holdout": [0, 0.0, 0.0]}
    auto = AutoModel(
        "2026-11-28", popularity, personal, suggested, why, {"lift": [0.1, 0.0, 0.2]}, tuple(taken_back),
        "2026-11-20", (day,),
    )  # fmt: skip
    assert AutoModel.from_document(auto.to_document()) == auto


@given(st.dictionaries(st.sampled_from([*AutoModel("n").to_document()]), JSON))
def test_any_stored_document_can_be_read(body: dict[str, object]) -> None:
    AutoModel.from_document(body)


def test_the_oldest_days_of_the_holdout_are_dropped() -> None:
    days = tuple({"day": str(number)} for number in range(MAX_HOLDOUT_DAYS + 3))
    kept = AutoModel("2026-11-28", holdout_days=days).to_document()["holdoutDays"]
    assert [day["day"] for day in kept] == [str(number) for number in range(3, MAX_HOLDOUT_DAYS + 3)]


def test_nothing_is_promoted_for_two_weeks_after_a_rollback() -> None:
    auto = AutoModel("2026-11-28", taken_back_on="2026-11-28")
    assert REST_NIGHTS == 14
    assert auto.rests("2026-11-28")
    assert auto.rests("2026-12-11")
    assert not auto.rests("2026-12-12")
    assert not AutoModel("2026-11-28").rests("2026-11-28")
    assert not AutoModel("2026-11-28", taken_back_on="yesterday").rests("2026-11-28")
