"""An overloaded process serves ready pages first, then refuses cleanly, and loads each tenant once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.test_bad_requests import is_problem
from tests.faulty_documents import Trouble
from tests.served_app import App, Client, eventually, make_videos, personalized, served

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """Limits that a test can reach: 4 requests in flight, 2 a second for a user, default load shedding."""
    folder: Path = tmp_path_factory.mktemp("app")
    limits = {"max_in_flight": 4.0, "user_requests_per_second": 2.0, "shed_delay_ms": 100.0, "refuse_delay_ms": 400.0}
    async with served(folder, **limits) as app:
        await app.services.limits.delay.stop()  # from here on the tests set the loop's delay
        late(app, 0.0)
        yield app


def late(app: App, seconds: float) -> None:
    for _ in range(3):
        app.services.limits.delay.saw(seconds)


async def warm_viewer(app: App, client: Client) -> Client:
    viewer = client.as_user()
    views = [
        {"type": "video_view", "videoId": f"vid_fitness_{n}", "timestamp": app.now_ms(60), "watchTimeMs": 20_000}
        for n in (1, 2, 3, 4)
    ]
    assert (await viewer.post(views)).status == 202
    await app.folded()
    return viewer


async def test_user_above_the_rate_gets_retry_after_and_others_are_served(app: App) -> None:
    client = await app.tenant(make_videos(10))
    answers = [await client.feed()]
    while answers[-1].status == 200 and len(answers) < 100:
        answers.append(await client.feed())
    assert len(answers) > 10, "five seconds' worth at once is fine"
    assert is_problem(answers[-1], 429, "rate_limited")
    assert answers[-1].headers["Retry-After"] == "1"
    assert (await client.as_user().feed()).status == 200
    app.clock.advance(1.0)
    assert (await client.feed()).status == 200


async def test_event_batches_have_their_own_limit_and_opted_out_users_share_none(app: App) -> None:
    client = await app.tenant(make_videos(10))
    event = {"type": "like", "videoId": "vid_fitness_1", "timestamp": app.now_ms()}
    off = {"X-Personalization": "off"}
    for _ in range(12):
        assert (await client.as_user().post([event], off)).status == 202
    answers = [await client.post([event])]
    while answers[-1].status == 202 and len(answers) < 100:
        answers.append(await client.post([event]))
    assert is_problem(answers[-1], 429, "rate_limited")
    assert (await client.feed()).status == 200


async def test_tenants_own_rate_limit_is_enforced(app: App) -> None:
    client = await app.tenant(make_videos(10), feed_requests_per_second=1.0)
    answers = [await client.as_user().feed()]
    while answers[-1].status == 200 and len(answers) < 100:
        answers.append(await client.as_user().feed())
    assert is_problem(answers[-1], 429, "rate_limited")


async def test_late_event_loop_serves_the_ready_page_with_the_reason(app: App) -> None:
    client = await app.tenant(make_videos(30))
    viewer = await warm_viewer(app, client)
    assert (await viewer.feed()).json["mode"] == "personalized"
    late(app, 0.2)
    page = (await viewer.feed()).json
    assert (page["mode"], page["reason"]) == ("fallback", "overloaded")
    assert page["items"]
    reads = app.documents.reads
    assert (await viewer.feed()).status == 200
    assert app.documents.reads == reads, "the ready page reads nothing about the user"
    late(app, 0.0)
    assert (await viewer.feed()).json["mode"] == "personalized"


async def test_a_very_late_event_loop_refuses_cleanly_and_recovers(app: App) -> None:
    client = await app.tenant(make_videos(10))
    late(app, 1.0)
    event = {"type": "like", "videoId": "vid_fitness_1", "timestamp": app.now_ms()}
    for answer in (await client.feed(), await client.post([event])):
        assert is_problem(answer, 429, "overloaded")
        assert 1 <= int(answer.headers["Retry-After"]) <= 3
    late(app, 0.0)
    assert (await client.feed()).status == 200
    assert (await client.post([event])).status == 202


async def test_requests_above_the_concurrency_limit_are_refused_and_no_slot_leaks(app: App) -> None:
    client = await app.tenant(make_videos(10))
    assert (await client.feed()).status == 200
    slow = Trouble(containers=frozenset({"user-activity"}), delay_seconds=0.05)
    with app.documents.in_trouble(slow):
        answers = await asyncio.gather(*(client.as_user().feed() for _ in range(12)))
    assert {answer.status for answer in answers} == {200, 429}
    assert {answer.code for answer in answers if answer.status == 429} == {"overloaded"}
    assert app.services.limits.total == 0
    assert (await client.as_user().feed()).status == 200


async def test_burst_at_the_start_costs_one_load_per_tenant(app: App, tmp_path: Path) -> None:
    clients = [await app.tenant(make_videos(10)) for _ in range(3)]
    app.services.limits.most_in_flight = 10_000
    loads = app.documents.loads("videos")
    answers = await asyncio.gather(*(client.as_user().feed() for client in clients for _ in range(40)))
    app.services.limits.most_in_flight = 4
    assert {answer.status for answer in answers} == {200}
    for client in clients:
        assert app.documents.loads("videos")[client.tenant_id] == loads.get(client.tenant_id, 0) + 1


async def test_burst_after_the_kill_switch_reads_no_content_and_no_user(app: App) -> None:
    client = await app.tenant(make_videos(30))
    viewer = await warm_viewer(app, client)
    assert (await viewer.feed()).json["mode"] == "personalized"
    app.services.limits.most_in_flight = 10_000
    app.write_flags(personalized(False))

    async def switched() -> bool:
        return bool((await client.as_user().feed()).json["reason"] == "kill_switch")

    await eventually(switched)
    reads, loads = app.documents.reads, app.documents.loads("videos")
    answers = await asyncio.gather(*(viewer.as_user().feed() for _ in range(60)))
    app.services.limits.most_in_flight = 4
    assert {answer.json["reason"] for answer in answers} == {"kill_switch"}
    assert app.documents.reads == reads
    assert app.documents.loads("videos") == loads
    app.write_flags(personalized())

    async def back() -> bool:
        return bool((await client.as_user().feed()).json["reason"] == "cold_start")

    await eventually(back)
    assert app.documents.loads("videos") == loads
