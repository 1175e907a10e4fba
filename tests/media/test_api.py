"""Upload endpoints: permissions, refusals, and their absence when the flag is off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.media.files import HTML, JPEG, MP4
from tests.media.served_media import served_with_media
from tests.served_app import Answer, App, Client, eventually, personalized
from tests.stories.social import someone_of, uploaded
from tests.user_tokens import save_public_key, signer

ON = {"id": "stories", "enabled": True}
GOOD = {"purpose": "story", "contentType": "image/jpeg", "bytes": len(JPEG)}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with served_with_media(tmp_path) as app:
        app.write_flags(personalized(), ON)

        async def is_on() -> bool:
            return app.services.flags.on("stories", "t")

        await eventually(is_on)
        yield app


async def post(client: Client, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
    sent = {**client.headers, "Content-Type": "application/json", **(headers or {})}
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return await client.app.request("POST", path, sent, body=raw)


async def test_image_becomes_media_by_its_ticket_only(app: App) -> None:
    client, now = await app.tenant(), app.clock.now()
    await save_public_key(app.documents, client.tenant_id, signer("EdDSA"))
    assert await app.services.tenants_refresher.refresh()

    def token(user: str, tenant: str = client.tenant_id) -> dict[str, str]:
        return {"X-User-Token": signer("EdDSA").token(tenant, user, now)}

    mine = token(client.user)

    # permissions
    assert (await post(client, "/v1/uploads", GOOD)).code == "missing_user_token"
    assert (await post(client, "/v1/uploads", GOOD, token(client.user, "tenant-2"))).code == "invalid_user_token"
    other = client.as_user()
    assert (await post(client, "/v1/uploads", GOOD, token(other.user))).code == "user_token_mismatch"

    # requests
    refused = {
        "media_type_refused": {**GOOD, "contentType": "image/svg+xml"},
        "media_too_large": {**GOOD, "bytes": 10_000_001},
        "invalid_upload": {**GOOD, "purpose": "video"},
        "invalid_json": b"{",
    }
    for code, body in refused.items():
        assert (await post(client, "/v1/uploads", body, mine)).code == code
    for body in ([], {}, {**GOOD, "bytes": 0}, {**GOOD, "bytes": True}, {**GOOD, "more": 1}, {**GOOD, "bytes": "9"}):
        assert (await post(client, "/v1/uploads", body, mine)).code == "invalid_upload"
    assert (await post(client, "/v1/uploads", b" " * 5_000, mine)).code == "body_too_large"

    # one upload
    started = await post(client, "/v1/uploads", GOOD, mine)
    assert started.status == 201
    ticket, complete = started.json, f"/v1/uploads/{started.json['uploadId']}/complete"
    assert (await post(client, complete, None, mine)).code == "upload_missing"
    async with app.http.put(ticket["url"], data=JPEG, headers=ticket["headers"]) as stored:
        assert stored.status == 201
    assert (await post(client, complete, None, token(other.user))).code == "user_token_mismatch"
    assert (await post(other, complete, None, token(other.user))).code == "upload_not_found"
    done = await post(client, complete, None, mine)
    assert (done.status, done.json["contentType"], done.json["bytes"]) == (200, "image/jpeg", len(JPEG))
    assert (await post(client, complete, None, mine)).json == done.json

    # an HTML page declared as an image
    ticket = (await post(client, "/v1/uploads", GOOD, mine)).json
    async with app.http.put(ticket["url"], data=HTML, headers=ticket["headers"]) as stored:
        assert stored.status == 201
    assert (await post(client, f"/v1/uploads/{ticket['uploadId']}/complete", None, mine)).code == "media_refused"

    # limits and erasure
    answers = [await post(client, "/v1/uploads", GOOD, mine) for _ in range(11)]
    assert [each.status for each in answers] == [201] * 10 + [429]
    assert answers[-1].code == "too_many_uploads"
    assert app.services.media is not None
    held = [blob.name async for blob in app.services.media.list("media")]
    assert held == [f"{client.tenant_id}/{done.json['mediaKey']}"]
    key = "private-key-of-the-tenant"
    await app.save_key(client.tenant_id, key, "privacy", name="privacy")
    assert (await post(client.with_key(key), "/v1/privacy/erase")).status == 200
    assert [blob.name async for blob in app.services.media.list("media")] == []

    # no route without the flag
    app.write_flags(personalized())

    async def is_off() -> bool:
        return (await post(client, "/v1/uploads", GOOD, mine)).status == 404

    await eventually(is_off)
    assert (await post(client, complete, None, mine)).code == "not_found"


async def test_images_and_clips_have_separate_size_limits_set_by_operators(tmp_path: Path) -> None:
    async with served_with_media(tmp_path, story_picture_bytes=1_000.0, story_clip_bytes=2_000.0) as app:
        someone = await someone_of(app)
        for kind, most in (("image/jpeg", 1_000), ("video/mp4", 2_000)):
            ticket = {"purpose": "story", "contentType": kind, "bytes": most}
            assert (await someone.call("POST", "uploads", ticket)).status == 201
            refused = await someone.call("POST", "uploads", {**ticket, "bytes": most + 1})
            assert (refused.status, refused.code) == (413, "media_too_large")
        assert (await uploaded(someone, MP4, "video/mp4"))["bytes"] == len(MP4)
        longer = JPEG[:600] + bytes(401)
        cut = await uploaded(someone, longer, "image/jpeg", said=1_000)
        assert cut["code"] == "media_refused", "one byte more than the ticket says"


async def test_brand_posts_with_a_server_key_and_is_no_person(tmp_path: Path) -> None:
    async with served_with_media(tmp_path) as app:
        viewer = await someone_of(app)
        key = "private-key-of-the-server"
        await app.save_key(viewer.client.tenant_id, key, "cms", name="server")
        brand = viewer.client.with_key(key)  # it names a user, but is not that user

        async def call(method: str, path: str, body: Any = None, **more: str) -> Answer:
            sent = {**brand.headers, "Content-Type": "application/json", **more}
            raw = b"" if body is None else json.dumps(body).encode()
            return await app.request(method, f"/v1/{path}", sent, body=raw)

        ticket = (await call("POST", "uploads", GOOD)).json
        async with app.http.put(ticket["url"], data=JPEG, headers=ticket["headers"]) as stored:
            assert stored.status == 201
        media_key = (await call("POST", f"uploads/{ticket['uploadId']}/complete")).json["mediaKey"]
        body = {"visibility": "public", "mediaKey": media_key, "text": "New in the shop."}
        made = await call("POST", "stories", body, **{"Idempotency-Key": "shop-1"})
        assert (made.status, made.json["authorId"]) == (201, (await call("GET", "me")).json["id"])
        assert made.json["authorId"] != viewer.id
        story = f"stories/{made.json['id']}"
        assert (await viewer.call("PUT", f"{story}/view")).status == 204
        assert (await call("GET", story)).json["counts"]["views"] == 0, "not counted yet"
        assert (await viewer.call("PUT", f"follow/{made.json['authorId']}")).json == {"state": "accepted"}
        assert (await call("GET", "me/stats")).status == 200
        assert (await viewer.call("DELETE", story)).code == "story_not_found"
        assert (await call("GET", "me/events")).code == "missing_user_token"
        assert (await call("PUT", f"{story}/view")).code == "missing_user_token"
        wrong = await call("POST", "stories", body, **{"X-User-Token": "x.y.z"})
        assert wrong.code == "invalid_user_token", "a token that is sent counts"
        assert (await call("DELETE", story)).status == 204
        assert (await viewer.get(story)).code == "story_not_found"
        app_key = {"X-Api-Key": viewer.client.key}
        assert (await call("POST", "stories", body, **app_key)).code == "missing_user_token"
