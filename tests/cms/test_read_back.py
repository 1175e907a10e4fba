"""Written documents read back the same, alone and in lists, with documented fields only."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cms.editor import RULE, VIDEO, new_editor
from tests.cms.test_access import operator
from tests.served_app import App
from tests.user_tokens import signer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARMS = [{"name": "now", "percent": 50}, {"name": "more", "percent": 25, "weights": {"quality": 1}}]
RESOURCES: dict[str, dict[str, Any]] = {
    "videos": VIDEO,
    "rules": RULE,
    "playlists": {"name": "Cup", "videoIds": ["vid_gone"]},
    "feeds": {
        "title": "Kitchen",
        "base": {"categories": ["cooking"]},
        "weights": {"quality": 1.0},
        "maturityCeiling": "PG",
    },
    "experiments": {"name": "Taste", "arms": ARMS},
}
"""Listed resources → one document of each."""


@pytest.mark.parametrize("plural", RESOURCES)
async def test_replaced_document_is_read_alone_and_listed_with_its_etag(app: App, plural: str) -> None:
    editor = await new_editor(app)
    sent, title = RESOURCES[plural], "title" if plural in ("videos", "feeds") else "name"
    assert (await editor.post(plural, {"id": "one", **sent})).status == 201
    replaced = await editor.change("PUT", f"{plural}/one", {**sent, title: "Another"})
    alone = await editor.get(f"{plural}/one")
    assert replaced.status == 200
    assert replaced.json == alone.json
    assert alone.json[title] == "Another"
    (listed,) = (await editor.get(plural)).json[plural]
    assert listed["etag"] == alone.headers["Etag"]
    assert alone.json.items() <= listed.items()


async def test_a_rule_is_listed_with_its_draft(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("rules", {"id": "one", **RULE})
    assert (await editor.call("PUT", "rules/one/draft", {**RULE, "multiplier": 2})).status == 200
    draft = await editor.get("rules/one/draft")
    (listed,) = (await editor.get("rules")).json["rules"]
    assert (listed["multiplier"], draft.json["multiplier"]) == (3, 2)
    assert listed["draft"] == {**draft.json, "etag": draft.headers["Etag"]}


async def test_feed_is_listed_with_its_draft_and_an_unpublished_draft_alone(app: App) -> None:
    editor = await new_editor(app)
    kitchen = RESOURCES["feeds"]
    await editor.post("feeds", {"id": "one", **kitchen})
    for id in ("one", "two"):
        assert (await editor.call("PUT", f"feeds/{id}/draft", {**kitchen, "title": "Later"})).status == 200
    draft, other = await editor.get("feeds/one/draft"), await editor.get("feeds/two/draft")
    listed, new = (await editor.get("feeds")).json["feeds"]
    assert (listed["title"], draft.json["title"]) == ("Kitchen", "Later")
    assert listed["draft"] == {**draft.json, "etag": draft.headers["Etag"]}
    assert new == {"id": "two", "draft": {**other.json, "etag": other.headers["Etag"]}}


async def test_configuration_and_draft_read_back_as_replaced(app: App) -> None:
    editor = await new_editor(app)
    whole = {"maturityPolicy": "PG", "ageBandPolicies": {"0-12": "G"}, "featureFlags": {"co-watch": False}}
    replaced = await editor.change("PUT", "configuration", whole)
    assert replaced.status == 200
    assert replaced.json == (await editor.get("configuration")).json
    assert whole.items() <= replaced.json.items()
    saved = await editor.call("PUT", "configuration/draft", {**whole, "streakCap": 4})
    assert saved.json == (await editor.get("configuration/draft")).json
    assert saved.json["changes"] == {"streakCap": {"from": replaced.json["streakCap"], "to": 4}}


async def test_public_keys_are_listed_as_added(app: App) -> None:
    ops = await operator(app)
    added = await ops.post("user-token-keys", {"keyId": "2026-11", "publicKey": signer("ES256").pem.strip()})
    assert added.status == 201
    (listed,) = (await ops.get("user-token-keys")).json["keys"]
    assert listed == {**added.json, "etag": listed["etag"]}
