"""Performance reports sum daily statistics by video and by category."""

from __future__ import annotations

import pytest

from shared.adapters.documents.port import VIDEOS, Delete
from tests.cms.editor import Editor, new_editor
from tests.served_app import App, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

COOKING, FITNESS = "vid_cooking_1", "vid_fitness_1"


async def with_views(app: App) -> Editor:
    """Three views of a cooking video with a like, one of a fitness video that fails, each by another viewer."""
    editor = await new_editor(app, make_videos(6), count_anonymous_events=True)
    for id, kinds in ((COOKING, ("video_view", "like")), (COOKING, ("video_view", "complete")),
                      (COOKING, ("video_view",)), (FITNESS, ("video_view", "playback_error"))):  # fmt: skip
        viewer = editor.client.as_user()
        served = (await viewer.feed()).json["feedRequestId"]
        at = app.now_ms(1)
        await viewer.post(
            [{"type": kind, "videoId": id, "timestamp": at, "feedRequestId": served,
              **({"watchTimeMs": 20_000} if kind == "video_view" else {})} for kind in kinds]
        )  # fmt: skip
    await app.folded()
    await app.rolled_up()
    return editor


async def test_performance_is_reported_in_total_by_day_video_and_category(app: App) -> None:
    editor = await with_views(app)
    answer = (await editor.get("performance", days=28)).json
    assert (answer["days"], answer["by"], answer["rowCount"], len(answer["series"])) == (28, "video", 2, 28)
    total = answer["total"]
    assert (total["views"], total["watchTimeMs"], total["likes"], total["playbackErrors"]) == (4, 80_000, 1, 1)
    assert total["completions"] == 1
    assert [(row["id"], row["views"]) for row in answer["rows"]] == [(COOKING, 3), (FITNESS, 1)]
    assert answer["rows"][0]["title"] == "vid cooking 1"
    assert sum(day["views"] for day in answer["series"]) == 4
    assert [day["day"] for day in answer["series"]] == sorted(day["day"] for day in answer["series"])
    assert set(answer["rest"].values()) == {0}
    categories = (await editor.get("performance", by="category", sort="playbackErrors")).json["rows"]
    assert [(row["id"], row["title"], row["views"]) for row in categories] == [
        ("fitness", "fitness", 1),
        ("cooking", "cooking", 3),
    ]
    one = (await editor.get("performance", video=FITNESS)).json
    assert (one["total"]["views"], sum(day["views"] for day in one["series"]), one["rowCount"]) == (1, 1, 1)
    of_category = (await editor.get("performance", category="cooking", limit=1)).json
    assert (of_category["total"]["views"], len(of_category["rows"])) == (3, 1)


async def test_statistics_of_a_deleted_video_stay_in_the_total(app: App) -> None:
    editor = await with_views(app)
    await editor.get("videos")
    await app.services.documents.write(VIDEOS, editor.tenant_id, [Delete(COOKING)])
    await editor.get("videos")  # notices the deletion
    answer = (await editor.get("performance")).json
    assert [row["id"] for row in answer["rows"]] == [FITNESS]
    assert (answer["total"]["views"], answer["rest"]["views"]) == (4, 3)


async def test_a_tenant_without_events_has_zeros_and_no_rows(app: App) -> None:
    answer = (await (await new_editor(app, make_videos(3))).get("performance", days=90)).json
    assert (len(answer["series"]), answer["rows"], answer["total"]["views"]) == (90, [], 0)


async def test_invalid_values_are_refused_and_videos_of_other_tenants_not_found(app: App) -> None:
    editor = await new_editor(app)
    for query, code in (
        ({"by": "rule"}, "invalid_by"),
        ({"days": 30}, "invalid_days"),
        ({"sort": "id"}, "invalid_sort"),
        ({"limit": 0}, "invalid_limit"),
        ({"video": COOKING}, "not_found"),
    ):
        assert (await editor.get("performance", **query)).code == code
