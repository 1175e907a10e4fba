from dataclasses import replace

import numpy as np

from ranking import RankingOptions, global_model, rank
from ranking.explain import ABSENCES, why_absent
from ranking.pins import with_pins
from tests.ranking.catalogs import NOW, make_catalog, make_signals, make_videos

OPTIONS = RankingOptions(NOW)
MODEL = global_model().overridden({"editorial_boost": 50.0})


def ranked(videos, candidates=None):
    columns, stats = make_catalog(videos)
    kept = columns.rows() if candidates is None else candidates
    slate = rank(columns, stats, make_signals(), kept, MODEL, OPTIONS)

    def why(row, page=slate):
        return why_absent(columns, stats, make_signals(), kept, MODEL, OPTIONS, page, int(row))

    return columns, kept, slate, why


def test_every_absent_video_has_a_stage_and_rule_and_every_served_one_none() -> None:
    columns, _, slate, why = ranked(make_videos(120, titles=50), np.arange(100))
    for row in columns.rows():
        absence = why(row)
        assert (absence is None) == (row in slate.rows)
        if absence is not None:
            assert ABSENCES[absence.rule][0] == absence.stage
            assert (absence.rule == "filtered") == (row >= 100)


def test_each_cause_of_absence_is_distinguished() -> None:
    even = [replace(v, editorial_boost=0.0, language=None) for v in make_videos(100)]
    copied = [
        *even,
        replace(even[0], id="copy", editorial_boost=10.0),
        replace(even[0], id="copy 2", editorial_boost=9.0),
    ]
    columns, _, _, why = ranked(copied)
    assert why(columns.row("copy 2")).rule == "near_duplicate"
    busy = [
        *even,
        *(replace(even[i], id=f"b{i}", creator="busy", title=f"b {i}", editorial_boost=10.0) for i in range(9)),
    ]
    columns, kept, _, why = ranked(busy)
    rules = [why(columns.row(f"b{i}")) for i in range(9)]
    assert "creator_cap" in {absence.rule for absence in rules if absence}
    last = min(kept, key=lambda row: -(why(row).place if why(row) else 0))
    assert why(last).rule == "outscored"
    same = [
        replace(v, category="one" if i % 10 else "two", editorial_boost=5.0 if i % 10 else 0)
        for i, v in enumerate(even)
    ]
    columns, kept, _, why = ranked(same)
    assert "streak_cap" in {why(row).rule for row in kept if why(row)}


def test_pins_take_their_places_and_the_others_keep_their_order() -> None:
    _columns, kept, slate, _ = ranked(make_videos(100))
    outside = int(np.setdiff1d(kept, slate.rows)[0])
    inside = int(slate.rows[10])
    page = with_pins(slate, {0: outside, 3: inside}, kept, 20)
    assert page.rows[0] == outside
    assert page.rows[3] == inside
    assert page.pinned == {0, 3}
    assert len(page) == len(set(page.rows.tolist())) == 20
    rest = [row for row in page.rows.tolist() if row not in (outside, inside)]
    assert rest == [row for row in slate.rows.tolist() if row != inside][: len(rest)]


def test_filtered_pin_is_ignored() -> None:
    _columns, kept, slate, _ = ranked(make_videos(100), np.arange(50))
    assert with_pins(slate, {0: 70, -1: 3, 99: 3}, kept, 20) is slate


def test_a_pin_beyond_a_short_page_comes_last() -> None:
    _columns, kept, slate, _ = ranked(make_videos(5))
    page = with_pins(slate, {9: int(slate.rows[0])}, kept, 20)
    assert page.rows.tolist() == [*slate.rows[1:].tolist(), slate.rows[0]]
