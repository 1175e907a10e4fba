"""No sequence of calls with tenant A's keys reads, changes or infers anything of tenant B."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.documents.port import TENANTS, VIDEO_STATS, VIDEOS, query_all
from tests.cms.editor import RULE, VIDEO, Editor, new_editor
from tests.served_app import Answer, App, make_video, served

Call = tuple[str, str, Any, dict[str, str]]
World = tuple[asyncio.Runner, App, Editor]
MARK = "onlyofb"
"""Contained in every name and text of tenant B, and in nothing that A ever sends."""
OPS_OF_OURS = "ops-key-of-tenant-a-0123456789"
ARMS = [{"name": "a", "percent": 10}, {"name": "b", "percent": 10, "weights": {"quality": 1}}]

IDS = st.sampled_from(["same", "other", "~audit:1", "...", "same%2F..%2Fx", "key:app"])
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"])
RESOURCES = st.sampled_from(
    ["videos", "rules", "playlists", "feeds", "experiments", "imports", "models", "keys", "user-token-keys"]
)
ACTIONS = st.sampled_from(
    ["", "/takedown", "/restore", "/draft", "/draft/publish", "/start", "/stop", "/report", "/promote", "/rotate"]
)
PLAIN = st.sampled_from(
    [
        "configuration",
        "configuration/draft",
        "configuration/draft/publish",
        "audit",
        "models/rollback",
        "learning",
        "preview",
        "tenants",
        "live",
        "served-page",
        "media-ticket",
    ]
)
BODIES: st.SearchStrategy[Any] = st.sampled_from(
    [
        {},
        {"id": "same", **VIDEO},
        {"id": "same", **RULE},
        {"id": "same", "name": "Mine", "videoIds": ["same", "other"]},
        {"id": "same", "title": "Mine", "base": {"playlists": ["same"]}},
        {"id": "same", "name": "Mine", "arms": ARMS},
        {"videos": [{"id": "same", **VIDEO, "title": "Mine"}, {"id": "other", **VIDEO}]},
        {"maturityPolicy": "PG13", "defaultLimit": 7},
        {"type": "linear", "version": "same", "weights": {"quality": 1}},
        {"why": ["same", "other"], "draft": {"configuration": {"defaultLimit": 5}}},
        {"name": "Mine", "scopes": ["cms"]},
        {"tenantId": "elsewhere"},
    ]
)
HEADERS = st.fixed_dictionaries({}, optional={"If-Match": st.sampled_from(['"1"', '"2"', "*"])})
CALLS = st.lists(
    st.one_of(
        st.tuples(METHODS, PLAIN, BODIES, HEADERS),
        st.tuples(METHODS, RESOURCES, BODIES, HEADERS),
        st.builds(
            lambda method, resource, id, action, body, headers: (method, f"{resource}/{id}{action}", body, headers),
            METHODS, RESOURCES, IDS, ACTIONS, BODIES, HEADERS,
        ),
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


async def tenant_with_one_of_everything(app: App) -> Editor:
    """A tenant with one of everything, under the names that A tries too."""
    editor = await new_editor(app, [make_video("same", MARK, title=f"{MARK} title", creator=MARK)])
    await editor.post("rules", {"id": "same", **RULE, "name": MARK, "match": {"tags": [MARK]}})
    await editor.post("playlists", {"id": "same", "name": MARK, "videoIds": ["same"]})
    await editor.post("feeds", {"id": "same", "title": MARK, "base": {"tags": [MARK]}})
    await editor.call("PUT", "feeds/other/draft", {"title": MARK, "base": {"tags": [MARK]}})
    await editor.post("experiments", {"id": "same", "name": MARK, "arms": ARMS})
    await editor.post(
        "models", {"type": "linear", "version": "same", "weights": {"quality": 9}, "trained": {"by": MARK}}
    )
    await editor.call("PATCH", "configuration/draft", {"defaultLimit": 33})
    await editor.change("PATCH", "videos/same", {"language": "en"})
    return editor


async def everything_of(app: App, tenant_id: str) -> bytes:
    stored = [
        (container.name, document.id, document.etag, document.body)
        for container in (TENANTS, VIDEOS, VIDEO_STATS)
        for document in await query_all(app.documents, container, tenant_id)
    ]
    return orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)


def outcome(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code if answer.status >= 400 else None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An app that runs only during a sequence of calls, so that generating sequences stays undisturbed."""
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        app = runner.run(stack.enter_async_context(served(tmp_path_factory.mktemp("isolated"))))
        yield runner, app, runner.run(tenant_with_one_of_everything(app))
        runner.run(stack.aclose())


@settings(max_examples=40)
@given(calls=CALLS, as_ops=st.booleans())
def test_no_sequence_of_calls_with_one_tenants_keys_reaches_another_tenant(
    world: World, calls: list[Call], as_ops: bool
) -> None:
    runner, app, other = world
    runner.run(attempt(app, other, calls, as_ops))


async def attempt(app: App, other: Editor, calls: list[Call], as_ops: bool) -> None:
    """Make the calls as tenant A; then with A's keys and B's tenant id, and with an unknown tenant."""
    own = await new_editor(app, [make_video("mine")])
    await app.save_key(own.tenant_id, OPS_OF_OURS, "ops", "cms", name="our own ops")
    editor = own.with_key(OPS_OF_OURS) if as_ops else own
    before = await everything_of(app, other.tenant_id)
    for method, path, body, headers in calls:
        sent = None if method in ("GET", "DELETE") else body
        answer = await editor.call(method, path, sent, headers)
        assert answer.status < 500, (method, path, answer.json)
        assert MARK.encode() not in answer.body
        assert other.tenant_id.encode() not in answer.body
        crossing = await editor.call(method, path, sent, {**headers, "X-Tenant-Id": other.tenant_id})
        assert crossing.status in (400, 401, 404, 405), (method, path, crossing.status)
        nowhere = await editor.call(method, path, sent, {**headers, "X-Tenant-Id": "tenant-that-nobody-has"})
        assert outcome(crossing) == outcome(nowhere), "an existing tenant can be told from none"
    assert await everything_of(app, other.tenant_id) == before


def test_cursor_of_one_tenant_reveals_nothing_of_another(world: World) -> None:
    world[0].run(_a_borrowed_cursor(world[1]))


async def _a_borrowed_cursor(app: App) -> None:
    videos = [make_video(f"vid_{MARK}_{n}") for n in range(5)]
    b = await new_editor(app, videos)
    a = await new_editor(app, [make_video("a_mine"), make_video("zz_mine")])
    cursor = (await b.get("videos", limit=2)).json["nextCursor"]
    page = await a.get("videos", cursor=cursor)
    assert [video["id"] for video in page.json["videos"]] == ["zz_mine"]


def test_model_rule_feed_or_playlist_of_another_tenant_cannot_be_referenced(world: World) -> None:
    world[0].run(_borrowed_names(world[1]))


async def _borrowed_names(app: App) -> None:
    a = await new_editor(app, [make_video("mine")])
    assert (await a.post("models/same/promote")).status == 404
    arms = [{**ARMS[0], "modelVersion": "same"}, ARMS[1]]
    assert (await a.post("experiments", {"id": "x", "name": "x", "arms": arms})).status == 422
    assert (await a.post("preview", {"draft": {"modelVersion": "same"}})).status == 422
    rule = {"id": "pin", "name": "x", "action": "limit", "match": {"playlists": ["same"]}}
    await a.post("rules", rule)
    assert (await a.client.feed()).ids == []
    await a.change("DELETE", "rules/pin")
    assert (await a.client.feed()).ids == ["mine"]
    assert (await a.client.feed(feed="same")).code == "feed_not_found"
    assert (await a.client.feed(**{"filter.playlist": "same"})).ids == []
    assert (await a.client.feed(**{"filter.tag": MARK})).ids == []
    await a.post("feeds", {"id": "borrowed", "title": "x", "base": {"playlists": ["same"]}})
    assert (await a.client.feed(feed="borrowed")).ids == []
