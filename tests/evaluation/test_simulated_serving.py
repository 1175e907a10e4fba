from dataclasses import replace

import numpy as np
import pytest

from evaluation.simulated_serving import SimulatedTenant, served_days_markdown
from evaluation.synthetic import DAY, START
from evaluation.tenant_kinds import CROWDS_PLAYS, DISTURBED, Kind, generated, world_of

SMALL = Kind(60, 72.0, videos=80, published_a_day=5, days=4)


@pytest.mark.parametrize("name", DISTURBED)
def test_simulated_tenant_is_the_same_for_equal_seeds(name: str) -> None:
    kind = replace(DISTURBED[name], users=30, days=3, crowd_from=1, tastes_change_on=1)
    one, same = generated(kind, 3), generated(kind, 3)
    assert np.array_equal(one.exposures.video, same.exposures.video)
    assert one.users == same.users


def test_simulated_tastes_change_overnight_only() -> None:
    world = world_of(replace(SMALL, tastes_change_on=2))
    videos = np.arange(80)
    before, same, after = (world.chance(7, videos, START + at * DAY) for at in (0.5, 1.9, 2.1))
    assert np.array_equal(before, same)
    assert np.abs(before - after).max() > 0.05


def test_invented_crowd_starts_on_its_day_and_watches_everything_it_reports() -> None:
    world = world_of(replace(SMALL, crowd=10, crowd_from=2))
    shown = world.log.exposures
    invented = ~world.genuine[shown.user]
    assert world.genuine.sum() == 60
    assert shown.time[invented].min() >= START + 2 * DAY
    assert shown.long[invented].all()
    assert invented.sum() == 10 * 2 * 2 * CROWDS_PLAYS


def test_simulated_tenant_is_served_the_decision_of_the_night_before() -> None:
    days = SimulatedTenant("small", world_of(SMALL)).run()
    assert [day.served for day in days[1:]] == [day.night.decision.personal for day in days[:-1]]
    assert all((day.verdict is None) == (not day.served) for day in days)
    assert days[0].report()["holdout"] == "nothing to judge"
    text = served_days_markdown("small", [day.report() for day in days])
    assert text.count("\n| ") == len(days) + 1
