"""The shipped weights come from a repeatable fit within its limits."""

from learning.fit import LIMITS_NEXT_WATCH, NOT_LEARNED, SHOWN_WEIGHT, SHOWN_WEIGHT_NEXT_WATCH, model_of
from learning.learner import LEARNED, by_hand_of
from ranking.model import LinearModel, global_model, popularity_model


def learned(weights: dict[str, float]) -> dict[str, float]:
    return {name: weights[name] for name in LEARNED if name in weights}


def test_the_version_of_the_shipped_model_names_its_weights() -> None:
    model = global_model()
    assert model.without_next_watch is not None
    again = model_of(
        learned(dict(model.weights)),
        by_hand_of(model),
        {},
        "global",
        learned(dict(model.without_next_watch.weights)),
    )
    assert again.version == model.version


def test_shipped_weights_stay_within_their_limits() -> None:
    model = global_model()
    for name, (lowest, highest) in LIMITS_NEXT_WATCH.items():
        assert lowest <= model.weights[name] <= highest
    assert model.trained["limits"] == {name: list(edges) for name, edges in LIMITS_NEXT_WATCH.items()}
    assert model.trained["shownWeights"] == [SHOWN_WEIGHT, SHOWN_WEIGHT_NEXT_WATCH]


def test_shipped_model_reads_next_watch_and_hand_set_features_are_not_learned() -> None:
    model = global_model()
    assert model.weights["next_watch"] > 0.1
    assert set(model.trained["setByHand"]) <= set(NOT_LEARNED)


def test_shipped_popularity_uses_the_last_hour_only() -> None:
    weights: LinearModel = popularity_model()
    assert {name: weights.weights[name] for name in ("demand_1h", "demand_6h", "demand_24h", "demand_7d")} == {
        "demand_1h": 1.0,
        "demand_6h": 0.0,
        "demand_24h": 0.0,
        "demand_7d": 0.0,
    }
