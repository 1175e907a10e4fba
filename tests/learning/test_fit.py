from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.fit import LARGEST, LEAST, fit, minimize_in_box, model_of
from learning.samples import Samples


def choices(names: tuple[str, ...], pull: tuple[float, ...], count: int = 800, seed: int = 0) -> Samples:
    """Choices of one among eight, made by a known model."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 8, len(names))).astype(np.float32)
    chances = np.exp(features @ np.array(pull))
    target = np.zeros((count, 8))
    for row, chance in enumerate(chances):
        target[row, draw.choice(8, p=chance / chance.sum())] = 1.0
    return Samples(
        features.reshape(-1, len(names)),
        target.reshape(-1),
        np.zeros(target.size),
        np.full(count, 8),
        np.ones(count),
        np.zeros(count, bool),
        names,
    )


def test_fit_recovers_the_weights_behind_the_choices() -> None:
    found = fit(choices(("demand_24h", "next_watch", "duration"), (1.0, 0.5, -0.5), 4_000), shrink=1e-6)
    assert found == pytest.approx({"demand_24h": 1.0, "next_watch": 0.5, "duration": -0.5}, abs=0.12)


def test_a_log_that_rewards_skips_teaches_no_model_to_do_so() -> None:
    found = fit(choices(("demand_24h", "recent_skips", "skip_rate"), (0.5, 1.0, 1.0)))
    assert found["recent_skips"] == pytest.approx(-LEAST["recent_skips"], abs=1e-3)
    assert found["skip_rate"] == 0.0


def test_strong_prior_holds_the_weights_and_a_weak_one_does_not() -> None:
    samples = choices(("demand_24h",), (1.0,))
    assert fit(samples, {"demand_24h": 3.0}, shrink=100.0)["demand_24h"] == pytest.approx(3.0, abs=0.05)
    assert fit(samples, {"demand_24h": 3.0}, shrink=1e-6)["demand_24h"] == pytest.approx(1.0, abs=0.2)


def test_choices_of_weight_zero_do_not_change_the_fit() -> None:
    real, noise = choices(("quality",), (1.0,)), choices(("quality",), (-1.0,), seed=1)
    both = Samples(
        np.concatenate([real.features, noise.features]),
        np.concatenate([real.target, noise.target]),
        np.concatenate([real.stands_for, noise.stands_for]),
        np.concatenate([real.sizes, noise.sizes]),
        np.concatenate([real.weights, noise.weights * 0.0]),
        np.concatenate([real.shown, ~noise.shown]),
        real.names,
    )
    assert fit(both) == pytest.approx(fit(real), abs=1e-3)
    assert fit(both.weighing_shown(1.0))["quality"] < fit(real)["quality"] / 2


def test_samples_can_drop_a_feature_or_keep_only_choices_with_it() -> None:
    samples = choices(("quality", "next_watch"), (1.0, 1.0), 10)
    samples.features[:40, 1] = 0.0
    assert samples.leaving_out("next_watch").names == ("quality",)
    assert samples.having("next_watch").sizes.tolist() == [8] * 5
    assert len(samples.having("next_watch").target) == 40


@given(st.integers(0, 10_000), st.lists(st.sampled_from([-0.4, 0.0, 0.3, np.inf]), min_size=4, max_size=4))
def test_bounded_minimum_cannot_be_improved_along_any_weight(seed: int, tops: list[float]) -> None:
    draw = np.random.default_rng(seed)
    root = draw.normal(size=(4, 4))
    curvature = root @ root.T + 0.1 * np.eye(4)
    pull, least, most = draw.normal(size=4), np.array([-np.inf, -0.5, -0.5, -np.inf]), np.array(tops)

    def objective(at):
        return float(0.5 * at @ curvature @ at - pull @ at), curvature @ at - pull, curvature

    found = minimize_in_box(objective, np.zeros(4), least, most)
    assert ((found >= least) & (found <= most)).all()
    gradient = curvature @ found - pull
    assert (gradient[found > least] <= 1e-7).all(), "a weight that may fall would gain nothing by falling"
    assert (gradient[found < most] >= -1e-7).all(), "nor one that may rise by rising"


def test_fit_is_the_same_for_any_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = choices(("demand_24h", "quality", "duration"), (1.0, 0.5, -0.5), 300)
    whole = fit(samples)
    monkeypatch.setattr("learning.fit.ROWS_AT_ONCE", 100)
    assert fit(samples) == pytest.approx(whole, abs=1e-4)


def test_equal_weights_make_an_equal_version_and_other_weights_another() -> None:
    one, same, other = (model_of({"quality": w}, {"bias": 1.0}, {}, "m") for w in (1.0, 1.0, 2.0))
    assert one.version == same.version != other.version


def test_almost_constant_feature_gets_no_disproportionate_weight() -> None:
    samples = choices(("demand_24h", "category_watch"), (1.0, 0.0))
    scale = np.array([1.0, 5e-5], np.float32)
    found = fit(replace(samples, features=samples.features * scale))
    assert abs(found["category_watch"]) < 0.1
    assert found["demand_24h"] > 0.5


def test_learned_weights_stay_within_their_maximum() -> None:
    samples = choices(("demand_24h", "duration"), (3.0, -3.0))
    found = fit(replace(samples, features=samples.features / np.float32(100)), shrink=1e-9)
    assert found == {"demand_24h": LARGEST, "duration": -LARGEST}
