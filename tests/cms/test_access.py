"""Tenants, API keys and public keys: who is authenticated, and until when."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.adapters.documents.port import TENANTS, query_all
from shared.adapters.tenant_directory import PLATFORM
from tests.cms.editor import Editor, new_editor
from tests.served_app import App

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def operator(app: App) -> Editor:
    editor = await new_editor(app)
    return editor.with_key(app.ops_key)


async def test_new_tenant_has_a_working_key_that_is_stored_hashed(app: App) -> None:
    ops = await operator(app)
    made = await ops.post("tenants", {"tenantId": f"news-{ops.tenant_id}", "keyName": "Newsroom"})
    assert made.status == 201
    assert made.json["maturityPolicy"] == "G"
    key, tenant_id = made.json["key"], made.json["tenantId"]
    app.secrets.add(key)
    headers = {"X-Tenant-Id": tenant_id, "X-Api-Key": key}
    assert (await app.request("GET", "/v1/cms/configuration", headers)).status == 200
    stored = await query_all(app.documents, TENANTS, tenant_id)
    assert key not in repr(stored)
    again = await ops.post("tenants", {"tenantId": tenant_id})
    assert (again.status, again.code) == (409, "already_exists")
    listed = (await ops.get("tenants")).json["tenants"]
    assert tenant_id in {tenant["tenantId"] for tenant in listed}


async def test_only_platform_keys_create_or_list_tenants(app: App) -> None:
    editor = await new_editor(app)
    own_ops = "own-ops-key-0123456789"
    await app.save_key(editor.tenant_id, own_ops, "ops", name="ops of the tenant")
    for key in (editor.key, own_ops):
        for method in ("GET", "POST"):
            answer = await editor.with_key(key).call(method, "tenants", {"tenantId": "x"} if method == "POST" else None)
            assert answer.status == 401


async def test_a_rotated_key_works_beside_its_successor_until_it_expires(app: App) -> None:
    ops = await operator(app)
    issued = (await ops.post("keys", {"name": "Ben", "scopes": ["cms"]})).json
    rotated = (await ops.post(f"keys/{issued['id']}/rotate", {"overlapHours": 2})).json
    old, new = ops.with_key(issued["key"]), ops.with_key(rotated["key"])
    assert [(await each.get("rules")).status for each in (old, new)] == [200, 200]
    third = await ops.post(f"keys/{rotated['id']}/rotate")
    assert (third.status, third.code) == (409, "already_active")
    app.clock.advance(2 * 3600 + 1)
    assert [(await each.get("rules")).status for each in (old, new)] == [401, 200]
    assert (await ops.post(f"keys/{rotated['id']}/rotate")).status == 201


async def test_a_revoked_key_is_refused(app: App) -> None:
    ops = await operator(app)
    issued = (await ops.post("keys", {"name": "Cleo", "scopes": ["cms"]})).json
    cleo = ops.with_key(issued["key"])
    assert (await cleo.get("rules")).status == 200
    assert (await ops.call("DELETE", f"keys/{issued['id']}")).status == 204
    assert (await cleo.get("rules")).status == 401
    assert (await ops.call("DELETE", f"keys/{issued['id']}")).status == 404
    assert (await ops.post("keys", {"name": "Cleo", "scopes": ["cms"]})).status == 201


async def test_a_key_is_shown_once_and_its_hash_never(app: App) -> None:
    ops = await operator(app)
    issued = await ops.post("keys", {"name": "Dora", "scopes": ["cms", "sdk"], "expiresAt": "2099-01-01T00:00:00Z"})
    key = issued.json["key"]
    app.secrets.add(key)
    hashed = app.services.identity.api_key_hash(key)
    for path in ("keys", "audit"):
        shown = (await ops.get(path)).body.decode()
        assert "Dora" in shown
        assert key not in shown
        assert hashed not in shown
    renamed = await ops.call("PATCH", f"keys/{issued.json['id']}", {"name": "Dora (sports)"})
    assert renamed.json["name"] == "Dora (sports)"


async def test_key_management_requires_scope_ops_and_ops_keys_a_platform_key(app: App) -> None:
    editor = await new_editor(app)
    assert (await editor.get("keys")).status == 403
    assert (await editor.post("keys", {"name": "x", "scopes": ["ops"]})).status == 403
    own_ops = "own-ops-key-9876543210"
    await app.save_key(editor.tenant_id, own_ops, "ops", name="ops of the tenant")
    tenant_ops = editor.with_key(own_ops)
    assert (await tenant_ops.post("keys", {"name": "x", "scopes": ["cms"]})).status == 201
    assert (await tenant_ops.post("keys", {"name": "y", "scopes": ["ops"]})).status == 403
    again = await tenant_ops.post("keys", {"name": "x", "scopes": ["cms"]})
    assert again.code == "already_active"
    past = await tenant_ops.post("keys", {"name": "z", "scopes": ["cms"], "expiresAt": 5})
    assert past.json["detail"] == "expiresAt must be in the future."


async def test_an_sdk_key_is_refused_by_every_cms_endpoint(app: App) -> None:
    editor = await new_editor(app)
    sdk = editor.with_key(editor.client.key)
    for path in ("videos", "configuration", "rules", "playlists", "audit", "imports", "models", "experiments", "keys"):
        assert (await sdk.get(path)).status == 403
    assert (await sdk.post("preview")).status == 403


async def test_operators_manage_platform_keys_but_cannot_revoke_the_last(app: App) -> None:
    ops = await operator(app)
    platform = {"X-Tenant-Id": PLATFORM, "X-Api-Key": app.ops_key}
    listed = (await app.request("GET", "/v1/cms/keys", platform)).json["keys"]
    assert [key["name"] for key in listed] == ["operators"]
    last = await app.request("DELETE", f"/v1/cms/keys/{listed[0]['id']}", platform)
    assert (last.status, last.code) == (409, "last_key")
    editors = {**platform, "X-Api-Key": ops.client.key}
    assert (await app.request("GET", "/v1/cms/keys", editors)).status == 401


async def test_public_keys_for_user_tokens_are_added_listed_and_removed(app: App) -> None:
    ops = await operator(app)
    pem = _pem(ec.generate_private_key(ec.SECP256R1()).public_key())
    assert (await ops.post("user-token-keys", {"keyId": "2026-11", "publicKey": pem})).status == 201
    assert app.services.tenants.user_token_keys(ops.tenant_id) == {"2026-11": pem}
    assert (await ops.post("user-token-keys", {"keyId": "2026-11", "publicKey": pem})).code == "already_exists"
    weak = _pem(rsa.generate_private_key(65_537, 1024).public_key())
    refused = await ops.post("user-token-keys", {"keyId": "weak", "publicKey": weak})
    assert refused.json["detail"] == "An RSA key must have at least 2048 bits."
    other = _pem(ec.generate_private_key(ec.SECP384R1()).public_key())
    refused = await ops.post("user-token-keys", {"keyId": "p384", "publicKey": other})
    assert refused.json["detail"] == "An elliptic-curve key must be on P-256."
    assert (await ops.call("DELETE", "user-token-keys/2026-11")).status == 204
    assert app.services.tenants.user_token_keys(ops.tenant_id) == {}
    assert (await ops.post("user-token-keys", {"keyId": "2026-11", "publicKey": pem})).status == 201


def _pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()
