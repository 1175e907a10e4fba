"""The list of videos over HTTP filters, sorts, counts, and follows every write."""

from __future__ import annotations

from typing import Any

import pytest

from cms.videos import video_index
from cms.videos.api import VideosApi
from shared.adapters.documents.port import VIDEOS, Delete, Document, DocumentStore, Upsert
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.faulty_documents import Trouble
from tests.served_app import App, eventually, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def listed(editor: Editor, **query: Any) -> list[str]:
    answer = await editor.get("videos", **query)
    assert answer.status == 200, answer.json
    ids = [video["id"] for video in answer.json["videos"]]
    assert answer.json["nextCursor"] or "cursor" in query or answer.json["total"] == len(ids)
    return ids


async def everything(editor: Editor, **query: Any) -> tuple[list[str], set[int]]:
    """Return the ids of every page, and the totals that the pages report."""
    ids, totals, cursor = [], set(), ""
    while cursor is not None:
        page = (await editor.get("videos", **query, cursor=cursor)).json
        assert page["videos"] or not page["nextCursor"], "nothing, while there is more"
        ids += [video["id"] for video in page["videos"]]
        totals.add(page["total"])
        cursor = page["nextCursor"]
    return ids, totals


async def test_filters_narrow_the_list_and_can_be_combined(app: App) -> None:
    editor = await new_editor(app)
    for id, fields in {
        "core": {"title": "Ten minutes of Crème", "creatorId": "anna", "publishedAt": "2025-01-10T12:00:00Z"},
        "later": {"creatorId": "anna", "publishedAt": "2040-01-01T00:00:00Z", "tags": ["gym"], "seriesId": "run"},
        "strong": {"maturityRating": "R", "mainTag": "news", "publishedAt": "2025-02-01T00:00:00Z"},
        "off": {"status": "inactive", "publishedAt": "2025-01-11T00:00:00Z"},
    }.items():
        assert (await editor.post("videos", {"id": id, **VIDEO, **fields})).status == 201
    assert await listed(editor) == ["core", "later", "off", "strong"]
    assert await listed(editor, q="creme TEN") == ["core"]
    assert await listed(editor, creator="anna") == ["core", "later"]
    assert await listed(editor, creator="anna", state="live") == ["core"]
    assert await listed(editor, series="run") == ["later"]
    assert await listed(editor, state="inactive") == ["off"]
    assert await listed(editor, rating="R", category="news") == ["strong"]
    assert await listed(editor, tag="gym") == await listed(editor, state="scheduled") == ["later"]
    assert await listed(editor, publishedFrom="2025-01-11", publishedTo="2025-02-01") == ["off", "strong"]
    assert await listed(editor, publishedTo="2025-01-10T12:00:00Z") == ["core"]
    assert await listed(editor, publishedTo="2025-01-10T11:59:59Z") == []
    assert await listed(editor, prefix="co", q="", state="") == ["core"]
    assert await listed(editor, sort="publishedAt", direction="desc") == ["later", "strong", "off", "core"]
    assert await listed(editor, sort="rating", direction="desc") == ["strong", "off", "later", "core"]


@pytest.mark.parametrize(
    ("query", "code"),
    [({"state": "gone"}, "invalid_state"), ({"rating": "PG-13"}, "invalid_rating"), ({"sort": "size"}, "invalid_sort"),
     ({"direction": "up"}, "invalid_direction"), ({"publishedFrom": "yesterday"}, "invalid_time"),
     ({"publishedTo": "2025-02-30"}, "invalid_time"), ({"q": "x" * 201}, "invalid_search"),
     ({"prefix": "~"}, "invalid_prefix"), ({"limit": 0}, "invalid_limit"), ({"cursor": "x"}, "invalid_cursor")],
)  # fmt: skip
async def test_invalid_value_is_refused_with_its_code(app: App, query: dict[str, Any], code: str) -> None:
    answer = await (await new_editor(app)).get("videos", **query)
    assert (answer.status, answer.code) == (400, code)


async def test_a_cursor_of_another_order_is_refused(app: App) -> None:
    editor = await new_editor(app, make_videos(3))
    for one, other in (({}, {"sort": "title"}), ({"sort": "title"}, {}),
                       ({"sort": "title"}, {"sort": "title", "direction": "desc"})):  # fmt: skip
        cursor = (await editor.get("videos", limit=1, **one)).json["nextCursor"]
        assert (await editor.get("videos", cursor=cursor, **other)).code == "invalid_cursor"


async def test_every_order_lists_every_video_once_with_its_total(app: App) -> None:
    editor = await new_editor(app, make_videos(23))
    for sort in ("id", "title", "views", "state", "updatedAt", "relevance"):
        for direction in ("asc", "desc"):
            ids, totals = await everything(editor, limit=5, sort=sort, direction=direction)
            assert len(ids) == len(set(ids)) == 23
            assert totals == {23}


async def test_the_list_shows_every_write_at_once(app: App) -> None:
    editor = await new_editor(app)
    assert await listed(editor) == []
    await editor.post("videos", {"id": "vid_a", **VIDEO})
    assert await listed(editor, q="core") == ["vid_a"]
    await editor.change("PATCH", "videos/vid_a", {"title": "Yoga"})
    assert (await listed(editor, q="minutes"), await listed(editor, q="yoga")) == ([], ["vid_a"])
    await editor.post("videos/vid_a/takedown")
    assert (await listed(editor, state="live"), await listed(editor, state="taken_down")) == ([], ["vid_a"])
    await editor.post("imports", {"videos": [{"id": "vid_b", **VIDEO}]})
    assert await listed(editor) == ["vid_a", "vid_b"]


async def test_list_follows_writes_of_other_instances(app: App) -> None:
    editor = await new_editor(app, make_videos(2))
    assert await listed(editor, q="news") == []
    body = {**make_videos(1)[0].to_document(), "title": "News", "id": "vid_elsewhere"}
    await app.services.documents.write(VIDEOS, editor.tenant_id, [Upsert(body)])

    async def is_found() -> bool:
        return await listed(editor, q="news") == ["vid_elsewhere"]

    await eventually(is_found)


async def test_videos_that_expired_in_the_store_leave_no_gap_in_a_page(app: App) -> None:
    editor = await new_editor(app, make_videos(9))
    ids = await listed(editor)
    await app.services.documents.write(VIDEOS, editor.tenant_id, [Delete(id) for id in ids[:4]])
    page = (await editor.get("videos", limit=3)).json
    assert [video["id"] for video in page["videos"]] == ids[4:7]
    assert (await everything(editor, limit=3)) == (ids[4:], {5})


async def test_a_change_during_the_first_load_is_not_lost(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = await new_editor(app, make_videos(3))
    read = video_index.stored_videos

    async def read_then_rename(documents: DocumentStore, tenant_id: str) -> list[Document]:
        found = await read(documents, tenant_id)
        body = {**make_videos(1)[0].to_document(), "title": "Renamed"}
        await app.services.documents.write(VIDEOS, editor.tenant_id, [Upsert(body)])
        assert await app.services.catalogs.refresh()
        return found

    monkeypatch.setattr(video_index, "stored_videos", read_then_rename)
    assert await listed(editor, q="renamed") == ["vid_fitness_1"]
    assert await listed(editor, q="fitness", category="fitness") == ["vid_fitness_1"]


async def test_store_outage_is_reported_and_the_next_call_succeeds(app: App) -> None:
    editor = await new_editor(app, make_videos(3))
    with app.documents.in_trouble(Trouble(partitions=frozenset({editor.tenant_id}), reads_fail=True)):
        answer = await editor.get("videos")
        assert (answer.status, answer.code) == (503, "unavailable")
    assert len(await listed(editor)) == 3


async def test_index_evicts_tenants_above_its_limit(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_index, "VIDEOS_HELD", 5)
    one, other = await new_editor(app, make_videos(4)), await new_editor(app, make_videos(4))
    indexes = app.services.apis[VideosApi]._indexes
    assert len(await listed(one)) == len(await listed(other)) == 4
    assert (indexes.holds(one.tenant_id), indexes.holds(other.tenant_id)) == (False, True)
    assert len(await listed(one)) == 4
