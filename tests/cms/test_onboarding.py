"""One call creates a tenant with all its app needs; the first feed and event are recorded."""

from __future__ import annotations

from typing import Any

import pytest

from shared.adapters.documents.port import TENANTS, query_all
from shared.adapters.milestones import Milestones
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.faulty_documents import Trouble
from tests.served_app import App, Client, new_user

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def created(app: App, headers: dict[str, str] | None = None, **form: Any) -> tuple[Editor, Any, Client]:
    """An operator, the answer to a creation, and the new tenant's app."""
    editor = await new_editor(app)
    ops = editor.with_key(app.ops_key)
    answer = await ops.post("tenants", {"tenantId": f"new-{editor.tenant_id}", **form}, headers)
    assert answer.status == 201
    app.secrets |= {answer.json["key"], answer.json["appKey"]}
    return ops, answer.json, Client(app, answer.json["tenantId"], answer.json["appKey"], new_user())


async def state(ops: Editor, tenant: Any) -> Any:
    return (await ops.get(f"tenants/{tenant['tenantId']}/onboarding")).json


async def test_one_call_returns_all_an_app_needs(app: App) -> None:
    ops, tenant, client = await created(app, name="The News")
    assert (tenant["name"], tenant["maturityPolicy"]) == ("The News", "G")
    assert (tenant["keyInfo"]["scopes"], tenant["appKeyInfo"]["scopes"]) == (["cms"], ["sdk"])
    editor = Editor(app, client, tenant["key"])
    video = {"id": "vid_1", **VIDEO, "maturityRating": "G"}
    assert (await editor.post("imports", {"videos": [video]})).json["counts"]["created"] == 1
    assert (await client.feed()).ids == ["vid_1"]
    assert tenant["app"]["baseUrl"] == app.url
    for text in (app.url, client.tenant_id, client.key):
        assert text in tenant["app"]["page"]
        assert text in tenant["app"]["curl"]
    stored = repr(await query_all(app.documents, TENANTS, client.tenant_id))
    assert client.key not in stored
    assert tenant["key"] not in stored
    later = await state(ops, tenant)
    assert client.key not in repr(later)
    assert "YOUR_APP_KEY" in later["app"]["page"]


async def test_first_feed_and_first_event_times_are_recorded_once(app: App) -> None:
    ops, tenant, client = await created(app)
    assert [(await state(ops, tenant))[name] for name in ("firstFeedAt", "firstEventAt")] == [None, None]
    assert (await Client(app, client.tenant_id, tenant["key"], client.user).feed()).status == 200
    assert (await state(ops, tenant))["firstFeedAt"] is None, "what the content team asks is no app's feed"

    app.clock.advance(60)
    assert (await client.feed()).status == 200
    app.clock.advance(60)
    event = {"type": "impression", "videoId": "vid_1", "timestamp": app.now_ms()}
    assert (await client.post([event])).json["accepted"] == 1
    first = await state(ops, tenant)
    await app.services.tenants.refresh()
    app.clock.advance(600)
    await client.feed()
    await client.post([event])
    again = await state(ops, tenant)
    assert again == first
    assert None not in (first["firstFeedAt"], first["firstEventAt"])
    assert first["createdAt"] < first["firstFeedAt"] < first["firstEventAt"]


async def test_first_time_is_recorded_after_an_outage_and_the_earliest_stays(app: App) -> None:
    ops, tenant, client = await created(app)
    one = app.services.milestones
    other = Milestones(app.documents, app.services.tenants, app.services.telemetry)
    scopes, now = frozenset({"sdk"}), app.clock.now()
    other.saw("firstFeedAt", client.tenant_id, scopes, now + 5)
    one.saw("firstFeedAt", client.tenant_id, scopes, now)
    await other.flush()
    with app.documents.in_trouble(Trouble(writes_fail=True)):
        await one.flush()
    await one.flush()
    stored = await app.documents.read(TENANTS, client.tenant_id, "onboarding", latest=True)
    assert stored is not None
    assert stored.body["firstFeedAt"] == now
    assert (await state(ops, tenant))["firstFeedAt"] is not None


async def test_tenant_creation_repeats_safely_only_with_an_idempotency_key(app: App) -> None:
    key = {"Idempotency-Key": "one tenant"}
    ops, tenant, client = await created(app, key, name="The News")
    form = {"tenantId": client.tenant_id, "name": "The News"}
    again = await ops.post("tenants", form, key)
    assert again.status == 200
    assert tenant["appKey"] not in again.body.decode()
    assert "key" not in again.json
    others = [(form, {}), (form, {"Idempotency-Key": "another"}), ({**form, "name": "Other"}, key)]
    for body, headers in others:
        refused = await ops.post("tenants", body, headers)
        assert (refused.status, refused.code) == (409, "already_exists")
    assert (await client.feed()).status == 200, "its keys stay as they were"

    # The keys cannot be shown again: whoever loses them rotates both.
    tenant_ops = Editor(app, client, app.ops_key)
    for each in again.json["keys"]:
        rotated = await tenant_ops.post(f"keys/{each['id']}/rotate", {"overlapHours": 0})
        app.secrets.add(rotated.json["key"])
        assert rotated.status == 201
    assert (await client.feed()).status == 401


async def test_two_first_keys_of_one_name_are_refused(app: App) -> None:
    ops = (await new_editor(app)).with_key(app.ops_key)
    refused = await ops.post("tenants", {"tenantId": "same-name", "keyName": "x", "appKeyName": "x"})
    assert (refused.status, refused.json["errors"][0]["code"]) == (422, "same_name")


async def test_older_tenant_has_no_first_times(app: App) -> None:
    editor = await new_editor(app)
    ops = editor.with_key(app.ops_key)
    shown = (await ops.get(f"tenants/{editor.tenant_id}/onboarding")).json
    assert (shown["createdAt"], shown["firstFeedAt"]) == (None, None)
    assert (await ops.get("tenants/nobody/onboarding")).status == 404
    assert (await editor.get(f"tenants/{editor.tenant_id}/onboarding")).status == 401
