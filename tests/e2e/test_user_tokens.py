"""User tokens in the served app: who can act for a user, and who can read stored data."""

from __future__ import annotations

import secrets

import pytest

from tests.e2e.test_bad_requests import is_problem
from tests.served_app import App, Client, make_videos
from tests.user_tokens import delete_public_key, save_public_key, signer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def tenant_with_keys(app: App, *, required: bool) -> Client:
    client = await app.tenant(make_videos(10), require_user_token=required)
    await save_public_key(app.documents, client.tenant_id, signer("ES256"))
    assert await app.services.tenants_refresher.refresh()
    return client


def token_of(client: Client, **claims: object) -> dict[str, str]:
    token = signer("ES256").token(client.tenant_id, client.user, client.app.clock.now(), **claims)
    client.app.secrets.add(token)
    return {"X-User-Token": token}


def event(client: Client) -> dict[str, object]:
    return {"type": "like", "videoId": "vid_fitness_1", "timestamp": client.app.now_ms()}


async def test_required_token_is_needed_for_every_call_about_a_user(app: App) -> None:
    client = await tenant_with_keys(app, required=True)
    assert is_problem(await client.feed(), 401, "missing_user_token")
    assert is_problem(await client.post([event(client)]), 401, "missing_user_token")
    assert (await client.feed(token_of(client))).status == 200
    assert (await client.post([event(client)], token_of(client))).status == 202


async def test_a_wrong_token_is_refused_even_where_none_is_required(app: App) -> None:
    client = await tenant_with_keys(app, required=False)
    assert (await client.feed()).status == 200
    assert is_problem(await client.feed({"X-User-Token": "x.y.z"}), 401, "invalid_user_token")
    assert is_problem(await client.feed(token_of(client.as_user())), 403, "user_token_mismatch")
    late = token_of(client, exp=int(app.clock.now()) - 120, iat=int(app.clock.now()) - 600)
    assert is_problem(await client.feed(late), 401, "user_token_expired")


async def test_token_of_another_tenant_is_refused(app: App) -> None:
    client, neighbor = await tenant_with_keys(app, required=False), await tenant_with_keys(app, required=False)
    foreign = token_of(neighbor.as_user(client.user))
    assert is_problem(await client.feed(foreign), 401, "invalid_user_token")


@pytest.mark.parametrize("call", ["erase", "export"])
async def test_users_manage_only_their_own_data_with_their_token(app: App, call: str) -> None:
    client = await tenant_with_keys(app, required=False)
    path = f"/v1/privacy/{call}"
    for viewer in (client, client.as_user()):
        assert (await viewer.post([event(viewer)])).status == 202
    await app.folded()
    assert is_problem(await app.request("POST", path, client.headers), 403, "forbidden")
    own = await app.request("POST", path, {**client.headers, **token_of(client)})
    assert own.status == 200
    other = await app.request("POST", path, {**client.as_user().headers, **token_of(client)})
    assert is_problem(other, 403, "user_token_mismatch")


async def test_a_token_is_refused_once_its_public_key_is_removed(app: App) -> None:
    client = await tenant_with_keys(app, required=True)
    token = token_of(client)
    assert (await client.feed(token)).status == 200
    await delete_public_key(app.documents, client.tenant_id, "key-1")
    assert await app.services.tenants_refresher.refresh()
    assert is_problem(await client.feed(token), 401, "invalid_user_token")


async def test_server_key_needs_no_token(app: App) -> None:
    client = await tenant_with_keys(app, required=True)
    key = secrets.token_urlsafe(24)
    await app.save_key(client.tenant_id, key, "cms", name="server")
    assert (await client.with_key(key).feed()).status == 200
