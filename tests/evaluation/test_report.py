from evaluation.report import _explored_lines


def explored(auc: dict[str, float] | None) -> dict[str, object]:
    difference = None if auc is None else [0.05, 0.01, 0.09]
    return {"shown": 1_200, "longViews": 90, "effective": 640.5, "auc": auc, "difference": difference}


def test_explored_outcomes_are_reported_with_their_effective_size() -> None:
    summary = {"against": "popularity", "explored": {"ours": explored({"ours": 0.61, "popularity": 0.56})}}
    line = _explored_lines(summary)[-2]
    assert line == "| ours | 1,200 | 90 | 640 | 0.6100 | 0.5600 | +0.0500 [+0.0100, +0.0900] |"


def test_too_few_explored_outcomes_are_reported_as_counts_only() -> None:
    line = _explored_lines({"against": "popularity", "explored": {"ours": explored(None)}})[-2]
    assert line.endswith("| – | – | – |")


def test_a_log_without_exploration_slots_has_no_such_section() -> None:
    assert _explored_lines({"against": "p", "explored": {"ours": {**explored(None), "shown": 0}}}) == []
