"""Every changing or deleting operation checks `If-Match`; where it is required, a missing one is refused."""

from __future__ import annotations

from typing import Any

import pytest

import function_app
from tests.cms.editor import RULE, VIDEO, Editor, new_editor
from tests.cms.test_access import operator
from tests.served_app import Answer, App
from tests.user_tokens import signer

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALE = {"If-Match": '"0"'}
ARMS = [{"name": "now", "percent": 50}, {"name": "more", "percent": 25, "weights": {"quality": 1}}]
WITHOUT_CONDITION = {
    "create_tenant", "create_video", "create_rule", "create_playlist", "create_feed", "create_experiment",
    "upload_model", "issue_key", "add_public_key",  # creates a document
    "import_videos", "import_history",  # changes many documents at once
    "preview", "explain_served_page",  # changes nothing
    "remove_tenant",  # unconditional: the body confirms it
}  # fmt: skip


def refusal(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


async def test_every_changing_operation_documents_if_match() -> None:
    missing = {
        each.name
        for each in function_app.api.endpoints
        if each.path.startswith("v1/cms/")
        and each.method != "GET"
        and "If-Match" not in {parameter.name for parameter in each.parameters}
    }
    assert missing == WITHOUT_CONDITION


async def with_draft(app: App, path: str) -> tuple[Editor, Answer, Answer]:
    """A saved draft that another editor saved again."""
    editor = await new_editor(app)
    first, second = (
        (RULE, {**RULE, "multiplier": 9})
        if path.startswith("rules")
        else (
            {"maturityPolicy": "PG", "streakCap": 4},
            {"maturityPolicy": "PG", "streakCap": 5},
        )
    )
    one = await editor.call("PUT", path, first)
    other = await editor.call("PUT", path, second, {"If-Match": one.headers["Etag"]})
    assert (one.status, other.status) == (200, 200)
    return editor, one, other


DRAFTS = ["rules/cup/draft", "configuration/draft"]


@pytest.mark.parametrize("path", DRAFTS)
async def test_publishing_a_draft_the_publisher_never_saw_is_refused(app: App, path: str) -> None:
    editor, one, other = await with_draft(app, path)
    before = (await editor.get("audit")).json
    stale = await editor.post(f"{path}/publish", headers={"If-Match": one.headers["Etag"]})
    assert refusal(stale) == (412, "stale_etag")
    assert refusal(await editor.post(f"{path}/publish")) == (400, "missing_if_match")
    assert (await editor.get("audit")).json == before
    assert (await editor.get(path)).json == other.json
    published = await editor.post(f"{path}/publish", headers={"If-Match": other.headers["Etag"]})
    assert published.status == 200
    assert (await editor.get(path)).status == 404


@pytest.mark.parametrize("path", DRAFTS)
async def test_discarding_a_draft_somebody_else_saved_is_refused(app: App, path: str) -> None:
    editor, one, other = await with_draft(app, path)
    for headers, refused in (({"If-Match": one.headers["Etag"]}, (412, "stale_etag")), ({}, (400, "missing_if_match"))):
        assert refusal(await editor.call("DELETE", path, headers=headers)) == refused
    assert (await editor.get(path)).json == other.json
    assert (await editor.call("DELETE", path, headers={"If-Match": other.headers["Etag"]})).status == 204
    entry = (await editor.get("audit")).json["entries"][0]
    assert (entry["action"], entry["resource"].split()[-1]) == ("drop_draft", "draft")


@pytest.mark.parametrize("path", DRAFTS)
async def test_draft_is_saved_only_over_the_version_that_was_read(app: App, path: str) -> None:
    editor, one, other = await with_draft(app, path)
    body = {**RULE, "multiplier": 5} if path.startswith("rules") else {"maturityPolicy": "G"}
    assert refusal(await editor.call("PUT", path, body)) == (400, "missing_if_match")
    assert refusal(await editor.call("PUT", path, body, {"If-Match": one.headers["Etag"]})) == (412, "stale_etag")
    await editor.call("DELETE", path, headers={"If-Match": other.headers["Etag"]})
    assert refusal(await editor.call("PUT", path, body, {"If-Match": other.headers["Etag"]})) == (412, "stale_etag")
    assert (await editor.call("PUT", path, body)).status == 200


REQUIRED: list[tuple[str, str, dict[str, Any] | None]] = [
    ("PUT", "videos/one", VIDEO), ("PATCH", "videos/one", {"title": "x"}), ("PUT", "rules/one", RULE),
    ("PATCH", "rules/one", {"name": "x"}), ("DELETE", "rules/one", None),
    ("PUT", "playlists/one", {"name": "x"}), ("PATCH", "playlists/one", {"name": "x"}),
    ("DELETE", "playlists/one", None), ("PUT", "experiments/one", {"name": "x", "arms": ARMS}),
    ("DELETE", "experiments/one", None), ("PUT", "configuration", {"maturityPolicy": "G"}),
    ("PATCH", "configuration", {"streakCap": 3}), ("PATCH", "configuration/draft", {"streakCap": 3}),
    ("DELETE", "configuration/draft", None), ("POST", "configuration/draft/publish", {}),
    ("PUT", "feeds/one", {"title": "x"}), ("PATCH", "feeds/one", {"title": "y"}), ("DELETE", "feeds/one", None),
    ("PUT", "feeds/one/draft", {"title": "x"}), ("DELETE", "feeds/one/draft", None),
    ("POST", "feeds/one/draft/publish", {}),
    ("PUT", "rules/one/draft", RULE), ("DELETE", "rules/one/draft", None), ("POST", "rules/one/draft/publish", {}),
]  # fmt: skip
HEEDED = [
    ("POST", "videos/one/takedown"), ("POST", "videos/one/restore"), ("POST", "experiments/one/start"),
    ("POST", "experiments/one/stop"), ("DELETE", "models/one"), ("POST", "models/one/promote"),
    ("POST", "models/rollback"),
]  # fmt: skip


async def with_one_of_everything(app: App) -> Editor:
    editor = await new_editor(app)
    model = {"type": "linear", "version": "one", "weights": {"quality": 2}}
    for path, body in (
        ("videos", {"id": "one", **VIDEO}), ("rules", {"id": "one", **RULE}), ("playlists", {"id": "one", "name": "x"}),
        ("experiments", {"id": "one", "name": "x", "arms": ARMS}), ("models", model),
        ("feeds", {"id": "one", "title": "x"}),
        ("models", {**model, "version": "two"}),
    ):  # fmt: skip
        assert (await editor.post(path, body)).status == 201, path
    assert (await editor.post("models/two/promote")).status == 200
    for path, body in (
        ("rules/one/draft", RULE), ("configuration/draft", {"maturityPolicy": "G"}),
        ("feeds/one/draft", {"title": "z"}),
    ):  # fmt: skip
        assert (await editor.call("PUT", path, body)).status == 200
    return editor


async def test_stale_etag_is_always_refused_and_a_missing_one_where_required(app: App) -> None:
    editor = await with_one_of_everything(app)
    before = (await editor.get("audit")).json
    for method, path, body in REQUIRED:
        assert refusal(await editor.call(method, path, body, STALE)) == (412, "stale_etag"), path
        assert refusal(await editor.call(method, path, body)) == (400, "missing_if_match"), path
        assert refusal(await editor.call(method, path, body, {"If-Match": "*"})) == (400, "invalid_if_match"), path
    for method, path in HEEDED:
        assert refusal(await editor.call(method, path, headers=STALE)) == (412, "stale_etag"), path
    for entry in before["entries"]:
        if entry["revertible"]:
            answer = await editor.post(f"audit/{entry['id']}/revert", {"force": True}, STALE)
            assert refusal(answer) == (412, "stale_etag"), entry
    assert (await editor.get("audit")).json == before
    assert (await editor.call("DELETE", "models/one")).status == 204


async def test_current_etag_is_accepted_where_none_is_required(app: App) -> None:
    editor = await with_one_of_everything(app)
    for path in ("takedown", "restore"):
        assert (await editor.change("GET", "videos/one")).status == 200
        tag = {"If-Match": (await editor.get("videos/one")).headers["Etag"]}
        assert (await editor.post(f"videos/one/{path}", headers=tag)).status == 200
        assert refusal(await editor.post(f"videos/one/{path}", headers=tag)) == (412, "stale_etag")
    tags = {model["version"]: model["etag"] for model in (await editor.get("models")).json["models"]}
    assert (await editor.call("DELETE", "models/one", headers={"If-Match": tags["one"]})).status == 204
    started = await editor.get("experiments/one")
    tag = {"If-Match": started.headers["Etag"]}
    assert (await editor.post("experiments/one/start", headers=tag)).status == 200


async def test_key_changes_accept_the_etag_of_the_list(app: App) -> None:
    ops = await operator(app)
    await ops.post("keys", {"name": "Ben", "scopes": ["cms"]})
    pem = signer("ES256").pem.strip()
    await ops.post("user-token-keys", {"keyId": "k1", "publicKey": pem})

    async def listed() -> dict[str, Any]:
        return next(key for key in (await ops.get("keys")).json["keys"] if key["name"].startswith("Ben"))

    key = await listed()
    assert (await ops.call("PATCH", f"keys/{key['id']}", {"name": "Ben (sports)"})).status == 200
    for method, path, body in (("PATCH", "", {"name": "x"}), ("POST", "/rotate", {}), ("DELETE", "", None)):
        answer = await ops.call(method, f"keys/{key['id']}{path}", body, {"If-Match": key["etag"]})
        assert refusal(answer) == (412, "stale_etag"), path
    assert (await ops.call("DELETE", f"keys/{key['id']}", headers={"If-Match": (await listed())["etag"]})).status == 204
    assert refusal(await ops.call("DELETE", "user-token-keys/k1", headers=STALE)) == (412, "stale_etag")
    (public,) = (await ops.get("user-token-keys")).json["keys"]
    assert (await ops.call("DELETE", "user-token-keys/k1", headers={"If-Match": public["etag"]})).status == 204
