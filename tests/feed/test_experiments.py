"""Experiments assign users to arms by a stable hash."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from events.experiment_statistics import sample_ratio_p
from feed.experiments import arm_of
from shared.domain.records import Arm, Experiment

EXPERIMENT = Experiment(
    "exp-1", "Fresher", (Arm(1, "control", 40.0), Arm(2, "fresh", 40.0), Arm(3, "bold", 10.0)), "running", "salt"
)
USERS = [f"{n:064x}" for n in range(10_000)]


def test_users_fall_into_arms_by_their_shares_and_the_rest_is_outside() -> None:
    found = Counter(arm.name if (arm := arm_of(EXPERIMENT, user)) else "outside" for user in USERS)
    counts = [found["control"], found["fresh"], found["bold"], found["outside"]]
    assert sample_ratio_p(counts, [40, 40, 10, 10]) > 1e-4


def test_another_salt_assigns_users_independently() -> None:
    again = replace(EXPERIMENT, salt="pepper")
    deals = [(arm_of(EXPERIMENT, user), arm_of(again, user)) for user in USERS]
    moved = sum(one == EXPERIMENT.arms[0] and other == EXPERIMENT.arms[1] for one, other in deals)
    assert abs(moved - 1_600) < 200  # 40 % of 40 %, and five standard deviations


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.floats(10, 20))
def test_raising_the_last_arms_share_moves_no_assigned_user(user: str, percent: float) -> None:
    wider = replace(EXPERIMENT, arms=(*EXPERIMENT.arms[:2], replace(EXPERIMENT.arms[2], percent=percent)))
    before, after = arm_of(EXPERIMENT, user), arm_of(wider, user)
    assert before is None or (after is not None and after.number == before.number)


@given(st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_user_stays_in_their_arm(user: str) -> None:
    assert arm_of(EXPERIMENT, user) == arm_of(replace(EXPERIMENT, name="renamed"), user)
