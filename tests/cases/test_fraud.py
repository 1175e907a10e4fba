"""Smaller runs of `make prove-fraud`: how far one key or invented users can move a video's rank."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.fraud import BEFORE, NOW_COUNTED, many_users, one_user, trial


@pytest.mark.parametrize(("on_page", "bought"), [(False, 0), (True, 1)])
async def test_one_receipt_counts_one_view_of_its_page(tmp_path: Path, on_page: bool, bought: int) -> None:
    async with trial(tmp_path / "now", NOW_COUNTED) as made:
        outcome = await one_user(made, 60, on_page=on_page)
    assert outcome.bought == bought
    assert outcome.rank_after > 10


async def test_forged_views_reached_the_first_rank_before_the_protection(tmp_path: Path) -> None:
    async with trial(tmp_path / "before", BEFORE) as made:
        outcome = await one_user(made, 300, on_page=False)
    assert (outcome.bought, outcome.rank_after) == (300, 1)


async def test_invented_users_count_one_view_per_served_page(tmp_path: Path) -> None:
    async with trial(tmp_path / "now", NOW_COUNTED) as made:
        outcome = await many_users(made, 20)
    assert outcome.bought == 20
