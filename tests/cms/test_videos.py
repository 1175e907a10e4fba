"""Takedowns under concurrent edits, and the order of checks on videos."""

from __future__ import annotations

import pytest

from shared.adapters.documents.port import VIDEOS
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.faulty_documents import Trouble
from tests.served_app import Answer, App

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def takedown_after_an_edit(editor: Editor, headers: dict[str, str] | None = None) -> Answer:
    """Take `vid_a` down while another editor saves it between the read and the write."""

    async def edit() -> None:
        assert (await editor.change("PATCH", "videos/vid_a", {"title": "Edited"})).status == 200

    partition, container = frozenset({editor.tenant_id}), frozenset({VIDEOS.name})
    trouble = Trouble(partitions=partition, containers=container, before_write=edit)
    with editor.app.documents.in_trouble(trouble):
        return await editor.post("videos/vid_a/takedown", headers=headers)


async def test_takedown_succeeds_over_a_concurrent_edit_and_keeps_it(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("videos", {"id": "vid_a", **VIDEO})
    answer = await takedown_after_an_edit(editor)
    assert (answer.status, answer.json["state"], answer.json["title"]) == (200, "taken_down", "Edited")


async def test_takedown_with_an_etag_is_refused_after_a_concurrent_edit(app: App) -> None:
    editor = await new_editor(app)
    made = await editor.post("videos", {"id": "vid_a", **VIDEO})
    answer = await takedown_after_an_edit(editor, {"If-Match": made.headers["Etag"]})
    assert (answer.status, answer.code) == (412, "stale_etag")
    assert (await editor.get("videos/vid_a")).json["state"] == "live"


async def test_existence_etag_reason_and_body_are_checked_in_this_order(app: App) -> None:
    editor = await new_editor(app)
    wrong = {"titel": "x", "reason": 7}
    assert (await editor.call("PUT", "videos/vid_a", wrong)).code == "not_found"
    made = await editor.post("videos", {"id": "vid_a", **VIDEO})
    assert (await editor.call("PUT", "videos/vid_a", wrong)).code == "missing_if_match"
    etag = {"If-Match": made.headers["Etag"]}
    assert (await editor.call("PUT", "videos/vid_a", wrong, etag)).code == "invalid_reason"
    assert (await editor.call("PUT", "videos/vid_a", {**wrong, "reason": "x"}, etag)).code == "invalid_document"
    assert (await editor.call("PUT", "videos/vid_a", {**VIDEO, "reason": "Typo"}, etag)).status == 200
    assert (await editor.post("videos", {"id": "vid_a", **VIDEO})).code == "already_exists"
    assert (await editor.post("videos/vid_b/takedown", {"reason": 7})).code == "not_found"
    assert (await editor.post("videos/vid_a/takedown", {"reason": 7})).code == "invalid_reason"
