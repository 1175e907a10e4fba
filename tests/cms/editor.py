"""A client of a content team: a key of scope `cms`, and calls under /v1/cms."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.domain.records import Video
from tests.served_app import Answer, App, Client

VIDEO = {
    "title": "Ten minutes of core",
    "playbackUrl": "https://cdn.example/core.m3u8",
    "mainTag": "fitness",
    "tags": ["fitness", "home"],
    "durationSeconds": 41,
    "maturityRating": "PG",
}
RULE = {"name": "More fitness", "action": "boost", "multiplier": 3, "match": {"categories": ["fitness"]}}


@dataclass(frozen=True)
class Editor:
    """A client of the CMS with one key. `client` is the same tenant's app, as its viewers use it."""

    app: App
    client: Client
    key: str

    @property
    def tenant_id(self) -> str:
        return self.client.tenant_id

    def with_key(self, key: str) -> Editor:
        self.app.secrets.add(key)
        return replace(self, key=key)

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Answer:
        sent = {"X-Tenant-Id": self.tenant_id, "X-Api-Key": self.key, **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self.app.request(method, f"/v1/cms/{path}", sent, query, body)

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.call("GET", path, **query)

    async def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.call("POST", path, {} if body is None else body, headers)

    async def change(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Read the ETag, then change with it."""
        read = await self.get(path)
        return await self.call(method, path, body, {"If-Match": read.headers["Etag"], **headers})

    async def publish(self, draft: str, body: Any = None) -> Answer:
        """Read a draft, then publish what was read."""
        read = await self.get(draft)
        return await self.post(f"{draft}/publish", body, {"If-Match": read.headers["Etag"]})

    async def seen(self) -> None:
        """Refresh every cache of this process."""
        await self.app.services.tenants.refresh()
        await self.app.see_content()


async def new_editor(app: App, videos: Iterable[Video] = (), **configuration: Any) -> Editor:
    """A tenant of the test's own with a key of scope `cms` named Anna."""
    client = await app.tenant(videos, **configuration)
    key = secrets.token_urlsafe(24)
    await app.save_key(client.tenant_id, key, "cms", name="Anna")
    return Editor(app, client, key)
