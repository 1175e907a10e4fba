"""Library and browser caches show a page only to the user it was served to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.story import story_events
from tests.cases.http_caches import LIBRARIES, Get, chromium_cache
from tests.served_app import Answer, App, Client, make_video, new_user, served
from tests.user_tokens import save_public_key, signer

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE = "https://app.example"
EACH_LIBRARY = pytest.mark.parametrize("library", LIBRARIES)
FEW = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    async with served(tmp_path_factory.mktemp("app"), cors_origins=HERE) as app:
        yield app


@dataclass(frozen=True)
class Asker:
    """The relevant headers of a request, as numbers of the test's tenants, keys, users and tokens."""

    tenant: int
    key: int
    user: int
    consent: str | None
    token: bool
    origin: str | None


@dataclass(frozen=True)
class World:
    """Two tenants with the same users and video ids but other titles; the second requires user tokens."""

    app: App
    keys: tuple[tuple[str, ...], tuple[str, ...]]
    tenants: tuple[str, str]
    users: tuple[str, str]
    tokens: tuple[str, str]

    def headers(self, asker: Asker) -> dict[str, str]:
        headers = {
            "X-Tenant-Id": self.tenants[asker.tenant],
            "X-Api-Key": self.keys[asker.tenant][asker.key],
            "X-User": self.users[asker.user],
        }
        if asker.consent is not None:
            headers["X-Personalization"] = asker.consent
        if asker.token and asker.tenant == 1:
            headers["X-User-Token"] = self.tokens[asker.user]
        if asker.origin is not None:
            headers["Origin"] = asker.origin
        return headers

    async def check(self, asker: Asker, page: Answer) -> None:
        """Fail unless the page may be shown to this asker."""
        if asker.key == 2:
            assert page.code == "unauthorized"
            return
        if asker.tenant == 1 and not asker.token:
            assert page.code == "missing_user_token"
            return
        assert page.status == 200
        assert {item["title"] for item in page.json["items"]} == {f"of tenant {asker.tenant}"}
        assert (page.json["reason"] == "no_consent") == (asker.consent == "off")
        if asker.origin == HERE:
            assert page.headers["Access-Control-Allow-Origin"] == HERE
        cursor = page.json["nextCursor"]  # valid for its tenant and user only
        headers = {name: value for name, value in self.headers(asker).items() if name != "Origin"}
        following = await self.app.request("GET", "/v1/feed", headers, {"limit": 2, "cursor": cursor})
        assert following.status == 200


askers = st.builds(
    Asker,
    tenant=st.integers(0, 1),
    key=st.integers(0, 2),
    user=st.integers(0, 1),
    consent=st.sampled_from([None, "on", "off"]),
    token=st.booleans(),
    origin=st.sampled_from([None, HERE, "https://evil.example"]),
)


async def new_world(app: App) -> World:
    users = (new_user(), new_user())
    app.secrets.update(users)
    found: list[Client] = []
    keys: list[tuple[str, ...]] = []
    for number in range(2):
        videos = [make_video(f"vid_{n}", f"category {n % 3}", title=f"of tenant {number}") for n in range(9)]
        tenant = await app.tenant(videos, require_user_token=number == 1)
        second = f"another-key-of-{tenant.tenant_id}"
        await app.save_key(tenant.tenant_id, second, "sdk", name="second")
        found.append(tenant)
        keys.append((tenant.key, second, "a-guessed-key"))
    await save_public_key(app.documents, found[1].tenant_id, signer("ES256"))
    assert await app.services.tenants_refresher.refresh()
    known = found[0].as_user(users[0])  # a user with a personal page
    await known.post(story_events(app.clock.now()))
    await app.folded()
    tokens = tuple(signer("ES256").token(found[1].tenant_id, user, app.clock.now()) for user in users)
    return World(app, (keys[0], keys[1]), (found[0].tenant_id, found[1].tenant_id), users, (tokens[0], tokens[1]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(app: App) -> AsyncIterator[World]:
    yield await new_world(app)


async def served_to(
    app: App, cached: Get, headers: dict[str, str], path: str = "/v1/feed?limit=2"
) -> tuple[Answer, bool]:
    """Return the cache's response, and whether it came without calling the app."""
    name = "get_config" if "config" in path else "get_feed"
    before = sum(app.counted("http_requests", name, kind) for kind in ("2xx", "3xx", "4xx"))
    answer = await cached(app.url + path, headers)
    return answer, sum(app.counted("http_requests", name, kind) for kind in ("2xx", "3xx", "4xx")) == before


@EACH_LIBRARY
@FEW
@given(sequence=st.lists(askers, min_size=2, max_size=8))
async def test_requests_that_differ_in_a_relevant_header_never_share_a_page(
    world: World, library: str, sequence: list[Asker]
) -> None:
    async with LIBRARIES[library]() as cached:
        before: list[dict[str, str]] = []
        for asker in [*sequence, *sequence]:
            headers = world.headers(asker)
            page, from_cache = await served_to(world.app, cached, headers)
            assert not from_cache or headers in before
            await world.check(asker, page)
            before.append(headers)


@EACH_LIBRARY
async def test_popular_page_is_cached_for_the_same_viewer(world: World, library: str) -> None:
    headers = world.headers(Asker(0, 0, 1, None, False, None))
    async with LIBRARIES[library]() as cached:
        first, asked = await served_to(world.app, cached, headers)
        second, kept = await served_to(world.app, cached, headers)
    assert (asked, kept) == (False, True), "the cache is not in use: the other tests would show nothing"
    assert first.body == second.body


@EACH_LIBRARY
async def test_revalidated_page_is_still_json(world: World, library: str) -> None:
    headers = world.headers(Asker(0, 0, 0, None, False, None))
    async with LIBRARIES[library]() as cached:
        unmodified = world.app.counted("http_requests", "get_feed", "3xx")
        first, _ = await served_to(world.app, cached, headers)
        again, kept = await served_to(world.app, cached, headers)
    assert first.json["mode"] == "personalized"
    assert not kept
    assert world.app.counted("http_requests", "get_feed", "3xx") == unmodified + 1
    assert (again.status, again.headers["Content-Type"], again.body) == (200, "application/json", first.body)


@FEW
@given(one=askers, other=askers)
async def test_etag_of_a_page_does_not_match_for_another_user(world: World, one: Asker, other: Asker) -> None:
    same = (one.tenant, one.user, one.consent == "off") == (other.tenant, other.user, other.consent == "off")
    page = await world.app.request("GET", "/v1/feed", world.headers(one), {"limit": 2})
    tag = {"If-None-Match": page.headers["Etag"]} if page.status == 200 else {}
    answer = await world.app.request("GET", "/v1/feed", {**world.headers(other), **tag}, {"limit": 2})
    if not same or not tag:
        assert answer.status != 304


@EACH_LIBRARY
async def test_tenants_never_share_a_cached_configuration(app: App, library: str) -> None:
    small, large = await app.tenant(default_limit=5), await app.tenant(default_limit=50)
    async with LIBRARIES[library]() as cached:
        for client, limit in ((small, 5), (large, 50), (small, 5)):
            answer, _ = await served_to(app, cached, client.headers, "/v1/config")
            assert answer.json["feed"]["defaultLimit"] == limit
        refused, _ = await served_to(app, cached, small.with_key("a-guessed-key").headers, "/v1/config")
        assert refused.code == "unauthorized"
        same = await app.request("GET", "/v1/config", {**small.headers})
        other = await app.tenant(default_limit=5)
        answer = await other.get("/v1/config", {"If-None-Match": same.headers["Etag"]})
        assert answer.status == 200


async def test_browser_cache_shows_no_page_to_another_user(world: World) -> None:
    app = world.app
    viewer = Asker(0, 0, 1, None, False, None)
    others = [
        viewer,
        Asker(0, 0, 0, None, False, None),  # another user
        viewer,
        Asker(0, 0, 1, "off", False, None),  # no consent
        viewer,
        Asker(1, 0, 1, None, True, None),  # another tenant
        Asker(1, 0, 1, None, False, None),  # no token
        viewer,
        Asker(0, 2, 1, None, False, None),  # a wrong key
        Asker(0, 1, 1, None, False, None),
    ]
    async with chromium_cache(f"{app.url}/studio") as cached:
        first, _ = await served_to(app, cached, world.headers(viewer))
        second, kept = await served_to(app, cached, world.headers(viewer))
        assert kept, "the browser's cache is not in use: the rest would show nothing"
        assert second.body == first.body
        for asker in others:
            page, _ = await served_to(app, cached, world.headers(asker))
            await world.check(asker, page)
        small, large = await app.tenant(default_limit=5), await app.tenant(default_limit=50)
        for client, limit in ((small, 5), (large, 50)):
            answer, _ = await served_to(app, cached, client.headers, "/v1/config")
            assert answer.json["feed"]["defaultLimit"] == limit
