"""Public ids: they grant no access, and their user needs a user token."""

from __future__ import annotations

import base64

import numpy as np
import pytest

import function_app
from shared.adapters.documents.port import PEOPLE, Upsert
from shared.adapters.flags.evaluation import STORIES
from shared.domain.keys import Identity
from stories.circle import MAX_FOLLOWS, Circle
from stories.graph import ACCEPTED
from stories.identity import Person, is_public_id, key_of, person_of
from tests.served_app import App, new_user
from tests.stories.social import someone_of, stories_on

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECRET = base64.b64encode(b"s" * 32).decode()


async def test_public_id_is_permanent_and_belongs_to_one_tenant() -> None:
    identity, user = Identity(SECRET), "5f" * 32
    ids = {person_of(identity, tenant, identity.user_key(tenant, user)).id for tenant in ("a", "b", "a")}
    assert len(ids) == 2
    assert all(is_public_id(each) and user not in each for each in ids)
    assert len({key_of(each) for each in ids}) == 2
    again = Identity(SECRET)
    assert person_of(again, "a", again.user_key("a", user)).id in ids


@pytest.mark.parametrize("text", ["", "x" * 21, "x" * 23, "x" * 21 + "-", "x" * 21 + "\n", "x" * 22, None, 7])
async def test_text_no_hash_yields_is_not_a_public_id(text: object) -> None:
    assert not is_public_id(text), "the last character carries two bits, so most texts of 22 are none"


async def test_id_that_a_user_reads_is_the_id_that_a_backend_looks_up_for_them(app: App) -> None:
    someone = await someone_of(app)
    client = someone.client
    await app.save_key(client.tenant_id, "a-key-of-the-backend", "privacy", name="backend")
    headers = {"X-Tenant-Id": client.tenant_id, "X-Api-Key": "a-key-of-the-backend"}
    headers["Content-Type"] = "application/json"
    hashes = [client.user, new_user()]
    body = b'{"users":["%b","%b"]}' % tuple(each.encode() for each in hashes)
    answer = await app.request("POST", "/v1/social/ids", headers, body=body)
    assert answer.json["ids"].keys() == set(hashes)
    assert answer.json["ids"][client.user] == someone.id

    with_apps_key = await app.request("POST", "/v1/social/ids", {**headers, **client.headers}, body=body)
    assert (with_apps_key.status, with_apps_key.code) == (403, "forbidden")
    for wrong, code in (
        (b"[]", "invalid_body"), (b"{}", "invalid_body"), (b'{"users":["anna@example.org"]}', "invalid_user"),
        (b'{"users":[7]}', "invalid_user"), (b"{", "invalid_json"),
        (b'{"users":[%b]}' % b",".join([b'"%b"' % (b"5f" * 32)] * 101), "invalid_body"),
    ):  # fmt: skip
        refused = await app.request("POST", "/v1/social/ids", headers, body=wrong)
        assert (refused.status, refused.code) == (400, code)


async def test_app_key_without_a_user_token_acts_for_nobody(app: App) -> None:
    someone = await someone_of(app, require_user_token=False)
    answer = await someone.client.get("/v1/me")
    assert (answer.status, answer.code) == (401, "missing_user_token")
    other = await someone.another()
    stolen = {**someone.client.headers, "X-User-Token": other.headers()["X-User-Token"]}
    assert (await app.request("GET", "/v1/me", stolen)).code == "user_token_mismatch"
    elsewhere = await someone_of(app)
    foreign = {**elsewhere.client.headers, "X-User-Token": someone.headers()["X-User-Token"]}
    assert (await app.request("GET", "/v1/me", foreign)).code == "invalid_user_token"


async def test_disabled_stories_have_no_routes_and_read_nothing(app: App) -> None:
    someone = await someone_of(app)
    await stories_on(app, on=False)
    app.documents.touched.clear()
    ours = [each for each in function_app.api.endpoints if each.flag == STORIES]
    assert ours
    for each in ours:
        path = "/" + each.path.replace("{id}", someone.id)
        for headers in ({}, someone.headers()):
            answer = await app.request(each.method, path, headers)
            assert (answer.status, answer.code) == (404, "not_found")
    assert app.documents.touched.keys().isdisjoint({"stories", "story-activity", "people"})


async def test_tenant_can_disable_stories(app: App) -> None:
    someone = await someone_of(app)
    assert (await someone.get("me")).status == 200
    elsewhere = await someone_of(app, feature_flags={})
    tenant = app.services.tenants.get(elsewhere.client.tenant_id)
    assert tenant is not None
    tenant.feature_flags[STORIES] = False
    assert (await elsewhere.get("me")).code == "not_found"
    assert (await someone.get("me")).status == 200


async def test_follow_2001_is_refused_over_http_and_an_unfollow_makes_room(app: App) -> None:
    one = await someone_of(app)
    others = [await one.another() for _ in range(2)]
    mine = Person(one.client.tenant_id, one.id)
    circle = Circle(follows=np.arange(1, MAX_FOLLOWS, dtype=np.uint64))
    await app.documents.write(PEOPLE, mine.partition, [Upsert(circle.to_document())])
    assert (await one.call("PUT", f"follow/{others[0].id}")).json == {"state": ACCEPTED}, "the 2,000th"
    refused = await one.call("PUT", f"follow/{others[1].id}")
    assert (refused.status, refused.code) == (409, "too_many_follows")
    assert (await others[1].get("me/followers")).json["items"] == [], "nothing is stored"
    assert (await one.call("DELETE", f"follow/{others[0].id}")).status == 204
    assert (await one.call("PUT", f"follow/{others[1].id}")).json == {"state": ACCEPTED}
