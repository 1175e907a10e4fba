"""A user with a token of their tenant's backend, for endpoints that require one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.served_app import Answer, App, Client
from tests.user_tokens import save_public_key, signer


@dataclass(frozen=True)
class Viewer:
    """Calls with the user's token. Events are folded before a call returns."""

    client: Client

    @property
    def app(self) -> App:
        return self.client.app

    @property
    def token(self) -> dict[str, str]:
        token = signer("ES256").token(self.client.tenant_id, self.client.user, self.app.clock.now())
        self.app.secrets.add(token)
        return {"X-User-Token": token}

    async def me(self, what: str, headers: dict[str, str] | None = None, **query: Any) -> Answer:
        return await self.client.get(f"/v1/me/{what}", {**self.token, **(headers or {})}, **query)

    async def ids(self, what: str, **query: Any) -> list[str]:
        answer = await self.me(what, **query)
        assert answer.status == 200, answer.json
        return [item.get("videoId") or f"{item['kind']}:{item['id']}" for item in answer.json["items"]]

    async def tell(self, kind: str, video: str, *, ago: float = 0.0, **fields: Any) -> None:
        await self.send({"type": kind, "videoId": video, "timestamp": self.app.now_ms(ago), **fields})

    async def follow(self, kind: str, id: str, *, ago: float = 0.0, type: str = "follow") -> None:
        row = {"type": type, "followKind": kind, "followId": id, "timestamp": self.app.now_ms(ago)}
        await self.send(row)

    async def send(self, *events: dict[str, Any]) -> None:
        answer = await self.client.post(list(events))
        assert (answer.status, answer.json["rejected"]) == (202, []), answer.json
        await self.app.folded()

    def other(self) -> Viewer:
        """Somebody else of the same tenant."""
        return Viewer(self.client.as_user())


async def viewer_of(client: Client) -> Viewer:
    """The client's user, whose tenant signs tokens from now on."""
    await save_public_key(client.app.documents, client.tenant_id, signer("ES256"))
    assert await client.app.services.tenants_refresher.refresh()
    return Viewer(client)
