import json

import numpy as np
import pytest

from evaluation.__main__ import FALLBACK, FITTED, FULL, LIGHT, main
from evaluation.similar_lists import ANYWHERE, FOR_ANYBODY, POPULAR
from evaluation.synthetic import START, tastes_log
from ranking import LinearModel


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A generated log as the archive's JSON lines beside its videos."""
    folder = tmp_path_factory.mktemp("log")
    log = tastes_log(users=64, videos=160, days=5)
    shown = log.exposures
    lines = [
        {
            "user": log.users[user],
            "type": "video_view",
            "videoId": log.videos[video].id,
            "timestamp": at * 1000,
            "watchTimeMs": watch,
        }
        for user, video, at, watch in zip(
            shown.user.tolist(), shown.video.tolist(), shown.time.tolist(), shown.watch_ms.tolist(), strict=True
        )
    ]
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "videos.jsonl").write_text("\n".join(json.dumps(video.to_document()) for video in log.videos))
    return ["--events", str(folder / "events.jsonl"), "--videos", str(folder / "videos.jsonl")]


def day(number: int) -> str:
    return str(np.datetime64(int(START), "s").astype("datetime64[D]") + number)


def test_trained_model_beats_popularity_and_the_report_counts_evaluations(files, tmp_path) -> None:
    model, out = tmp_path / "model.json", tmp_path / "report"
    trained = ["train", *files, "--train-from", day(1), "--train-until", day(4), "--out", str(model)]
    # The usual limits and weight are those of a log of a million exposures; this one has two thousand.
    trained += ["--shown-weight-next-watch", "1", "--limit", "quality=0:20"]
    assert main(trained) == 0
    assert main(trained) == 2, "a model version is never overwritten"
    replayed = [
        "replay",
        *files,
        "--train-from",
        day(1),
        "--test-from",
        day(4),
        "--model",
        str(model),
        "--out",
        str(out),
    ]
    assert main([*replayed, "--check"]) in (0, 1)
    report = json.loads((out / "report.json").read_text())
    rows = report["contestants"]
    assert rows[LIGHT]["liftOverUsers"]["low"] > 0.1
    assert rows[FULL]["liftOverUsers"]["low"] > 0.1
    assert rows["random"]["ndcg"] < rows[LIGHT]["ndcg"]
    assert {"quality alone", "co-exposure alone"} <= set(rows)
    assert rows["co-exposure alone"]["ndcg"] > rows["random"]["ndcg"]
    assert abs(rows[FALLBACK]["liftOverUsers"]["value"]) < 0.5
    assert rows[FITTED]["liftOverUsers"] is None
    assert "next_watch" in report["dropOne"][f"{FULL}, scores alone"]
    assert "next_watch" not in report["dropOne"][f"{LIGHT}, scores alone"]
    assert report["look"] == 1
    assert report["explored"][FULL]["shown"] == 0
    assert "What chance showed" not in (out / "report.md").read_text(), "this log has no exploration slots"
    assert "look number 1" in (out / "report.md").read_text()
    assert {"lifts.png", "history-0.png", "drop-one-0.png", "drop-one-1.png"} <= {path.name for path in out.iterdir()}
    assert main([*replayed, "--no-drop"]) == 0
    assert json.loads((out / "report.json").read_text())["look"] == 2


def test_stronger_shrinkage_keeps_tenant_weights_closer_to_the_prior(files, tmp_path) -> None:
    weights = {"demand_24h": 1.0, "category_affinity": 1.0, "recent_category": 1.0, "category_skips": -0.5}
    prior = LinearModel.checked("prior", {**weights, "recent_skips": -0.6, "next_watch": 1.0})
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(prior.to_document()))
    distances = []
    for strength in ("0.0001", "10"):
        out = tmp_path / f"{strength}.json"
        command = ["train", *files, "--train-from", day(1), "--train-until", day(4), "--out", str(out)]
        assert main([*command, "--prior", str(path), "--shrink", strength]) == 0
        weights = json.loads(out.read_text())["weights"]
        distances.append(sum(abs(weights[name] - prior.weights.get(name, 0.0)) for name in weights))
    assert distances[1] < distances[0] / 5


def test_similar_lists_beat_popular_ones_with_tables_from_before_the_test_days(files, tmp_path) -> None:
    out = tmp_path / "similar"
    assert main(["similar", *files, "--test-from", day(3), "--tables", str(tmp_path), "--out", str(out)]) == 0
    report = json.loads((out / "similar.json").read_text())
    lists = report["lists"]
    assert report["pairs"] > 100
    assert lists[FOR_ANYBODY]["overPopular"]["low"] <= lists[FOR_ANYBODY]["overPopular"]["value"]
    assert lists[FOR_ANYBODY]["hitRate"] > lists[ANYWHERE]["hitRate"], "users of this log watch a category of their own"
    assert lists[POPULAR]["overPopular"]["value"] == 0.0
    assert POPULAR in (out / "similar.md").read_text()
    (table,) = tmp_path.glob("*.bin")
    assert table.stem.endswith(f"-{int(START) + 3 * 86_400}"), "of the midnight before the test days, and none since"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "--videos", "x", "--test-from", "2024-01-01", "--out", "o"], "Give either"),
        (
            ["replay", "--exposures", "no.parquet", "--videos", "x", "--test-from", "2024-01-01", "--out", "o"],
            "does not exist",
        ),
    ],
)
def test_bad_input_gets_a_one_line_error(arguments, message, capsys) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_missing_parquet_column_is_named(tmp_path, capsys) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"user_id": [1]}), tmp_path / "e.parquet")
    arguments = ["replay", "--exposures", str(tmp_path / "e.parquet"), "--videos", "x", "--test-from", "2024-01-01"]
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    assert "lacks the column(s) video_id" in capsys.readouterr().err
