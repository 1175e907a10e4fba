"""Limits, unique names and last-of-its-kind checks hold under concurrent writes."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from cms.access.models import MAX_KEYS, MAX_PUBLIC_KEYS
from cms.guard import GUARD_ID, LIMITS
from shared.adapters.documents.port import TENANTS, Create, Delete, Document, query_all
from shared.adapters.tenant_directory import PLATFORM
from tests.cms.editor import RULE, Editor, new_editor
from tests.cms.test_access import operator
from tests.faulty_documents import Trouble
from tests.served_app import Answer, App
from tests.user_tokens import signer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARMS = [{"name": "now", "percent": 50}, {"name": "more", "percent": 25, "weights": {"quality": 1}}]
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "key:": ("keys", {"name": "{}", "scopes": ["cms"]}),
    "user-token-key:": ("user-token-keys", {"keyId": "{}", "publicKey": signer("ES256").pem.strip()}),
    "rule:": ("rules", {"id": "{}", **RULE}),
    "playlist:": ("playlists", {"id": "{}", "name": "Cup"}),
    "feed:": ("feeds", {"id": "{}", "title": "Kitchen"}),
    "model:": ("models", {"type": "linear", "version": "{}", "weights": {"quality": 1}}),
    "experiment:": ("experiments", {"id": "{}", "name": "Taste", "arms": ARMS}),
}
"""How to create one of each limited kind; `{}` stands for its name."""


async def made(editor: Editor, prefix: str, name: str) -> Answer:
    path, body = KINDS[prefix]
    return await editor.post(path, {field: name if value == "{}" else value for field, value in body.items()})


async def stored(app: App, tenant_id: str, prefix: str) -> list[Document]:
    found = await query_all(app.documents, TENANTS, tenant_id, prefix)
    return [each for each in found if not each.body.get("deleted")]


async def filled(app: App, editor: Editor, prefix: str, count: int) -> None:
    """Store `count` copies of a kind, as a release without a limit could have left them."""
    assert (await made(editor, prefix, "first")).status == 201
    (first,) = [each for each in await stored(app, editor.tenant_id, prefix) if each.body.get("name") != "Anna"][-1:]
    there = len(await stored(app, editor.tenant_id, prefix))
    copies = [Create({**first.body, "id": f"{prefix}copy-{n:03}"}) for n in range(count - there)]
    for start in range(0, len(copies), 90):
        await app.documents.write(TENANTS, editor.tenant_id, copies[start : start + 90])
    await app.documents.write(TENANTS, editor.tenant_id, [Delete(GUARD_ID)])
    assert len(await stored(app, editor.tenant_id, prefix)) == count


async def test_every_kind_with_a_limit_is_tested_for_races() -> None:
    assert KINDS.keys() == LIMITS.keys()


@pytest.mark.parametrize("prefix", KINDS)
async def test_a_limit_holds_however_many_create_at_once(app: App, prefix: str) -> None:
    ops = await operator(app)
    most, _ = LIMITS[prefix]
    await filled(app, ops, prefix, most - 3)
    answers = await asyncio.gather(*(made(ops, prefix, f"n{n}") for n in range(10)))
    assert Counter(answer.code if answer.status == 409 else answer.status for answer in answers) == {
        201: 3,
        "too_many": 7,
    }
    assert len(await stored(app, ops.tenant_id, prefix)) == most


async def test_ten_keys_of_one_name_issued_at_once_are_one_key(app: App) -> None:
    ops = await operator(app)
    answers = await asyncio.gather(*(made(ops, "key:", "Anna's phone") for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 9
    assert {answer.code for answer in answers if answer.status == 409} == {"already_active"}
    keys = [key for key in (await ops.get("keys")).json["keys"] if key["name"] == "Anna's phone"]
    assert len(keys) == 1


async def test_keys_renamed_to_one_name_at_once_do_not_share_it(app: App) -> None:
    ops = await operator(app)
    ids = [(await made(ops, "key:", f"editor {n}")).json["id"] for n in range(4)]
    answers = await asyncio.gather(*(ops.call("PATCH", f"keys/{id}", {"name": "chief"}) for id in ids))
    assert Counter(answer.code if answer.status == 409 else answer.status for answer in answers) == {
        200: 1,
        "already_active": 3,
    }


async def test_a_key_rotated_several_times_at_once_has_one_successor(app: App) -> None:
    ops = await operator(app)
    id = (await made(ops, "key:", "Ben")).json["id"]
    answers = await asyncio.gather(*(ops.post(f"keys/{id}/rotate") for _ in range(5)))
    assert [answer.status for answer in answers].count(201) == 1
    assert len([key for key in (await ops.get("keys")).json["keys"] if key["name"] == "Ben"]) == 2


async def test_rotation_does_not_exceed_the_limit_of_keys(app: App) -> None:
    ops = await operator(app)
    id = (await made(ops, "key:", "Ben")).json["id"]
    await filled(app, ops, "key:", MAX_KEYS)
    assert (await ops.post(f"keys/{id}/rotate")).code == "too_many"


async def test_reverted_deletions_never_raise_the_number_of_documents_above_its_limit(app: App) -> None:
    editor = await new_editor(app)
    for n in range(3):
        await made(editor, "rule:", f"r{n}")
        await editor.change("DELETE", f"rules/r{n}")
    deletions = [entry for entry in (await editor.get("audit")).json["entries"] if entry["action"] == "delete"]
    await filled(app, editor, "rule:", LIMITS["rule:"][0] - 1)
    answers = await asyncio.gather(*(editor.post(f"audit/{entry['id']}/revert") for entry in deletions))
    assert sorted(answer.code or "" for answer in answers) == ["", "too_many", "too_many"]


async def platform_keys(app: App) -> dict[str, str]:
    headers = {"X-Tenant-Id": PLATFORM, "X-Api-Key": app.ops_key}
    listed = await app.request("GET", "/v1/cms/keys", headers)
    return {key["name"]: key["id"] for key in listed.json["keys"] if "ops" in key["scopes"]}


async def revoked(app: App, id: str) -> Answer:
    headers = {"X-Tenant-Id": PLATFORM, "X-Api-Key": app.ops_key}
    return await app.request("DELETE", f"/v1/cms/keys/{id}", headers)


@pytest.mark.parametrize("how", ["at once", "while the other is being written"])
async def test_two_concurrent_revocations_of_the_last_platform_keys_leave_one(app: App, how: str) -> None:
    await app.save_key(PLATFORM, "another-ops-key-0123456789", "ops", name="others")
    keys = await platform_keys(app)
    assert len(keys) == 2
    try:
        if how == "at once":
            answers = list(await asyncio.gather(*(revoked(app, id) for id in keys.values())))
        else:
            answers = []

            async def the_other() -> None:
                answers.append(await revoked(app, keys["others"]))

            with app.documents.in_trouble(Trouble(partitions=frozenset({PLATFORM}), before_write=the_other)):
                answers.append(await revoked(app, keys["operators"]))
        assert sorted((answer.status, answer.code) for answer in answers) == [(204, None), (409, "last_key")]
        assert len(await stored(app, PLATFORM, "key:")) == 1
    finally:
        await app.save_key(PLATFORM, app.ops_key, "ops", name="operators")
        for each in await stored(app, PLATFORM, "key:"):
            if each.body["name"] != "operators":
                await app.documents.write(TENANTS, PLATFORM, [Delete(each.id)])
        await app.services.tenants.refresh()


async def test_deleting_makes_room_for_a_new_document(app: App) -> None:
    ops = await operator(app)
    await filled(app, ops, "user-token-key:", MAX_PUBLIC_KEYS)
    assert (await made(ops, "user-token-key:", "more")).code == "too_many"
    assert (await ops.call("DELETE", "user-token-keys/copy-001")).status == 204
    assert (await made(ops, "user-token-key:", "more")).status == 201
