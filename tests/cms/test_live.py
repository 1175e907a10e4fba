"""The live page shows current measurements to platform keys only, without tenants, users or keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.bus.port import SUBSCRIPTIONS, BusUnavailable
from shared.adapters.flags.evaluation import FLAGS
from shared.adapters.tenant_directory import PLATFORM
from tests.cms.editor import Editor, new_editor
from tests.served_app import App, eventually, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def operator(app: App) -> Editor:
    editor = await new_editor(app, make_videos(9))
    return replace(editor.with_key(app.ops_key), client=replace(editor.client, tenant_id=PLATFORM))


async def live(app: App, **query: Any) -> dict[str, Any]:
    answer = await (await operator(app)).get("live", **query)
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


async def test_recent_feeds_and_events_are_counted_with_their_latencies(app: App) -> None:
    before = await live(app)
    client = (await new_editor(app, make_videos(9))).client
    for _ in range(9):
        assert (await client.feed()).status == 200
    await client.post(
        [{"type": "video_view", "videoId": "vid_fitness_1", "timestamp": app.now_ms(), "watchTimeMs": 9_000}]
    )
    await app.folded()
    after = await live(app)
    assert after["feeds"]["count"] == before["feeds"]["count"] + 9
    assert {"mode": "fallback", "reason": "cold_start"}.items() <= after["feeds"]["reasons"][0].items()
    times = after["feeds"]["times"]
    assert times["count"] == after["feeds"]["count"]
    assert 0 < times["p50"] <= times["p95"] <= times["p99"] <= times["top"]
    assert {stage["stage"] for stage in after["stages"]} >= {"authenticate", "render"}
    assert after["events"]["accepted"] == before["events"]["accepted"] + 1
    assert after["events"]["foldLag"]["count"] > before["events"]["foldLag"]["count"]
    assert after["events"]["times"]["count"] > before["events"]["times"]["count"]


async def test_live_page_lists_queues_dependencies_ages_and_every_flag(app: App) -> None:
    found = await live(app)
    assert (found["scope"], found["flagsIn"]) == ("machine", "file")
    assert {queue["subscription"] for queue in found["queues"]} == set(SUBSCRIPTIONS)
    assert {each["name"]: each["state"] for each in found["dependencies"]}["documents"] == "ready"
    assert {each["source"] for each in found["held"]} == {"flags", "tenants", "content"}
    assert [flag["name"] for flag in found["flags"]] == list(FLAGS)
    assert {flag["name"]: flag["on"] for flag in found["flags"]}["personalized-feed"] is True


async def test_live_page_contains_no_tenant_user_or_key(app: App) -> None:
    client = (await new_editor(app, make_videos(9))).client
    await client.feed()
    body = (await (await operator(app)).get("live")).body.decode()
    for value in (client.tenant_id, client.user_key, *app.secrets):
        assert value not in body


@pytest.mark.parametrize("minutes", ["0", "16", "-1", "5.0", "five", "٥", "005"])
async def test_invalid_minutes_are_refused(app: App, minutes: str) -> None:
    answer = await (await operator(app)).get("live", minutes=minutes)
    assert (answer.status, answer.code) == (400, "invalid_minutes")


async def test_only_platform_keys_with_scope_ops_can_read_the_live_page(app: App) -> None:
    editor = await new_editor(app)
    await app.save_key(editor.tenant_id, "tenants-own-ops-key-0123", "ops", "cms")
    await app.save_key(PLATFORM, "platform-key-without-ops", "cms", name="another")
    for key, status in ((editor.key, 401), ("tenants-own-ops-key-0123", 401), ("platform-key-without-ops", 403)):
        assert (await editor.with_key(key).get("live")).status == status


async def test_unavailable_bus_is_reported_and_the_rest_is_shown(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    ops = await operator(app)

    async def down(subscription: str) -> tuple[int, int]:
        raise BusUnavailable("down")

    monkeypatch.setattr(app.bus, "depth", down)
    app.clock.advance(10)  # the cached result is outdated

    async def told() -> bool:
        return (await ops.get("live")).json["queues"] is None

    await eventually(told)
    assert (await ops.get("live")).json["feeds"]["count"] >= 0
    monkeypatch.undo()
    app.clock.advance(10)
    await eventually(lambda: _queues_are_back(ops))


async def _queues_are_back(ops: Editor) -> bool:
    return (await ops.get("live")).json["queues"] is not None


async def test_concurrent_live_page_calls_query_the_bus_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    ops = await operator(app)
    looked = []
    depth = app.bus.depth

    async def counting(subscription: str) -> tuple[int, int]:
        looked.append(subscription)
        return await depth(subscription)

    monkeypatch.setattr(app.bus, "depth", counting)
    app.clock.advance(10)
    await asyncio.gather(*(ops.get("live") for _ in range(20)))
    assert sorted(looked) == sorted(SUBSCRIPTIONS)
