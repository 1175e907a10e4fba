"""People of a tenant with user tokens, for tests of follows and stories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.adapters.flags.evaluation import PERSONALIZED_FEED, STORIES, STORY_RANKED
from tests.served_app import Answer, App, Client, eventually
from tests.user_tokens import save_public_key, signer


@dataclass(frozen=True)
class Someone:
    """A user who calls with their own token."""

    client: Client
    id: str = ""

    @property
    def app(self) -> App:
        return self.client.app

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        token = signer("ES256").token(self.client.tenant_id, self.client.user, self.app.clock.now())
        self.app.secrets.add(token)
        return {**self.client.headers, "X-User-Token": token, **(more or {})}

    async def call(
        self, method: str, path: str, body: Any = None, more: Mapping[str, str] | None = None, **query: Any
    ) -> Answer:
        sent = self.headers(more)
        raw = None if body is None else orjson.dumps(body)
        if raw is not None:
            sent["Content-Type"] = "application/json"
        return await self.app.request(method, f"/v1/{path}", sent, query, raw)

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.call("GET", path, **query)

    async def another(self) -> Someone:
        """Return another user of the same tenant."""
        return await _known(Someone(self.client.as_user()))


async def uploaded(someone: Someone, file: bytes, content_type: str, said: int | None = None) -> dict[str, Any]:
    """Upload a file and return the answer of `complete`; its ticket states `said` bytes, by default the real size."""
    form = {"purpose": "story", "contentType": content_type, "bytes": len(file) if said is None else said}
    ticket = (await someone.call("POST", "uploads", form)).json
    async with someone.app.http.put(ticket["url"], data=file, headers=ticket["headers"]) as stored:
        assert stored.status == 201, await stored.text()
    found: dict[str, Any] = (await someone.call("POST", f"uploads/{ticket['uploadId']}/complete")).json
    return found


async def _known(someone: Someone) -> Someone:
    answer = await someone.get("me")
    assert answer.status == 200, answer.body
    return Someone(someone.client, answer.json["id"])


async def stories_on(app: App, *, on: bool = True, ranked: bool = True, personal: bool = True) -> None:
    """Set the flags, and wait until the app has read them."""
    wanted = {STORIES: on, STORY_RANKED: ranked, PERSONALIZED_FEED: personal}
    app.write_flags(*({"id": name, "enabled": enabled} for name, enabled in wanted.items()))

    async def known() -> bool:
        await app.services.flags_refresher.refresh()
        return all(app.services.flags.on(name, "") == enabled for name, enabled in wanted.items())

    await eventually(known)


async def someone_of(app: App, **configuration: Any) -> Someone:
    """A user of a new tenant with stories on."""
    await stories_on(app)
    client = await app.tenant(**configuration)
    await save_public_key(app.documents, client.tenant_id, signer("ES256"))
    assert await app.services.tenants_refresher.refresh()
    return await _known(Someone(client))
