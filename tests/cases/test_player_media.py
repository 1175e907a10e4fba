"""Player media (renditions, captions, metadata): written by every API, kept by every save, in feeds on request."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from feed.catalog import Catalog
from shared.adapters.documents.port import Document
from shared.domain.player_media import INCLUDES
from shared.domain.records import Video
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.served_app import App, make_video

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINK = "https://cdn.example/a/720.m3u8"
MEDIA: dict[str, Any] = {
    "posterUrl": "https://cdn.example/a/poster.jpg",
    "width": 720,
    "height": 1280,
    "action": {"label": "Buy the mat", "url": "https://shop.example/mat"},
    "renditions": [
        {"url": LINK, "width": 720, "height": 1280, "bitrate": 2_500_000, "codecs": "avc1.64001f,mp4a.40.2"},
        {"url": "https://cdn.example/a/audio.m3u8"},
    ],
    "captions": [{"url": "https://cdn.example/a/en.vtt", "language": "en"}],
    "metadata": {"sku": "A-12", "price": 9.5, "stock": 3, "sale": True},
}
ALWAYS = ("posterUrl", "width", "height", "action")


async def with_media(app: App) -> Editor:
    editor = await new_editor(app, [make_video("vid_plain")])
    assert (await editor.post("videos", {"id": "vid_rich", **VIDEO, **MEDIA})).status == 201
    await editor.seen()
    return editor


async def items(editor: Editor, **query: Any) -> dict[str, dict[str, Any]]:
    return {item["videoId"]: item for item in (await editor.client.feed(**query)).json["items"]}


async def test_written_player_media_reads_back_and_can_be_sent_back(app: App) -> None:
    editor = await with_media(app)
    read = (await editor.get("videos/vid_rich")).json
    assert {name: read[name] for name in MEDIA} == MEDIA
    assert (await editor.change("PUT", "videos/vid_rich", read)).json["metadata"] == MEDIA["metadata"]
    assert (await editor.post("imports", (await editor.get("videos")).json)).json["counts"] == {"unchanged": 2}
    plain = (await editor.get("videos/vid_plain")).json
    assert [plain[name] for name in MEDIA] == [None, None, None, None, [], [], {}]


async def test_saving_another_field_keeps_all_player_media(app: App) -> None:
    editor = await with_media(app)
    after = (await editor.change("PATCH", "videos/vid_rich", {"title": "Another"})).json
    assert {name: after[name] for name in MEDIA} == MEDIA
    taken = (await editor.post("videos/vid_rich/takedown")).json
    assert {name: taken[name] for name in MEDIA} == MEDIA


async def test_feeds_include_small_media_fields_always_and_the_rest_on_request(app: App) -> None:
    editor = await with_media(app)
    found = await items(editor)
    assert {name: found["vid_rich"].get(name) for name in MEDIA} == {
        **{name: MEDIA[name] for name in ALWAYS},
        **dict.fromkeys(INCLUDES),
    }
    assert not set(MEDIA) & set(found["vid_plain"]), "a video without them costs no byte more"
    for asked in ("renditions", "captions,metadata", " metadata , renditions,captions,"):
        names = {name.strip() for name in asked.split(",")} - {""}
        found = await items(editor, include=asked)
        assert {name: found["vid_rich"][name] for name in names} == {name: MEDIA[name] for name in names}
        assert {name for name in found["vid_rich"] if name in INCLUDES} == names
        assert [found["vid_plain"][name] for name in sorted(names)] == [
            {} if n == "metadata" else [] for n in sorted(names)
        ]


@pytest.mark.parametrize("asked", ["everything", "renditions,score", "Renditions", "metadata;captions"])
async def test_unknown_include_name_is_refused(app: App, asked: str) -> None:
    editor = await with_media(app)
    answer = await editor.client.feed(include=asked)
    assert (answer.status, answer.code) == (400, "invalid_include")


async def test_empty_include_counts_as_not_sent(app: App) -> None:
    editor = await with_media(app)
    for asked in ("", "null", ","):
        assert (await editor.client.feed(include=asked)).status == 200


async def test_page_is_sent_anew_when_an_included_field_changed(app: App) -> None:
    editor = await with_media(app)
    page = await editor.client.feed(include="metadata")
    assert (await editor.client.feed({"If-None-Match": page.headers["Etag"]}, include="metadata")).status == 304
    assert (await editor.client.feed({"If-None-Match": page.headers["Etag"]})).status == 200
    await editor.change("PATCH", "videos/vid_rich", {"metadata": {"sku": "B-1"}})
    await editor.seen()
    now = await editor.client.feed({"If-None-Match": page.headers["Etag"]}, include="metadata")
    assert now.status == 200
    assert [item["metadata"] for item in now.json["items"] if item["videoId"] == "vid_rich"] == [{"sku": "B-1"}]


async def test_links_in_player_media_are_stored_as_every_client_reads_them(app: App) -> None:
    editor = await with_media(app)
    odd, read = "https://CDN.example/a|b.vtt", "https://cdn.example/a%7Cb.vtt"
    change = {
        "posterUrl": odd,
        "renditions": [{"url": odd}],
        "captions": [{"language": "en_US", "url": odd}],
        "action": {"label": "Buy", "url": odd},
    }
    after = (await editor.change("PATCH", "videos/vid_rich", change)).json
    assert after["posterUrl"] == after["renditions"][0]["url"] == after["captions"][0]["url"] == read
    assert (after["action"]["url"], after["captions"][0]["language"]) == (read, "en-us")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"posterUrl": "http://cdn.example/a.jpg"}, "posterUrl", "invalid_link"),
        ({"renditions": [{"url": "https://user@cdn.example/a"}]}, "renditions[0].url", "invalid_link"),
        ({"renditions": [{"width": 720}]}, "renditions[0].url", "missing"),
        ({"renditions": [{"url": LINK, "fps": 30}]}, "renditions[0].fps", "unknown_field"),
        ({"renditions": [{"url": LINK}] * 21}, "renditions", "too_long"),
        ({"captions": [{"url": LINK, "language": "english please"}]}, "captions[0].language", "format"),
        ({"action": {"label": "", "url": LINK}}, "action.label", "string_too_short"),
        ({"action": {"label": "x", "url": "javascript:alert(1)"}}, "action.url", "invalid_link"),
        ({"width": 0}, "width", "greater_than_equal"),
        ({"height": 1.5}, "height", "int_type"),
        ({"metadata": {"a b": 1}}, "metadata", "invalid_metadata"),
        ({"metadata": {"a": [1]}}, "metadata", "invalid_metadata"),
        ({"metadata": {"a": {"b": 1}}}, "metadata", "invalid_metadata"),
        ({"metadata": {"a": "x" * 2_048}}, "metadata", "too_large"),
    ],
)
async def test_unusable_player_media_is_refused_by_its_field(
    app: App, change: dict[str, Any], field: str, code: str
) -> None:
    editor = await with_media(app)
    answer = await editor.change("PATCH", "videos/vid_rich", change)
    assert (answer.status, answer.code) == (422, "invalid_document")
    assert (answer.json["errors"][0]["field"], answer.json["errors"][0]["code"]) == (field, code)


async def test_table_import_reads_player_media_from_json_cells(app: App) -> None:
    editor = await with_media(app)
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(["id", *VIDEO, "poster url", *(name for name in MEDIA if name != "posterUrl")])
    plain = ["|".join(value) if isinstance(value, list) else value for value in VIDEO.values()]
    cells = [json.dumps(value) if isinstance(value, dict | list) else value for value in MEDIA.values()]
    table.writerow(["vid_table", *plain, *cells])
    table.writerow(["vid_odd", *plain, *cells[:-1], "sku=A-12"])
    table.writerow(["vid_rich", *plain, *cells[:-1], "none"])
    answer = await editor.call("POST", "imports", written.getvalue().encode(), {"Content-Type": "text/csv"})
    rows = answer.json["rows"]
    assert [row["status"] for row in rows] == ["created", "rejected", "updated"]
    assert [error["code"] for error in rows[1]["errors"]] == ["unclear_object"]
    read = (await editor.get("videos/vid_table")).json
    assert {name: read[name] for name in MEDIA} == MEDIA
    assert (await editor.get("videos/vid_rich")).json["metadata"] == {}


async def test_damaged_stored_media_is_left_out_and_costs_nothing_else() -> None:
    body = make_video("vid_1").to_document() | {
        "posterUrl": "no link",
        "width": -3,
        "height": "tall",
        "action": {"label": "x"},
        "renditions": [{"url": "no link"}, "x", {"url": LINK, "bitrate": "fast", "codecs": "a"}],
        "captions": {"url": LINK},
        "metadata": {"a": [1], "b": None, "c": "d"},
    }
    media = Video.from_document(body).media
    assert media.to_document() == {"renditions": [{"url": LINK, "codecs": "a"}], "metadata": {"c": "d"}}


async def test_catalog_stores_nothing_for_videos_without_media() -> None:
    catalog = Catalog("t")
    rich = make_video("rich").to_document() | MEDIA
    for body in (make_video("plain").to_document(), rich):
        catalog.apply(Document("t", body["id"], body, "e"))
    assert len(catalog.included) == 1
    catalog.apply(Document("t", "rich", make_video("rich").to_document(), "e"))
    assert catalog.included == {}
