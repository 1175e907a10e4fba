"""Value search for pickers finds every value that a video has, closest first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cms.videos.values import counted, fitting
from ranking.columns import VideoColumns
from tests.cms.editor import new_editor
from tests.served_app import App, make_video

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = st.text("abAB é", min_size=1, max_size=4).filter(str.strip)


@given(st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=12, unique=True)), max_size=8), NAMES)
async def test_every_value_of_a_video_is_found_by_any_part_of_it(
    videos: list[tuple[str, list[str]]], asked: str
) -> None:
    columns = VideoColumns()
    columns.upsert_all([make_video(f"v{n}", category, tags=tuple(tags)) for n, (category, tags) in enumerate(videos)])
    for field, having in (("categories", [[each] for each, _ in videos]), ("tags", [tags for _, tags in videos])):
        values = counted(columns, field)
        assert {value: many for value, _, many in values} == {
            value: sum(value in each for each in having) for each in having for value in each
        }
        wanted = asked.strip().casefold()
        assert {value for value, _, _ in fitting(values, asked)} == {
            value for value, folded, _ in values if wanted in folded
        }


async def test_closest_values_come_first_and_follow_every_change(app: App) -> None:
    editor = await new_editor(app, [make_video("a", "Sea"), make_video("b", "Seaside"), make_video("c", "Seaside")])

    async def values(field: str, **query: Any) -> list[tuple[str, int]]:
        return [
            (each["value"], each["videos"]) for each in (await editor.get(f"values/{field}", **query)).json["values"]
        ]

    assert await values("categories") == [("Seaside", 2), ("Sea", 1)]
    assert await values("categories", q="SEA") == [("Sea", 1), ("Seaside", 2)]
    answer = (await editor.get("values/categories", q="e", limit=1)).json
    assert ([each["value"] for each in answer["values"]], answer["total"]) == (["Seaside"], 2)
    await editor.change("PATCH", "videos/a", {"mainTag": "sky", "creatorId": "anna", "tags": ["blue", "rock, paper"]})
    assert await values("categories", q="s") == [("Seaside", 2), ("sky", 1)]
    assert await values("categories", q="sea") == [("Seaside", 2)]
    assert await values("creators", q="an") == [("anna", 1)]
    assert await values("tags", q="paper") == [("rock, paper", 1)]
    assert await values("series") == []
    assert (await editor.get("values/colors")).code == "not_found"
    assert (await editor.get("values/tags", limit=0)).code == "invalid_limit"
