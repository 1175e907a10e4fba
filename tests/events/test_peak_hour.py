"""Simulates the peak hour: the planned number of drainers is enough, half of it is not."""

from __future__ import annotations

from benchmarks.peak_hour import simulate
from infra import capacity, figures

INPUTS = figures.read().after


def test_planned_drainers_keep_up_and_clear_ten_minutes_of_backlog() -> None:
    drainers = capacity.needs(3_000, INPUTS).rollup_instances
    looks, _ = simulate(3_000, drainers)
    cleared = [look for look in looks if look.oldest_seconds < 120]
    assert cleared
    assert cleared[0].minute <= 45
    assert looks[looks.index(cleared[0]) :] == cleared, "and it stays so"


def test_half_of_the_planned_drainers_fall_behind() -> None:
    drainers = capacity.needs(3_000, INPUTS).rollup_instances // 2
    looks, _ = simulate(3_000, drainers, minutes=20, backlog_seconds=0)
    assert looks[-1].waiting > looks[0].waiting > 0


def test_the_simulation_gives_the_same_numbers_every_time() -> None:
    assert simulate(600, 2, minutes=10) == simulate(600, 2, minutes=10)
