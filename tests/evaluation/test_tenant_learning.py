from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.tenant_kinds import KINDS, Kind, generated, part_of
from evaluation.tenant_learning import learn, learn_all, tenants_markdown, tenants_of
from learning.log import Log

SMALL = Kind(40, 24.0, videos=60, days=3)


@pytest.mark.parametrize("name", KINDS)
def test_every_tenant_kind_gives_equal_logs_for_equal_seeds(name: str) -> None:
    kind = replace(KINDS[name], users=30, days=2)
    one, same = generated(kind, 3), generated(kind, 3)
    assert np.array_equal(one.exposures.video, same.exposures.video)
    assert len(one.exposures) > 30
    assert (np.diff(one.exposures.time) >= 0).all()
    assert bool(one.exposures.long.all()) == kind.seen_only_clicks
    published = np.array([video.published_at for video in one.videos])
    assert (one.exposures.time >= published[one.exposures.video]).all(), "nothing is shown before it is published"


def test_a_part_of_a_log_keeps_whole_users() -> None:
    log = generated(SMALL)
    part = part_of(log, 0.5, seed=1)
    kept = set(part.exposures.user.tolist())
    assert 0 < len(kept) < 40
    assert (np.isin(log.exposures.user, list(kept)).sum()) == len(part.exposures)


def test_generated_tenant_learns_and_its_line_names_the_served_model() -> None:
    found = learn("small", generated(SMALL), 14.0)
    assert len(found["nights"]) == 3
    assert found["requests"] > 0
    assert found["nights"][0]["served"] == "popularity", "nothing was judged yet"
    assert "| small |" in tenants_markdown([found])
    assert [name for name, _ in tenants_of(generated(SMALL), [0.5], 2, ["200 users"])] == [
        "50% of the users, 0",
        "50% of the users, 1",
        "200 users",
    ]


def test_interrupted_run_continues_after_the_last_finished_tenant(tmp_path: Path) -> None:
    def unreachable() -> Log:
        raise AssertionError("a result that is kept is not made again")

    first = list(learn_all([("small, 1", lambda: generated(SMALL))], 14.0, tmp_path))
    again = list(learn_all([("small, 1", unreachable)], 14.0, tmp_path))
    assert again == first
