"""Text has one normal form in every API and contains no hidden or direction-changing characters."""

from __future__ import annotations

import json
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.documents.port import VIDEOS, Upsert
from shared.domain.rules import Rule
from shared.domain.text import clean, composed, what_is_wrong, without_odd_characters
from tests.cms.editor import RULE, VIDEO, Editor, new_editor
from tests.served_app import App, make_video, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPOSED, DECOMPOSED = "café", "cafe\u0301"
REFUSED = {
    "only a space of no width": "\u200b",
    "only joiners": "\u200d\u200c",
    "only a filler": "\u3164",
    "only a mark": "\u200f",
    "only an empty pattern of dots": "\u2800",
    "a bell": "a\x07b",
    "a zero": "a\x00b",
    "an escape": "\x1b[31mred",
    "a control of 8 bits": "a\x9bb",
    "a deletion": "a\x7fb",
    "an override": "invoice\u202efdp.exe",
    "an embedding": "a\u202ab",
    "an open isolate": "a\u2067b",
    "an isolate ended twice": "a\u2066b\u2069\u2069",
    "a mark of the byte order inside": "a\ufeffb",
    "private use": "a\ue000b",
    "no character": "a\ufdd0b",
    "no character of a high plane": "a\U0001fffeb",
    "tags without a flag": "a\U000e0061\U000e007f",
}
FINE = (
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family",  # with joiners
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # the flag of England
    "\u2764\ufe0f\U0001f44d\U0001f3fd",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd\u200f!",  # pointed Hebrew with a direction mark
    "\u0e20\u0e32\u0e29\u0e32\u200b\u0e44\u0e17\u0e22",  # Thai with word breaks
    "\u2068name\u2069 and more",
    "two\nlines\tand a tab",
    "\u0928\u093f\u0930\u094d\u200d",
    "\U0001fae8",  # newer than some Unicode tables
)


async def read(editor: Editor, id: str = "v1") -> dict[str, Any]:
    video: dict[str, Any] = (await editor.get(f"videos/{id}")).json
    return video


# ---- one normal form


async def test_text_is_stored_in_normal_form_c_by_every_api_and_import(app: App) -> None:
    editor = await new_editor(app)
    video = {
        **VIDEO,
        "title": DECOMPOSED,
        "mainTag": DECOMPOSED,
        "tags": [DECOMPOSED, COMPOSED],
        "creatorId": DECOMPOSED,
    }
    expected = {"title": COMPOSED, "mainTag": COMPOSED, "tags": [COMPOSED], "creatorId": COMPOSED}
    await editor.post("videos", {"id": "v1", **video})
    await editor.post("imports", {"videos": [{"id": "v2", **video}]})
    await editor.post("videos", {"id": "v3", **VIDEO})
    await editor.change("PATCH", "videos/v3", {name: video[name] for name in expected})
    for id in ("v1", "v2", "v3"):
        stored = await app.documents.read(VIDEOS, editor.tenant_id, id)
        assert stored is not None
        assert {name: stored.body[name] for name in expected} == expected
    for name in expected:
        if name != "creatorId":
            query = {"q" if name == "title" else "category" if name == "mainTag" else "tag": DECOMPOSED}
            assert len((await editor.get("videos", **query)).json["videos"]) == 3
    rule = {
        "id": "one",
        **RULE,
        "match": {name: [DECOMPOSED] for name in ("tags", "allTags", "categories", "creators")},
    }
    match = (await editor.post("rules", rule)).json["match"]
    assert all(match[name] == [COMPOSED] for name in ("tags", "allTags", "categories", "creators"))


@pytest.mark.parametrize("tag", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("ruled", [COMPOSED, DECOMPOSED])
async def test_rule_matches_text_stored_earlier_in_another_form(app: App, tag: str, ruled: str) -> None:
    stored = make_video("v1", tag, tags=(tag,), creator=tag)
    editor = await new_editor(app, [stored, *make_videos(4)])
    assert len((await editor.client.feed()).ids) == 5
    for part in ("tags", "categories", "creators"):
        rule = {"name": "No", "action": "exclude", "match": {part: [ruled]}}
        assert (await editor.post("rules", {"id": part, **rule})).status == 201
        await editor.seen()
        assert "v1" not in (await editor.client.feed()).ids
        await editor.change("DELETE", f"rules/{part}")
    assert Rule.from_document({"action": "boost", "match": {"tags": [ruled]}}).condition.tags == (COMPOSED,)  # type: ignore[union-attr]


async def test_text_stored_in_another_form_is_one_category_in_signals(app: App) -> None:
    videos = [make_video(f"v{n}", form, tags=(form,)) for n, form in enumerate((COMPOSED, DECOMPOSED))]
    client = await app.tenant([*videos, *make_videos(4)])
    now = int(app.clock.now() * 1000)
    view = {"type": "video_view", "watchTimeMs": 20_000, "timestamp": now}
    events = [{**view, "videoId": video.id} for video in videos]
    assert (await client.post(events)).status == 202
    await app.folded()
    await client.feed()
    signals = (await client.signals()).json
    views = {name: stats["views"] for name, stats in signals["categoryStats"].items()}
    assert views == {COMPOSED: pytest.approx(2, abs=0.01)}, "decayed by a minute where one begins in between"
    assert {item["mainTag"] for item in (await client.feed()).json["items"] if item["videoId"] in ("v0", "v1")} == {
        COMPOSED
    }


# ---- invisible characters


@pytest.mark.parametrize("name", REFUSED)
async def test_hiding_or_direction_changing_characters_are_refused(app: App, name: str) -> None:
    editor, odd = await new_editor(app), REFUSED[name]
    for payload, field in (
        ({**VIDEO, "title": odd}, "title"),
        ({**VIDEO, "mainTag": odd}, "mainTag"),
        ({**VIDEO, "tags": ["a", odd]}, "tags[1]"),
        ({**VIDEO, "creatorId": odd}, "creatorId"),
    ):
        refused = await editor.post("videos", {"id": "v1", **payload})
        assert (refused.status, refused.json["errors"][0]["field"]) == (422, field)
        assert refused.json["errors"][0]["code"] == "unreadable_text"
        row = (await editor.post("imports", {"videos": [{"id": "v1", **payload}]})).json["rows"][0]
        assert (row["status"], row["errors"][0]["field"]) == ("rejected", field)
    for path, payload, field in (
        ("rules", {"id": "one", **RULE, "name": odd}, "name"),
        ("rules", {"id": "one", **RULE, "match": {"allTags": [odd]}}, "match.allTags[0]"),
        ("playlists", {"id": "one", "name": "One", "description": odd}, "description"),
        ("experiments", {"id": "one", "name": "A", "arms": [{"name": odd, "percent": 5}, {"name": "b", "percent": 5}]},
         "arms[0].name"),
        ("keys", {"name": odd, "scopes": ["sdk"]}, "name"),
    ):  # fmt: skip
        key = editor.with_key(app.ops_key) if path == "keys" else editor
        refused = await key.post(path, payload)
        assert (refused.status, refused.json["errors"][0]["field"]) == (422, field)
        assert odd not in refused.json["detail"]


@pytest.mark.parametrize("escape", ["\\ud83d", "\\ude00", "\\ud83d\\ud83d", "\\\\\\udc00"])
async def test_lone_surrogate_is_refused_by_the_name_of_its_field(app: App, escape: str) -> None:
    editor = await new_editor(app)
    body = json.dumps({"id": "v1", **VIDEO, "title": "HERE"}).replace("HERE", f"cut {escape}").encode()
    refused = await editor.post("videos", body)
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "title")
    assert refused.json["detail"] == "title has half of a character, such as an emoji that was cut. Write it again."
    whole = body.replace(f"cut {escape}".encode(), b"whole \\ud83d\\ude00 \\\\ud83d")
    assert (await editor.post("videos", whole)).json["title"] == "whole \U0001f600 \\ud83d"


@pytest.mark.parametrize("text", FINE)
async def test_scripts_and_emoji_that_need_joiners_and_marks_are_accepted(app: App, text: str) -> None:
    editor = await new_editor(app)
    created = await editor.post("videos", {"id": "v1", **VIDEO, "title": text, "tags": [text]})
    assert (created.status, created.json["title"], created.json["tags"]) == (201, composed(text), [composed(text)])
    await editor.seen()
    assert (await editor.client.feed()).json["items"][0]["title"] == composed(text)


async def test_invisible_characters_around_a_text_are_stripped(app: App) -> None:
    editor = await new_editor(app)
    created = await editor.post(
        "videos", {"id": "v1", **VIDEO, "title": "\ufeff\u200b Core \u2060\u00a0", "tags": ["a", "a\u200b"]}
    )
    assert (created.json["title"], created.json["tags"]) == ("Core", ["a"])


async def test_invalid_stored_text_does_not_block_other_changes(app: App) -> None:
    odd = make_video("v1").to_document() | {"title": "a\x07b", "tags": ["\u200b", "\u202ex"]}
    editor = await new_editor(app)
    await app.documents.write(VIDEOS, editor.tenant_id, [Upsert(odd)])
    changed = await editor.change("PATCH", "videos/v1", {"durationSeconds": 5})
    assert (changed.status, changed.json["title"]) == (200, "a\x07b")
    assert (await editor.change("PATCH", "videos/v1", {"title": "a\x07c"})).status == 422


async def test_reason_is_stored_without_invalid_characters_and_blocks_nothing(app: App) -> None:
    editor = await new_editor(app, make_videos(1))
    down = await editor.call("POST", "videos/vid_fitness_1/takedown", b'{"reason": "court\\u202e\\n order \\ud83d"}')
    assert down.status == 200
    entry = (await editor.get("audit")).json["entries"][0]
    assert entry["why"] == "court order"


# ---- for all texts


@given(st.text() | st.text("\u200b\u200d\u0301e\ufeff \u3164a\u2028", max_size=6))
@example("\u0344")
async def test_cleaning_a_text_twice_equals_cleaning_it_once(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert what_is_wrong(without_odd_characters(text)) in (None, "has no visible character.")


@given(st.text(min_size=1) | st.text("\u200b\u200d\u202e\u2066\u2069a\x07\ue000\u0301\u3164 ", min_size=1, max_size=6))
async def test_any_accepted_text_is_nfc_and_has_a_visible_character(app: App, text: str) -> None:
    editor = await an_editor(app)
    read = await editor.post("imports", {"videos": [{"id": "v1", **VIDEO, "title": text}]})
    taken = read.json["rows"][0]["status"] != "rejected"
    if taken:
        title = (await editor.get("videos/v1")).json["title"]
        assert unicodedata.is_normalized("NFC", title)
        assert any(unicodedata.category(character)[0] in "LNPS" or ord(character) > 0x2FF for character in title)
        assert not any(unicodedata.category(each) in ("Cs", "Co") or each in "\u202e\u202d\x07\x00" for each in title)


_EDITORS: list[Editor] = []


async def an_editor(app: App) -> Editor:
    """One editor for all examples."""
    if not _EDITORS:
        _EDITORS.append(await new_editor(app))
    return _EDITORS[0]


async def test_cleaning_long_text_takes_linear_time() -> None:
    for text in ("\u0301\u0316" * 250_000, " " * 500_000 + "x" + " " * 500_000, "\u200b" * 500_000):
        started = time.thread_time()
        what_is_wrong(clean(text))
        assert time.thread_time() - started < 5
