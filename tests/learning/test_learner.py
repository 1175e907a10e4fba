import numpy as np

from evaluation.synthetic import tastes_log
from learning.learner import DEMAND, Learner, fit_popularity, with_demand_of
from learning.log import Exposures, Log
from learning.replay import Replay
from learning.samples import Collector
from ranking import LinearModel
from ranking.model import global_model


def learned(log: Log, **options: object) -> Learner:
    replay, learner = Replay(log), Learner("t", **options)
    for visit in replay.walk():
        learner.see(replay, visit)
    learner.end_day()
    return learner


def without_tastes(log: Log, seed: int = 0) -> Log:
    """Return the same log with outcomes drawn anew, alike for everybody: nothing personal can be learned from it."""
    shown = log.exposures
    draw = np.random.default_rng(seed)
    appeal = draw.random(len(log.videos)) * 0.6
    long = draw.random(len(shown)) < appeal[shown.video]
    columns = {name: getattr(shown, name) for name in Exposures.__dataclass_fields__}
    columns |= {"long": long, "watch_ms": np.where(long, 20_000.0, 1_000.0)}
    return Log(log.videos, log.users, log.history, Exposures(**columns))


def test_tenant_with_tastes_gets_a_personal_model_and_one_without_keeps_popularity() -> None:
    log = tastes_log(users=80, videos=100, days=4, a_day=6)
    nights = learned(log).nights
    assert not nights[0].decision.personal, "nothing was judged yet"
    assert nights[0].lift is None
    assert nights[-1].decision.personal
    assert nights[-1].served is nights[-1].personal
    assert nights[-1].lift is not None
    assert nights[-1].lift.low > 0
    plain = learned(without_tastes(log)).nights
    assert not any(night.decision.personal for night in plain)
    assert plain[-1].served is plain[-1].popularity


def test_equal_logs_give_equal_versions_and_the_report_gives_the_reason() -> None:
    log = tastes_log(users=40, videos=80, days=3)
    one, same = learned(log), learned(log)
    assert [night.report() for night in one.nights] == [night.report() for night in same.nights]
    report = one.nights[-1].report()
    assert report["served"] in ("personal", "popularity")
    assert report["why"]
    assert len(report["lift"]) == 3


def test_little_data_stays_near_the_global_weights_and_much_leaves_them() -> None:
    far = LinearModel.checked("far", {"demand_1h": 4.0, "demand_7d": 0.0, "quality": 0.0, "editorial_boost": 1.0})
    distance = {}
    for users, shrink in ((60, 10.0), (60, 1e-5)):
        log = tastes_log(users=users, videos=80, days=3)
        replay, collector = (
            Replay(log, tables=False),
            Collector(("demand_1h", "demand_6h", "demand_24h", "demand_7d", "quality")),
        )
        for visit in replay.walk():
            collector.see(replay, visit)
        weights = fit_popularity(collector.samples(), far, shrink, "p").weights
        assert weights["editorial_boost"] == 1.0, "what no log teaches stays as it is"
        distance[shrink] = abs(weights["demand_1h"] - 4.0)
    assert distance[10.0] < 0.3 < distance[1e-5]


def test_fit_starts_from_the_tenants_demand_and_the_global_rest() -> None:
    own = LinearModel.checked("own", {"demand_1h": 0.5, "demand_7d": 0.9})
    start = with_demand_of(global_model(), own)
    for weights, whole in (
        (start.weights, global_model().weights),
        (start.suited(next_watch=False).weights, global_model().suited(next_watch=False).weights),
    ):
        assert [weights[name] for name in DEMAND] == [0.5, 0.0, 0.0, 0.9]
        assert all(weights[name] == whole[name] for name in whole if name not in DEMAND)


def test_tenant_with_few_choices_stays_near_the_global_weights() -> None:
    nights = learned(tastes_log(users=40, videos=80, days=2)).nights
    personal = nights[-1].personal
    assert abs(personal.weights["next_watch"] - global_model().weights["next_watch"]) < 0.2
    assert personal.weights["quality"] >= 1.2
