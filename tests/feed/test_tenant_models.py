"""Chooses a tenant's models: its promoted version, its learned ones, or the shipped ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.catalog import Catalog
from feed.editorial import steer
from feed.fallback import Fallback
from feed.filters import Viewer, apply_filters
from feed.query import NO_HINTS
from feed.selection import select
from feed.tenant_models import DEMAND, Models, ServedModels, served_models
from ranking.model import LinearModel, global_model, popularity_model
from ranking.stats import StatsTable
from ranking.user_features import RankingOptions
from shared.adapters.documents.port import TENANTS, Document, Upsert
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.auto_model import AutoModel
from shared.domain.records import RATINGS, Tenant
from shared.domain.rules import ACTIONS, Condition, Editorial, Rule
from shared.observability.metrics import Telemetry
from tests.memory_documents import MemoryDocuments
from tests.served_app import make_video

NOW = 1_800_000_000.0
NIGHT = "2026-11-28"
AUTO = AutoModel(NIGHT, popularity="n1", personal="n1")


def version(name: str, **fields: Any) -> dict[str, Any]:
    """A model version as the nightly job stores it."""
    return {
        "id": f"model:{name}",
        "kind": "model",
        "type": "linear",
        "version": name,
        "weights": {"quality": 3.0, "demand_1h": 1.0},
        "weightsWithoutCoWatch": {"quality": 2.0, "demand_6h": 1.0},
        "popularityWeights": {"demand_1h": 0.5, "demand_7d": 0.5},
        **fields,
    }


class Learned:
    """A directory with some tenants' documents, and the models resolved from it."""

    def __init__(self) -> None:
        self.documents = MemoryDocuments()
        self.telemetry = Telemetry()
        self.tenants = TenantDirectory(self.documents, self.telemetry)
        self.models = Models(self.tenants, self.telemetry)

    async def write(self, tenant_id: str, *bodies: dict[str, Any]) -> ServedModels:
        await self.documents.write(TENANTS, tenant_id, [Upsert(body) for body in bodies])
        await self.tenants.refresh()
        tenant = self.tenants.get(tenant_id)
        assert tenant is not None
        return self.models.of(tenant)

    def refused(self, tenant_id: str) -> float:
        return self.telemetry.counters["invalid_weights", (tenant_id,)]


def names(models: ServedModels) -> tuple[str, str, str | None]:
    """Return the versions of the personal model, of the popular feed and of the holdout."""
    return models.personal.version, models.popularity.version, models.held_out.version if models.held_out else None


SHIPPED = (global_model().version, popularity_model().version, None)
tenants = st.builds(
    Tenant,
    id=st.just("t"),
    weights=st.sampled_from([{}, {"quality": 0.25}, {"category_affinity": 1.0}]),
    popularity_half_life_hours=st.sampled_from([None, 6.0, 40.0]),
    auto_model=st.sampled_from(["on", "suggest", "off"]),
    holdout=st.booleans(),
    model_version=st.sampled_from([None, "hand", "n2"]),
)
states = st.none() | st.builds(
    AutoModel,
    night=st.just(NIGHT),
    popularity=st.sampled_from([None, "n1", "n2"]),
    personal=st.sampled_from([None, "n1", "n2"]),
    suggested=st.sampled_from([None, "n2"]),
)
STORED = {
    "n1": version("n1"),
    "n2": version("n2", popularityWeights={"demand_24h": 1.0}),
    "hand": {name: value for name, value in version("hand").items() if name != "popularityWeights"},
}


async def test_tenant_without_a_learning_state_is_served_the_shipped_models() -> None:
    models = await Learned().write("t", Tenant("t").to_document(), version("n1"))
    assert models.personal is global_model()
    assert models.popularity is popularity_model()
    assert (models.held_out, models.holdout) == (None, False)


async def test_personal_version_ranks_pages_and_fitted_popularity_the_popular_feed() -> None:
    models = await Learned().write("t", Tenant("t").to_document(), version("n1"), AUTO.to_document())
    assert names(models) == ("n1", "n1-popularity", "n1-popularity")
    assert dict(models.personal.weights) == {"quality": 3.0, "demand_1h": 1.0}
    assert dict(models.personal.suited(next_watch=False).weights) == {"quality": 2.0, "demand_6h": 1.0}
    assert dict(models.popularity.weights) == {"demand_1h": 0.5, "demand_7d": 0.5}


async def test_fitted_popularity_ranks_pages_without_a_personal_version() -> None:
    auto = replace(AUTO, personal=None)
    models = await Learned().write("t", Tenant("t").to_document(), version("n1"), auto.to_document())
    assert names(models) == ("n1-popularity", "n1-popularity", None)
    assert models.holdout, "who is held out stays out of experiments, whatever this night serves"


async def test_the_newest_state_is_served_as_soon_as_it_is_known() -> None:
    learned = Learned()
    before = await learned.write("t", Tenant("t").to_document(), version("n1"), AUTO.to_document())
    same = await learned.write("other", Tenant("other").to_document())
    assert same.personal is global_model(), "another tenant's learning serves nobody else"
    tenant = learned.tenants.get("t")
    assert tenant is not None
    assert learned.models.of(tenant) is before
    next_night = replace(AUTO, popularity="n2", personal=None)
    after = await learned.write("t", version("n2"), next_night.to_document())
    assert names(after) == ("n2-popularity", "n2-popularity", None)
    gone = await learned.write("t", {"id": "auto-model", "kind": "auto-model", "deleted": True})
    assert names(gone) == SHIPPED


@pytest.mark.parametrize("state", ["suggest", "off"])
async def test_tenant_in_manual_mode_is_served_only_what_it_promoted(state: str) -> None:
    learned = Learned()
    tenant = Tenant("t", auto_model=state)
    assert names(await learned.write("t", tenant.to_document(), version("n1"), AUTO.to_document())) == SHIPPED
    promoted = replace(tenant, model_version="n1")
    assert names(await learned.write("t", promoted.to_document())) == ("n1", "n1-popularity", None)


async def test_manually_promoted_version_overrides_learning() -> None:
    learned = Learned()
    tenant = Tenant("t", model_version="hand")
    models = await learned.write("t", tenant.to_document(), version("n1"), STORED["hand"], AUTO.to_document())
    assert names(models) == ("hand", "n1-popularity", None)


@given(tenants, states)
def test_overrides_and_half_life_apply_to_any_served_model(tenant: Tenant, auto: AutoModel | None) -> None:
    models = served_models(tenant, auto, STORED.get)
    plain = served_models(replace(tenant, weights={}, popularity_half_life_hours=None), auto, STORED.get)
    for model, other in ((models.personal, plain.personal), (models.held_out, plain.held_out)):
        assert (model is None) == (other is None)
        if model is None or other is None:
            continue
        for own, before in ((model, other), (model.without_next_watch, other.without_next_watch)):
            assert (own is None) == (before is None)
            if own is not None and before is not None:
                assert_half_life(own, before, tenant)
                demand = {name: own.weights.get(name, 0.0) for name in DEMAND}
                assert {**demand, **own.weights} == {**before.weights, **demand, **tenant.weights}
    assert_half_life(models.popularity, plain.popularity, tenant)
    assert models.popularity.weights.get("quality", 0.0) == plain.popularity.weights.get("quality", 0.0)


def assert_half_life(own: LinearModel, before: LinearModel, tenant: Tenant) -> None:
    now, was = ([model.weights.get(name, 0.0) for name in DEMAND] for model in (own, before))
    assert sum(now) == pytest.approx(sum(was))
    match tenant.popularity_half_life_hours:
        case None:
            assert now == was
        case 6.0:
            assert now == pytest.approx([0.0, sum(was), 0.0, 0.0])
        case _:
            assert now[:2] == [0.0, 0.0]
            assert (now[2] != 0.0) == (now[3] != 0.0) == (sum(was) != 0.0)


@given(tenants, states)
def test_holdout_is_separate_only_while_a_learned_model_is_served(tenant: Tenant, auto: AutoModel | None) -> None:
    models = served_models(tenant, auto, STORED.get)
    learning = auto is not None and tenant.auto_model == "on"
    assert models.holdout == (learning and tenant.holdout)
    personal = learning and tenant.model_version is None and auto is not None and auto.personal is not None
    assert (models.held_out is not None) == (personal and tenant.holdout)


BROKEN: dict[str, list[dict[str, Any]]] = {
    "a version that is not there": [],
    "an unknown feature": [version("n1", weights={"nonsense": 1.0})],
    "a weight that is no number": [version("n1", weightsWithoutCoWatch={"quality": "high"})],
    "no fitted popularity": [STORED["hand"] | {"id": "model:n1", "version": "n1"}],
    "an unknown feature in the fitted popularity": [version("n1", popularityWeights={"nonsense": 1.0})],
    "a fitted popularity that is no object": [version("n1", popularityWeights=[1.0])],
}


@pytest.mark.parametrize("stored", BROKEN.values(), ids=BROKEN)
async def test_unservable_model_is_ignored_whole_and_counted_once(
    stored: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    learned = Learned()
    models = await learned.write("t", Tenant("t").to_document(), *stored, AUTO.to_document())
    assert names(models) == SHIPPED
    assert models.base is None, "no arm of an experiment stands for what cannot be served"
    await learned.write("other", Tenant("other").to_document())
    tenant = learned.tenants.get("t")
    assert tenant is not None
    assert learned.models.of(tenant) is models
    assert learned.refused("t") == 1
    assert [record.message for record in caplog.records] == ["the model of tenant t is not usable"]
    assert names(await learned.write("t", version("n1"))) == ("n1", "n1-popularity", "n1-popularity")


async def test_a_state_without_a_night_serves_nothing_and_is_counted() -> None:
    learned = Learned()
    await learned.write("t", Tenant("t").to_document(), version("n1"), AUTO.to_document())
    models = await learned.write("t", {**AUTO.to_document(), "night": None})
    assert names(models) == SHIPPED
    assert learned.telemetry.counters["unreadable_documents", ("auto-model",)] == 1


weights = st.dictionaries(
    st.sampled_from(["demand_1h", "demand_7d", "quality", "editorial_boost", "country_match", "category_affinity"]),
    st.floats(-5, 5, allow_nan=False),
)
videos = st.lists(
    st.builds(
        make_video,
        id=st.sampled_from([f"v{number}" for number in range(12)]),
        category=st.sampled_from(["a", "b"]),
        rating=st.sampled_from(["G", "PG", "R", "NC17", ""]),
        countries=st.sampled_from([(), ("DE",)]),
        active=st.booleans(),
        published_at=st.sampled_from([NOW - 60, NOW + 60]),
        expires_at=st.sampled_from([None, NOW - 1, NOW + 60]),
        editorial_boost=st.floats(0, 5),
    ),
    max_size=12,
    unique_by=lambda video: video.id,
)
rules = st.builds(
    Rule,
    id=st.just("r"),
    name=st.just("r"),
    action=st.sampled_from(ACTIONS),
    condition=st.builds(Condition, categories=st.sampled_from([("a",), ("b",)])),
    multiplier=st.just(3.0),
    positions=st.just((1,)),
)


@given(videos, weights, st.lists(rules, max_size=1), st.sampled_from(sorted(RATINGS.values())), st.integers(1, 8))
def test_fitted_weights_return_nothing_that_a_filter_removes(
    catalog_of: list[Any], fitted: dict[str, float], ruled: list[Rule], maturity: int, limit: int
) -> None:
    catalog = Catalog("t")
    for video in catalog_of:
        catalog.apply(Document("t", video.id, video.to_document(), ""))
    table = StatsTable()
    table.add((video.id, NOW - 60.0, "video_view", 30_000.0, 30.0) for video in catalog_of[::2])
    catalog.stats.replace(table)
    steering = steer(Editorial.of({rule.id: rule for rule in ruled}, {}), catalog.columns, NO_HINTS, NOW)
    viewer = Viewer(
        NOW, maturity, None, np.zeros(0, np.uint32), excluded=steering.excluded, outside_limit=steering.outside_limit
    )
    options = RankingOptions(NOW, limit=limit, streak_cap=0, creator_cap=0, diversity=0.0)
    model = LinearModel.checked("fitted-popularity", fitted)
    slate, more = select(catalog, viewer, options, steering, 0, None, Fallback(), model)
    shipped, as_many = select(catalog, viewer, options, steering, 0, None, Fallback())
    kept = apply_filters(catalog.columns, viewer).kept
    assert slate.model_version == "fitted-popularity"
    assert set(slate.rows.tolist()) <= set(kept.tolist())
    assert (len(slate), more) == (len(shipped), as_many)
    assert len(set(slate.rows.tolist())) == len(slate)
    free = [score for place, score in enumerate(slate.scores.tolist()) if place not in slate.pinned]
    assert free == sorted(free, reverse=True)
