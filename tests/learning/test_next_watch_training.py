from typing import Any

import numpy as np
import pytest

from learning import next_watch_network as network
from learning import next_watch_training
from learning.next_watch_network import (
    all_videos,
    drawn_videos,
    loss_and_gradients,
    new_parameters,
)
from learning.next_watch_training import (
    Histories,
    Training,
    UnreadableTraining,
    gain_over_frequency,
    histories_of,
    seed_of,
    train_night,
)
from shared.domain.user_signals import MAX_WATCHED

CIRCLES, VIDEOS = 4, 40


def long_views(users: int, a_user: int, seed: int = 0, until: float = 1_000.0) -> tuple[np.ndarray, ...]:
    """Long views of user groups, each of which watches its own videos."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(users), a_user)
    video = draw.integers(0, VIDEOS // CIRCLES, len(who)) * CIRCLES + who % CIRCLES
    return who, (video + 100).astype(np.uint64), draw.random(len(who)) * until


@pytest.mark.parametrize("sampled", [False, True])
def test_gradients_equal_finite_differences(sampled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LOGITS_AT_ONCE", 100)
    draw = np.random.default_rng(0)
    p = {name: value.astype(np.float64) for name, value in new_parameters(40, draw, 16, 2, 10).items()}
    p["place"], p["widen_bias"] = draw.normal(0, 0.3, (2, 10)), draw.normal(0, 0.1, 32)
    p["bias"] = draw.normal(0, 0.1, 40)
    rows = draw.integers(0, 40, (5, 9))
    rows[0, :4], rows[1, :7] = -1, -1
    share = draw.random(40)
    negatives = drawn_videos(share / share.sum(), 12, draw) if sampled else all_videos(40)

    def loss() -> tuple[float, dict[str, np.ndarray]]:
        return loss_and_gradients(p, rows, negatives, 0.2, np.random.default_rng(5))

    _, gradients = loss()
    assert set(gradients) == set(p)
    step, compared = 1e-5, 0
    for name in p:
        for _ in range(8):
            at = tuple(draw.integers(0, size) for size in p[name].shape)
            old = p[name][at]
            p[name][at] = old + step
            above, _ = loss()
            p[name][at] = old - step
            below, _ = loss()
            p[name][at] = old
            assert gradients[name][at] == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-7), name
            compared += 1
    assert compared == 8 * 12


def test_histories_have_the_form_of_stored_signals() -> None:
    users = np.array([7] * 100 + [3, 3, 3])
    keys = np.r_[np.arange(100), 5, 6, 5].astype(np.uint64)
    times = np.r_[np.arange(100), 1.0, 2.0, 3.0]
    found = histories_of(users, keys, times)
    first, second = (
        found.keys[found.rows[low:high]].tolist() for low, high in zip(found.starts, found.starts[1:], strict=False)
    )
    assert first == [6, 5], "each video once, at its newest time, oldest first"
    assert second == list(range(100 - MAX_WATCHED, 100)), "the newest sixty"


def test_model_learns_videos_watched_together_and_beats_frequency() -> None:
    model = train_night(None, histories_of(*long_views(400, 8)), seed_of("t", "2024-01-01"))
    assert model is not None
    later = histories_of(*long_views(400, 8, seed=1))
    gain = gain_over_frequency(model.parameters, later, since=0.0)
    assert gain is not None
    assert gain > 0.7 * np.log(CIRCLES), "four circles can tell log(4) at the most"


def test_repeated_night_gives_one_result_and_another_seed_another() -> None:
    histories = histories_of(*long_views(150, 6))
    one, same, other = (train_night(None, histories, seed) for seed in (1, 1, 2))
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.table(0.0).to_bytes() == same.table(0.0).to_bytes() != other.table(0.0).to_bytes()
    read = Training.from_bytes(one.to_bytes())
    more = histories_of(*long_views(150, 8, seed=3))
    next_night = [train_night(start, more, 5, since=500.0) for start in (one, read)]
    assert next_night[0] is not None
    assert next_night[1] is not None
    assert next_night[0].table(0.0).to_bytes() == next_night[1].table(0.0).to_bytes()


def test_new_videos_get_a_row_and_known_ones_keep_theirs() -> None:
    users, keys, times = long_views(150, 6)
    model = train_night(None, histories_of(users, keys, times), 1)
    assert model is not None
    more = histories_of(np.r_[users, 0], np.r_[keys, np.uint64(9_999)], np.r_[times, 2_000.0])
    after = train_night(model, more, 2, since=1_500.0)
    assert after is not None
    assert after.nights == 2
    assert after.keys.tolist() == [*model.keys.tolist(), 9_999]
    assert len(after.adam.mean["vectors"]) == len(after.parameters["vectors"]) == len(after.keys)
    assert len(model.parameters["vectors"]) == len(model.keys), "the model of the night before is as it was"


def test_model_that_no_longer_predicts_is_retrained_from_scratch() -> None:
    model = train_night(None, histories_of(*long_views(300, 8)), 1)
    assert model is not None
    users, keys, times = long_views(300, 8, seed=1, until=100.0)
    mixed = np.random.default_rng(0).permutation(VIDEOS)[keys.astype(int) - 100] + 100
    strange = histories_of(users, mixed.astype(np.uint64), times + 2_000.0)
    model.nights, model.fresh_gain = 2, 1.0
    after = train_night(model, strange, 2, since=2_000.0)
    assert after is not None
    assert after.nights == 1


def test_nothing_is_learned_when_nobody_has_two_long_views() -> None:
    nobody = histories_of(np.arange(5), np.arange(5).astype(np.uint64), np.arange(5.0))
    assert train_night(None, nobody, 1) is None
    empty = Histories(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0), np.zeros(1, np.int64))
    assert train_night(None, empty, 1) is None
    assert len(histories_of(*(np.zeros(0, kind) for kind in (np.int64, np.uint64, np.float64))).rows) == 0


def test_damaged_or_non_finite_state_is_refused() -> None:
    model = train_night(None, histories_of(*long_views(60, 5)), 1)
    assert model is not None
    raw = model.to_bytes()
    for broken in (b"", raw[:1_000], b"PK" + raw[2:50]):
        with pytest.raises(UnreadableTraining):
            Training.from_bytes(broken)
    model.parameters["bias"][0] = np.nan
    with pytest.raises(UnreadableTraining):
        Training.from_bytes(model.to_bytes())


def test_negatives_are_sampled_when_all_videos_would_be_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def count(share: Any, number: int, draw: Any) -> Any:
        drawn.append(number)
        return drawn_videos(share, number, draw)

    monkeypatch.setattr(next_watch_training, "drawn_videos", count)
    monkeypatch.setattr(next_watch_training, "NEGATIVES", 4)
    histories = histories_of(*long_views(60, 6))
    assert train_night(None, histories, seed=1) is not None
    assert drawn == []
    monkeypatch.setattr(next_watch_training, "MOST_SCORES", 0)
    assert train_night(None, histories, seed=1) is not None
    assert set(drawn) == {4}
