import numpy as np

from ranking import CatalogStats, LinearModel, StatsTable, VideoColumns
from tests.ranking.catalogs import NOW, make_catalog, make_videos


def test_events_added_to_the_table_later_reach_the_static_features() -> None:
    columns, table = VideoColumns(make_videos(50)), StatsTable()
    stats = CatalogStats(columns, table)
    before = stats.static(NOW)
    table.add([("vid_7", NOW, "video_view", 60_000, 60.0)] * 20)
    after = stats.static(NOW)
    assert before.values["demand_24h"].tolist() == [0.0] * 50
    assert after.values["demand_24h"].argmax() == columns.row("vid_7")


def test_every_replaced_table_is_noticed_even_when_memory_is_reused() -> None:
    columns = VideoColumns(make_videos(10))
    stats = CatalogStats(columns)
    for turn in range(30):
        table = StatsTable()
        table.add([(f"vid_{turn % 10}", NOW, "video_view", 60_000, 60.0)] * 3)
        stats.replace(table)
        if turn % 3:
            assert stats.static(NOW).values["demand_24h"].argmax() == columns.row(f"vid_{turn % 10}")


def test_static_features_are_computed_once_per_minute_and_version() -> None:
    columns, stats = make_catalog(make_videos(20))
    first = stats.static(NOW)
    assert first.now % 60 == 0
    assert stats.static(first.now + 59) is first
    assert stats.static(first.now + 60) is not first
    again = stats.static(NOW)
    columns.remove("vid_3")
    assert stats.static(NOW) is not again


def test_the_static_score_is_the_weighted_sum_of_the_static_features() -> None:
    columns, stats = make_catalog(make_videos(40))
    model = LinearModel.checked("m", {"demand_24h": 0.5, "editorial_boost": -2.0, "category_affinity": 9.0})
    values = stats.static(NOW).values
    expected = 0.5 * values["demand_24h"].astype(float) + -2.0 * values["editorial_boost"].astype(float)
    assert np.allclose(stats.static_score(model, NOW), expected, rtol=0, atol=1e-12)
    assert len(stats.static_score(model, NOW)) == len(columns)


def test_the_static_score_is_cached_per_model_and_follows_new_statistics() -> None:
    _, stats = make_catalog(make_videos(40))
    models = [LinearModel.checked("m", {"demand_24h": weight}) for weight in (1.0, 2.0)]
    scores = [stats.static_score(model, NOW) for model in models]
    assert all(stats.static_score(model, NOW) is score for model, score in zip(models, scores, strict=True))
    assert np.array_equal(2 * scores[0], scores[1])
    stats.table.add([("vid_7", NOW, "video_view", 60_000, 60.0)] * 20)
    assert stats.static_score(models[0], NOW)[7] > scores[0][7]
