"""A revert restores the fields that its change changed and nothing else; it activates no video."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cms.editor import RULE, VIDEO, Editor, new_editor
from tests.served_app import Answer, App

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def changed(editor: Editor, path: str, fields: dict[str, Any]) -> str:
    """Change a document; return the id of the change."""
    answer = await editor.change("PATCH", path, fields, **{"X-Confirm-Maturity": "yes"})
    assert answer.status == 200, answer.json
    return await latest(editor)


async def latest(editor: Editor) -> str:
    return str((await editor.get("audit", limit=1)).json["entries"][0]["id"])


async def revert(editor: Editor, id: str, force: bool = True, headers: dict[str, str] | None = None) -> Answer:
    return await editor.post(f"audit/{id}/revert", {"force": force}, headers)


async def with_video(app: App, **fields: Any) -> Editor:
    editor = await new_editor(app)
    await editor.post("videos", {"id": "v1", **VIDEO, **fields})
    return editor


async def standing(editor: Editor) -> tuple[str, str, str | None]:
    video = (await editor.get("videos/v1")).json
    return video["title"], video["status"], video["statusWhenRestored"]


async def test_a_revert_of_an_edit_leaves_a_later_takedown_alone(app: App) -> None:
    editor = await with_video(app)
    edit = await changed(editor, "videos/v1", {"title": "Edited"})
    await editor.post("videos/v1/takedown")
    assert (await revert(editor, edit, force=False)).code == "changed_since"
    answer = await revert(editor, edit)
    assert (answer.status, answer.json["notes"]) == (200, [])
    assert await standing(editor) == (VIDEO["title"], "taken_down", "active")
    assert (await editor.client.feed()).ids == []


async def test_revert_restores_its_own_fields_and_no_others(app: App) -> None:
    editor = await with_video(app)
    edit = await changed(editor, "videos/v1", {"title": "Edited", "tags": ["a"]})
    await changed(editor, "videos/v1", {"creatorId": "anna", "tags": ["b"], "durationSeconds": 50})
    assert (await revert(editor, edit)).status == 200
    video = (await editor.get("videos/v1")).json
    assert (video["title"], video["tags"]) == (VIDEO["title"], VIDEO["tags"])
    assert (video["creatorId"], video["durationSeconds"]) == ("anna", 50)


async def test_revert_of_a_takedown_explains_that_only_a_restore_lifts_it(app: App) -> None:
    editor = await with_video(app)
    await editor.post("videos/v1/takedown")
    entry = (await editor.get("audit", limit=1)).json["entries"][0]
    assert entry["revertible"] is False
    answer = await revert(editor, entry["id"])
    assert (answer.status, answer.code) == (409, "not_revertible")
    assert answer.json["detail"] == "The video stays taken down. It gets the status active when it is restored."
    assert await standing(editor) == (VIDEO["title"], "taken_down", "active")


async def test_revert_of_more_than_a_takedown_restores_the_rest_with_a_note(app: App) -> None:
    editor = await with_video(app)
    both = await changed(editor, "videos/v1", {"title": "Banned", "status": "taken_down"})
    answer = await revert(editor, both, force=False)
    assert (answer.status, [note["code"] for note in answer.json["notes"]]) == (200, ["kept_for_restore"])
    assert await standing(editor) == (VIDEO["title"], "taken_down", "active")


async def test_revert_activates_no_video(app: App) -> None:
    editor = await with_video(app)
    alone = await changed(editor, "videos/v1", {"status": "inactive"})
    refused = await revert(editor, alone)
    assert (refused.status, refused.code) == (409, "not_revertible")
    assert refused.json["detail"] == "A revert never puts a video on air again. Set its status to active instead."
    await changed(editor, "videos/v1", {"status": "active"})
    both = await changed(editor, "videos/v1", {"status": "inactive", "title": "Withdrawn"})
    answer = await revert(editor, both)
    assert (answer.status, [note["code"] for note in answer.json["notes"]]) == (200, ["not_activated"])
    assert await standing(editor) == (VIDEO["title"], "inactive", None)
    await editor.post("videos/v1/takedown")
    assert (await revert(editor, alone)).code == "not_revertible"
    assert await standing(editor) == (VIDEO["title"], "taken_down", "inactive")


async def test_revert_of_a_publication_is_kept_for_the_restore(app: App) -> None:
    editor = await with_video(app, status="inactive")
    published = await changed(editor, "videos/v1", {"status": "active"})
    await editor.post("videos/v1/takedown")
    answer = await revert(editor, published)
    assert [note["code"] for note in answer.json["notes"]] == ["kept_for_restore"]
    assert await standing(editor) == (VIDEO["title"], "taken_down", "inactive")


async def test_a_revert_of_a_restore_takes_down_again(app: App) -> None:
    editor = await with_video(app, status="inactive")
    await editor.post("videos/v1/takedown")
    await editor.post("videos/v1/restore")
    assert (await revert(editor, await latest(editor), force=False)).status == 200
    assert await standing(editor) == (VIDEO["title"], "taken_down", "inactive")


async def test_revert_of_a_creation_remembers_the_status(app: App) -> None:
    editor = await with_video(app, status="inactive")
    assert (await revert(editor, await latest(editor))).status == 200
    assert await standing(editor) == (VIDEO["title"], "taken_down", "inactive")


async def test_revert_restores_only_the_changed_members_of_an_object(app: App) -> None:
    editor = await new_editor(app)
    await changed(editor, "configuration", {"weights": {"quality": 1}, "ageBandPolicies": {"0-12": "G"}})
    edit = await changed(
        editor, "configuration", {"weights": {"quality": 2}, "ageBandPolicies": {"0-12": "G", "13-17": "PG"}}
    )
    await changed(editor, "configuration", {"weights": {"quality": 2, "recency": 3}, "streakCap": 7})
    assert (await revert(editor, edit, headers={"X-Confirm-Maturity": "yes"})).status == 200
    configuration = (await editor.get("configuration")).json
    assert configuration["weights"] == {"quality": 1, "recency": 3}
    assert (configuration["ageBandPolicies"], configuration["streakCap"]) == ({"0-12": "G"}, 7)


async def test_a_revert_that_would_make_an_invalid_document_is_refused(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("rules", {"id": "r", **RULE})
    edit = await changed(editor, "rules/r", {"multiplier": 2})
    await changed(editor, "rules/r", {"action": "exclude", "multiplier": None})
    answer = await revert(editor, edit)
    assert (answer.status, answer.code) == (422, "invalid_document")
    assert (await editor.get("rules/r")).json["action"] == "exclude"


async def test_change_of_a_deleted_document_cannot_be_reverted(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("rules", {"id": "r", **RULE})
    edit = await changed(editor, "rules/r", {"multiplier": 2})
    await editor.change("DELETE", "rules/r")
    gone = await latest(editor)
    assert (await revert(editor, edit)).code == "changed_since"
    assert (await revert(editor, gone)).status == 200
    assert (await revert(editor, edit)).status == 200
    assert (await editor.get("rules/r")).json["multiplier"] == RULE["multiplier"]


async def test_revert_with_nothing_left_to_restore_is_refused(app: App) -> None:
    editor = await with_video(app)
    edit = await changed(editor, "videos/v1", {"title": "Edited"})
    await changed(editor, "videos/v1", {"title": VIDEO["title"]})
    assert (await revert(editor, edit)).code == "not_revertible"
