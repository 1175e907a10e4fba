from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.records import MAX_LIMIT, RATINGS, UNRATED, Tenant, Video, policy_rank, rating_rank

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def documents(fields: list[str]) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from(fields), anything)


@settings(max_examples=120, deadline=None)
@given(documents(list(Video("v", "", "", "").to_document())))
def test_any_stored_video_reads_as_one_and_fails_closed(body: dict[str, object]) -> None:
    video = Video.from_document({**body, "id": "v1"})
    assert -10 <= video.editorial_boost <= 10
    assert math.isfinite(video.duration_seconds)
    assert math.isfinite(video.published_at)
    assert video.expires_at is None or math.isfinite(video.expires_at)
    assert video.active == (body.get("status", "active") == "active" and not body.get("deleted"))
    if body.get("maturityRating") not in list(RATINGS):
        assert rating_rank(video.maturity_rating) == UNRATED


@settings(max_examples=120, deadline=None)
@given(documents(list(Tenant("t").to_document())))
def test_any_stored_configuration_reads_with_values_in_bounds(body: dict[str, object]) -> None:
    tenant = Tenant.from_document({**body, "tenantId": "t1"})
    assert 1 <= tenant.default_limit <= MAX_LIMIT
    assert 0 <= tenant.streak_cap <= MAX_LIMIT
    assert 1 <= tenant.affinity_half_life_days <= 30
    assert all(math.isfinite(weight) for weight in tenant.weights.values())
    assert policy_rank(tenant.maturity_policy) in RATINGS.values()
    assert tenant.count_anonymous_events == (body.get("countAnonymousEvents") is True)


@settings(max_examples=100, deadline=None)
@given(
    st.builds(
        Tenant,
        id=st.just("t"),
        maturity_policy=st.sampled_from([*RATINGS]),
        default_limit=st.integers(1, MAX_LIMIT),
        weights=st.dictionaries(st.text(max_size=5), st.floats(-10, 10)),
        affinity_half_life_days=st.floats(1, 30),
        streak_cap=st.integers(0, MAX_LIMIT),
        use_personalization=st.booleans(),
        count_anonymous_events=st.booleans(),
    )
)
def test_configuration_reads_back_as_written(tenant: Tenant) -> None:
    assert Tenant.from_document(tenant.to_document()) == tenant


def test_video_reads_back_as_written() -> None:
    video = Video(
        "v1",
        "Title",
        "https://p/v",
        "fitness",
        "https://t/v.jpg",
        ("a", "b"),
        "c",
        12.5,
        "PG",
        -3.0,
        language="en",
        countries=("DE",),
        published_at=1.0,
        expires_at=2.0,
    )
    assert Video.from_document(video.to_document()) == video


@pytest.mark.parametrize("policy", [None, "", "X", "g"])
def test_unknown_policy_admits_only_g_and_no_policy_an_unknown_rating(policy: str | None) -> None:
    assert [rating for rating in RATINGS if rating_rank(rating) <= policy_rank(policy)] == ["G"]
    for known in RATINGS:
        assert rating_rank("X") > policy_rank(known)
        assert rating_rank(None) > policy_rank(known)
