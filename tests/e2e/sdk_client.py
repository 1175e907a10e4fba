"""A client like a mobile SDK: it caches pages as allowed and revalidates them."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from local.demo import SDK_KEY

_MAX_AGE = re.compile(r"max-age=(\d+)")


@dataclass
class SdkClient:
    """One user, of the demo's first tenant by default."""

    http: aiohttp.ClientSession
    url: str
    user: str = field(default_factory=lambda: hashlib.sha256(secrets.token_bytes(16)).hexdigest())
    tenant_id: str = "tenant_1"
    page: dict[str, Any] | None = None
    etag: str = ""
    fresh_until: float = 0.0
    from_cache: int = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Tenant-Id": self.tenant_id, "X-Api-Key": SDK_KEY, "X-User": self.user}

    async def feed(self, limit: int = 20) -> dict[str, Any]:
        """Return the page to show now: the cached one while fresh, else the service's. Raises on a failure."""
        if self.page is not None and time.monotonic() < self.fresh_until:
            self.from_cache += 1
            return self.page
        headers = {**self.headers, "If-None-Match": self.etag} if self.etag else self.headers
        async with self.http.get(f"{self.url}/v1/feed?limit={limit}", headers=headers) as response:
            if response.status not in (200, 304):
                raise RuntimeError(f"status {response.status}")
            if response.status == 200:
                self.page = await response.json()
                self.etag = response.headers["ETag"]
            age = _MAX_AGE.search(response.headers["Cache-Control"])
            self.fresh_until = time.monotonic() + (int(age[1]) if age else 0)
        assert self.page is not None
        return self.page

    async def next_page(self, limit: int = 20) -> dict[str, Any]:
        """Return the page after the last one; the first page again at the end. Never a cached one."""
        cursor = self.page.get("nextCursor") if self.page else None
        query = f"&cursor={cursor}" if cursor else ""
        async with self.http.get(f"{self.url}/v1/feed?limit={limit}{query}", headers=self.headers) as response:
            if response.status == 400 and cursor:  # the cursor is invalid: start again with an empty cache
                self.page, self.etag, self.fresh_until = None, "", 0.0
                return await self.feed(limit)
            if response.status != 200:
                raise RuntimeError(f"status {response.status}")
            self.page = await response.json()
        return self.page

    async def post(self, events: list[dict[str, Any]]) -> None:
        """Send events. Raises unless they were all accepted."""
        async with self.http.post(
            f"{self.url}/v1/events/batch", json={"events": events}, headers=self.headers
        ) as response:
            answer = await response.json()
            if response.status != 202 or answer["rejected"]:
                raise RuntimeError(f"status {response.status}: {answer}")

    async def become_known(self) -> None:
        """Watch a few videos, so that personalization has data."""
        page = await self.feed()
        now = int(time.time() * 1000)
        self.page, self.etag, self.fresh_until = None, "", 0.0
        await self.post(
            [
                {
                    "type": "video_view",
                    "videoId": item["videoId"],
                    "timestamp": now - 1_000 * place,
                    "watchTimeMs": 9_000,
                }
                for place, item in enumerate(page["items"][:5])
            ]
        )
