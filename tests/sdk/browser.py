"""Runs the built SDK in a browser profile and reads which of its events arrived at the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import BrowserContext, Page

from tests.sdk.server import archive
from tests.served_app import App, Client, eventually


@dataclass
class Browser:
    """A Chromium profile. `faults`: page errors, except of calls that a test makes fail."""

    app: App
    origin: str
    context: BrowserContext
    faults: list[str] = field(default_factory=list)

    async def open(self, client: Client, **options: Any) -> Page:
        """Open a page of the app, with a session that has the first page of its feed."""
        page = await self.context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda said: self._hear(said.text) if said.type == "error" else None)
        await self.load(page, client, **options)
        return page

    async def load(self, page: Page, client: Client, **options: Any) -> None:
        """Load a page anew."""
        await page.goto(f"{self.origin}/page.html")
        await self.start(page, client, **options)

    async def start(self, page: Page, client: Client, **options: Any) -> None:
        given = {"baseUrl": self.app.url, "tenantId": client.tenant_id, "apiKey": client.key, "user": client.user}
        await page.wait_for_function("() => window.start !== undefined")
        await page.evaluate("options => window.start(options)", {**given, **options})
        await page.evaluate(
            "async () => { const feed = session.feed(); await feed.at(0); window.videos = feed.videos; }"
        )

    def _hear(self, said: str) -> None:
        if "Failed to load resource" not in said:
            self.faults.append(said)


async def arrived(client: Client, *types: str) -> list[dict[str, Any]]:
    """Return a tenant's archived events, once so many were accepted: these types, each as often as named."""

    async def accepted() -> bool:
        return client.app.counted("events_accepted", client.tenant_id) >= len(types)

    await eventually(accepted)
    lines = await archive(client.app, {"tenantId": client.tenant_id})
    assert sorted(line["type"] for line in lines) == sorted(types)
    return lines
