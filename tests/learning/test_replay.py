from dataclasses import replace

import numpy as np

from evaluation.synthetic import DAY, START, tastes_log
from learning.log import Exposures
from learning.replay import Replay, features_of, sessions
from learning.scoring import Contestant, Scorer, options_of
from ranking import FEATURES, global_model, rank
from ranking.rank import score

LOG = tastes_log(users=24, videos=80, days=4)
LOG = replace(LOG, videos=[replace(v, duration_seconds=20.0 + 5 * (i % 3)) for i, v in enumerate(LOG.videos)])
LOG = replace(LOG, exposures=replace(LOG.exposures, liked=LOG.exposures.long & (LOG.exposures.video % 3 == 0)))


def test_shuffling_the_future_changes_no_past_feature() -> None:
    cut = START + 2.5 * DAY
    shown = LOG.exposures
    later = shown.time >= cut
    draw = np.random.default_rng(1)
    columns = {name: getattr(shown, name).copy() for name in Exposures.__dataclass_fields__}
    for name in ("video", "watch_ms", "long", "user"):
        columns[name][later] = draw.permutation(columns[name][later])
    columns["time"][later] = cut + np.sort(draw.random(int(later.sum()))) * DAY
    shuffled = replace(LOG, exposures=Exposures(**columns))
    seen, said = 0, np.zeros(len(FEATURES), np.bool_)
    for one, other in zip(
        (visit_features(log) for log in [LOG]), (visit_features(log) for log in [shuffled]), strict=True
    ):
        for a, b in zip(one, other, strict=False):
            assert np.array_equal(a, b)
            said |= a.any(axis=0)
            seen += 1
    assert seen > 50
    unsaid = {name for name, any_said in zip(FEATURES, said.tolist(), strict=True) if not any_said}
    assert unsaid == {
        "editorial_boost",
        "is_mature",
        "follows_creator",
        "follows_category",
        *(name for name in FEATURES if name.endswith("_match")),
    } - {"duration_match"}, "every feature that this log can show was compared"


def visit_features(log) -> list[np.ndarray]:
    replayed, found = Replay(log), []
    for visit in replayed.walk(START + 2.5 * DAY - 1800):
        found.append(features_of(replayed, visit, visit.pool, tuple(FEATURES)))
    return found


def test_offline_and_online_scores_and_slates_agree_bit_for_bit() -> None:
    replayed, model = Replay(LOG), global_model()
    ours = Contestant("ours", model=model, as_served=True)
    compared = 0
    for visit in replayed.walk():
        if visit.history < 3:
            continue
        scorer = Scorer(replayed, visit, visit.pool)
        online = score(replayed.columns, replayed.stats, visit.signals, visit.pool, model, options_of(visit))
        assert scorer.of(ours).tolist() == online.tolist()
        page = rank(replayed.columns, replayed.stats, visit.signals, visit.pool, model, options_of(visit))
        assert scorer.order(ours).tolist() == page.rows.tolist()
        compared += 1
    assert compared > 100


def test_pool_holds_no_seen_video_and_no_more_than_its_length() -> None:
    replayed = Replay(LOG)
    seen: dict[int, set[int]] = {}
    for visit in replayed.walk():
        before = seen.setdefault(visit.user, set())
        assert not before & set(visit.pool.tolist())
        assert visit.unseen.tolist() == [row not in before for row in visit.shown.tolist()]
        before |= set(visit.shown.tolist())


def test_exposures_within_half_an_hour_are_one_request() -> None:
    times = np.array([0.0, 1_000.0, 2_500.0, 4_400.0, 100.0])
    zeros = np.zeros(5)
    shown = Exposures(np.array([1, 1, 1, 1, 2]), np.arange(5), times, zeros, zeros > 0, zeros > 0, zeros > 0)
    assert [group.tolist() for group in sessions(shown)] == [[0, 1, 2], [4], [3]]


def test_replayed_signals_equal_the_counts_of_the_log() -> None:
    replayed = Replay(LOG)
    for _ in replayed.walk():
        pass
    shown = LOG.exposures
    for user in range(5):
        mine = shown.user == user
        assert len(replayed.signals[user].seen.keys) == mine.sum()
        assert len(replayed.signals[user].watched.keys) == min(20, int(shown.long[mine].sum()))
