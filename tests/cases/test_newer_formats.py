"""This release leaves documents of a later version unchanged."""

from __future__ import annotations

import pytest

from shared.adapters.documents.port import USER_ACTIVITY, Upsert
from shared.domain.user_signals import SIGNALS_ID
from tests.served_app import App, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_feed_falls_back_when_signals_are_of_a_newer_version(app: App) -> None:
    client = await app.tenant(make_videos(30))
    newer = {"id": SIGNALS_ID, "kind": "signals", "v": 4, "tenantId": client.tenant_id, "updatedAt": 1.0}
    await app.documents.write(USER_ACTIVITY, client.user_key, [Upsert(newer)])
    page = await client.feed()
    assert (page.status, page.json["mode"], page.json["reason"]) == (200, "fallback", "signals_unavailable")
    assert len(page.ids) == 20
    stored = await app.documents.read(USER_ACTIVITY, client.user_key, SIGNALS_ID)
    assert stored is not None
    assert stored.body["v"] == 4
