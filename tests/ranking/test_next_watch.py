import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.next_watch_network import MATRICES, new_parameters, states
from ranking import NextWatchTable, Tables, UnreadableTable, VideoColumns, build
from ranking.columns import key64
from ranking.next_watch import NextWatch
from shared.domain.records import Video

DIM, HEADS, LENGTH = 16, 4, 6


def video(name: str) -> Video:
    return Video(id=name, title=name, playback_url="", category="c")


def catalog(names: str) -> VideoColumns:
    return VideoColumns([video(name) for name in names])


def parameters(videos: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random parameters of every kind, with vectors as exact as the file stores them."""
    draw = np.random.default_rng(seed)
    p = new_parameters(videos, draw, DIM, HEADS, LENGTH)
    for name in ("place", "widen_bias", "narrow_bias", "bias"):
        p[name] = draw.normal(0, 0.3, p[name].shape).astype(np.float32)
    p["vectors"] = draw.normal(0, 1, p["vectors"].shape).astype(np.float16).astype(np.float32)
    return p


def table_of(names: str, p: dict[str, np.ndarray]) -> NextWatchTable:
    """Return the table of some videos, whose rows in `p` are in the order of their names."""
    keys = np.array([key64(name) for name in names], np.uint64)
    order = np.argsort(keys)
    matrices = {name: p[name] for name in MATRICES}
    return NextWatchTable(keys[order], p["vectors"][order].astype(np.float16), p["bias"][order], matrices, 7.0)


NAMES = "abcdefghij"
P = parameters(len(NAMES))
TABLE = table_of(NAMES, P)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=12))
def test_compiled_state_and_scores_equal_those_of_the_training_code(watched: list[str]) -> None:
    columns = catalog("jihgfedcba")
    bound = NextWatch(columns, TABLE)
    rows = np.array([columns.row(name) for name in reversed(watched)], np.int64)
    state = bound.state(rows)
    assert state is not None
    expected = states(P, np.array([[NAMES.index(name) for name in watched[-LENGTH:]]]))[0, -1]
    assert np.allclose(state, expected, atol=2e-5)
    logits = P["vectors"] @ expected + P["bias"]
    found = bound.scores(state)[[columns.row(name) for name in NAMES]]
    assert np.allclose(found, logits, atol=1e-4)
    log_odds = bound.log_odds(rows)
    assert log_odds is not None
    log_chance = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    assert np.allclose(log_odds[[columns.row(name) for name in NAMES]], log_chance + np.log(len(NAMES)), atol=1e-4), (
        "a log ratio to an even chance"
    )


def test_unknown_long_views_are_dropped_before_the_newest_are_taken() -> None:
    columns = catalog(NAMES + "xyz")
    bound = NextWatch(columns, TABLE)
    known = [columns.row(name) for name in "abcdef"]
    mixed = [columns.row("x"), *known[:3], columns.row("y"), columns.row("z"), *known[3:]]
    assert np.array_equal(bound.state(np.array(mixed)), bound.state(np.array(known)))


def test_user_without_known_long_views_gets_no_feature() -> None:
    columns = catalog(NAMES + "x")
    bound = NextWatch(columns, TABLE)
    assert bound.log_odds(np.zeros(0, np.int64)) is None
    assert bound.log_odds(np.array([columns.row("x")])) is None


def test_new_video_has_the_typical_bias_for_every_user() -> None:
    columns = catalog(NAMES)
    bound = NextWatch(columns, TABLE)
    rows = np.array([columns.row("c"), columns.row("d")])
    before = bound.log_odds(rows)
    for name in "xyz":
        columns.upsert(video(name))
    after, state = bound.log_odds(rows), bound.state(rows)
    assert before is not None
    assert after is not None
    assert state is not None
    assert np.array_equal(after[: len(NAMES)], before), "new videos change nothing for the known ones"
    scores = bound.scores(state)
    assert scores[columns.row("x")] == scores[columns.row("z")] == pytest.approx(P["bias"].mean(), abs=1e-6)


def test_the_reused_row_of_a_removed_video_is_a_new_video() -> None:
    columns = catalog(NAMES)
    bound = NextWatch(columns, TABLE)
    rows = np.array([columns.row("c")])
    state = bound.state(rows)
    assert state is not None
    own = bound.scores(state)[columns.row("b")]
    reused = columns.row("b")
    columns.remove("b")
    columns.upsert(video("new"))
    assert columns.row("new") == reused
    kept = np.delete(P["bias"], NAMES.index("b"))
    assert bound.scores(state)[reused] == pytest.approx(kept.mean(), abs=1e-6)
    columns.remove("new")
    columns.upsert(video("b"))
    assert bound.scores(state)[columns.row("b")] == own


def test_table_reads_back_from_its_file_and_a_damaged_one_is_refused() -> None:
    raw = TABLE.to_bytes()
    back = NextWatchTable.from_bytes(raw)
    assert (back.to_bytes(), back.built_at, back.length) == (raw, 7.0, LENGTH)
    for broken in (b"", raw[:-1], raw[:-1] + bytes([raw[-1] ^ 1]), b"XXXX" + raw[4:]):
        with pytest.raises(UnreadableTable):
            NextWatchTable.from_bytes(broken)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["vectors", "bias", "narrow"])
def test_table_with_a_non_finite_value_is_refused(part: str, value: float) -> None:
    p = {name: each.copy() for name, each in P.items()}
    p[part].flat[3] = value
    with pytest.raises(UnreadableTable, match="not finite"):
        NextWatchTable.from_bytes(table_of(NAMES, p).to_bytes())


def test_the_nightly_file_holds_both_tables_and_older_files_are_read() -> None:
    cowatch = build(np.array([1, 1]), np.sort(np.array([5, 9], np.uint64)), np.zeros(2), built_at=3.0)
    raw = Tables(cowatch, TABLE).to_bytes()
    back = Tables.from_bytes(raw)
    assert back.to_bytes() == raw
    assert back.next_watch is not None
    assert Tables.from_bytes(Tables(cowatch).to_bytes()).next_watch is None
    alone = Tables.from_bytes(cowatch.to_bytes())
    assert (alone.cowatch.built_at, alone.next_watch) == (3.0, None)
    for broken in (raw[:10], raw[:-1], raw[:-9] + b"\0" + raw[-8:]):
        with pytest.raises(UnreadableTable):
            Tables.from_bytes(broken)
