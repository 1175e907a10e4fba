"""Dark launch, experiments, the circuit breaker, the archive switch and traces in the served app."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from events.archive import from_lines
from events.experiment_statistics import report
from feed.api import STAGES_EVERY, FeedApi
from feed.breaker import Objective, State
from local.story import story_events
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.documents.port import TENANTS, USER_ACTIVITY, Upsert
from shared.adapters.flags.evaluation import ARCHIVE as ARCHIVE_FLAG
from shared.adapters.flags.evaluation import CO_WATCH, DARK_LAUNCH, EXPLORATION
from tests.faulty_documents import Trouble
from tests.served_app import App, Client, make_videos, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def flags(app: App, *others: dict[str, Any]) -> None:
    app.write_flags(personalized(), *others)
    assert await app.services.flags_refresher.refresh()


@pytest_asyncio.fixture(loop_scope="module")
async def client(app: App) -> AsyncIterator[Client]:
    await flags(app)
    client = await app.tenant(make_videos(60), count_anonymous_events=True)
    await client.post(story_events(app.clock.now()))
    await app.folded()
    yield client
    await flags(app)


async def test_dark_launch_serves_the_popular_feed_and_records_the_difference(client: Client, app: App) -> None:
    telemetry = app.services.telemetry
    assert (await client.feed()).json["mode"] == "personalized"
    await flags(app, {"id": DARK_LAUNCH, "enabled": True})
    before = app.counted("dark_launch_compared", client.tenant_id, "compared")
    dark = await client.feed()
    assert (dark.json["mode"], dark.json["reason"]) == ("fallback", "dark_launch")
    await app.services.feed.dark_launch.idle()
    assert app.counted("dark_launch_compared", client.tenant_id, "compared") == before + 1
    overlap = telemetry.histograms["dark_launch_overlap", ()]
    assert 0 <= overlap.least <= overlap.most <= 1
    assert telemetry.histograms["dark_launch_correlation", ()].number == overlap.number


async def test_dark_launch_skips_new_users_and_reads_nothing_of_opted_out_ones(client: Client, app: App) -> None:
    await flags(app, {"id": DARK_LAUNCH, "enabled": True})
    stranger = client.as_user()
    assert (await stranger.feed()).json["reason"] == "dark_launch"
    await app.services.feed.dark_launch.idle()
    assert app.counted("dark_launch_compared", client.tenant_id, "cold_start") == 1
    reads = app.documents.reads
    assert (await client.feed({"X-Personalization": "off"})).json["reason"] == "no_consent"
    await app.services.feed.dark_launch.idle()
    assert app.documents.reads == reads


async def test_kill_switch_ends_a_dark_launch(client: Client, app: App) -> None:
    app.write_flags(personalized(False), {"id": DARK_LAUNCH, "enabled": True})
    assert await app.services.flags_refresher.refresh()
    assert (await client.feed()).json["reason"] == "kill_switch"
    assert not app.services.feed.dark_launch._under_way


async def test_failing_signals_are_not_awaited_until_a_probe_succeeds(client: Client, app: App) -> None:
    reader = app.services.feed.signals
    least = Objective().least_calls
    with app.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), reads_fail=True)):
        reasons = [(await client.feed()).json["reason"] for _ in range(2 * least)]
        assert set(reasons) == {"signals_unavailable", "signals_paused"}
        assert reasons[-1] == "signals_paused"
        assert app.services.telemetry.read_gauges()["breaker_open", ("signals",)] == 1
        reads = app.documents.reads
        assert (await client.feed()).json["reason"] == "signals_paused"
        assert app.documents.reads == reads, "the store is left alone"
    for _ in range(Objective().probes_to_close):
        app.clock.advance(Objective().longest_pause_seconds)
        assert (await client.feed()).json["mode"] == "personalized"
    assert reader.breaker.state is State.CLOSED
    assert app.services.telemetry.read_gauges()["breaker_open", ("signals",)] == 0


async def test_disabled_archive_keeps_events_in_signals_and_statistics_only(app: App) -> None:
    await flags(app, {"id": ARCHIVE_FLAG, "enabled": False})
    client = await app.tenant(make_videos(6), count_anonymous_events=True)
    await client.post(story_events(app.clock.now()))
    await app.folded()
    await app.rolled_up()
    assert [blob async for blob in app.services.blobs.list(ARCHIVE, f"{client.tenant_id}/")] == []
    assert (await client.signals()).json["events"] == 10
    await flags(app, {"id": ARCHIVE_FLAG, "enabled": True})
    await client.post(story_events(app.clock.now() - 60))
    await app.folded()
    await app.rolled_up()
    assert len([blob async for blob in app.services.blobs.list(ARCHIVE, f"{client.tenant_id}/")]) == 1


async def test_exploration_fills_one_place_with_a_known_probability_until_disabled(app: App) -> None:
    await flags(app)
    client = await app.tenant(make_videos(200))
    users = [client.as_user() for _ in range(5)]
    for user in users:
        await user.post(story_events(app.clock.now()))
    await app.folded()
    # The explored video can be one that the page has anyway; for all five that happens once in 10⁸ runs.
    explored = [line for user in users for line in await events_of_a_page(user, app)]
    assert any(line["request"]["exploredRank"] is not None for line in explored)
    assert all(0 < line["request"]["propensity"] <= 1 for line in explored if line["request"]["propensity"] is not None)
    await flags(app, {"id": EXPLORATION, "enabled": False}, {"id": CO_WATCH, "enabled": False})
    assert {line["request"]["exploredRank"] for line in await events_of_a_page(users[0], app)} == {None}


async def events_of_a_page(client: Client, app: App) -> list[Any]:
    """Archive lines about one page, one view each."""
    page = (await client.feed(limit=5)).json
    known = {blob.name async for blob in app.services.blobs.list(ARCHIVE, f"{client.tenant_id}/")}
    await client.post([seen(app, page, item) for item in page["items"]])
    await app.folded()
    await app.rolled_up()
    return [
        line
        async for blob in app.services.blobs.list(ARCHIVE, f"{client.tenant_id}/")
        if blob.name not in known
        for line in from_lines(await app.services.blobs.read(ARCHIVE, blob.name) or b"")
        if line["request"] is not None
    ]


def seen(app: App, page: Any, item: Any, kind: str = "impression", **more: Any) -> dict[str, Any]:
    return {
        "type": kind, "videoId": item["videoId"], "timestamp": app.now_ms(), "rankPosition": item["rank"],
        "feedRequestId": page["feedRequestId"], **more,
    }  # fmt: skip


async def test_experiment_assigns_users_to_arms_and_reports_from_their_events(app: App) -> None:
    await flags(app)
    client = await app.tenant(make_videos(60))
    now = app.clock.now()
    document = {
        "id": "experiment:fresher",
        "kind": "experiment",
        "experimentId": "fresher",
        "name": "Fresher first",
        "status": "running",
        "salt": "5a17",
        "startedAt": now - 10,
        "arms": [
            {"name": "control", "percent": 50, "weights": {}},
            {"name": "fresh", "percent": 50, "weights": {"RecencyHours": -1.0}},
        ],
    }
    await app.documents.write(TENANTS, client.tenant_id, [Upsert(document)])
    assert await app.services.tenants_refresher.refresh()

    arms: dict[str, set[str]] = {}
    models = set()
    for user in (client.as_user() for _ in range(60)):
        if len(arms) == 2 and min(map(len, arms.values())) > 2:  # a rate needs two users
            break
        await user.post(story_events(app.clock.now()))
        await app.folded()
        page = (await user.feed()).json
        assert page["mode"] == "personalized"
        arms.setdefault(page["experiment"], set()).add(user.user)
        models.add((page["experiment"], page["modelVersion"]))
        assert (await user.feed()).json["experiment"] == page["experiment"], "a user stays in their arm"
        await user.post([seen(app, page, item) for item in page["items"][:4]])
        await user.post([seen(app, page, item, "video_view", watchTimeMs=4_000) for item in page["items"][:2]])
    assert set(arms) == {"fresher/control", "fresher/fresh"}
    assert len(models) == 2, "each arm ranks with its own model"
    stranger = (await client.as_user().feed()).json
    assert (stranger["mode"], stranger["experiment"]) == ("fallback", None)

    await app.folded()
    await app.rolled_up()
    result = report(await app.services.experiment_reports.gather(client.tenant_id, "fresher"))
    assert {f"fresher/{arm['name']}": arm["users"] for arm in result["arms"]} == {k: len(v) for k, v in arms.items()}
    assert {arm["measures"]["clickThrough"]["value"] for arm in result["arms"]} == {0.5}
    assert result["sampleRatio"]["ok"]

    assert await app.services.experiment_reports.store_all() == 1
    stored = await app.documents.read(TENANTS, client.tenant_id, "experiment-report:fresher", latest=True)
    assert stored is not None
    assert stored.body["report"]["arms"] == json.loads(json.dumps(result["arms"]))


async def test_arm_whose_model_does_not_exist_gets_no_users(app: App) -> None:
    client = await app.tenant(make_videos(60))
    arms = [{"name": "control", "percent": 0}, {"name": "gone", "percent": 100, "modelVersion": "never-stored"}]
    body = {"id": "experiment:gone", "kind": "experiment", "experimentId": "gone", "status": "running", "salt": "s"}
    await app.documents.write(TENANTS, client.tenant_id, [Upsert({**body, "name": "Gone", "arms": arms})])
    assert await app.services.tenants_refresher.refresh()
    await client.post(story_events(app.clock.now()))
    await app.folded()
    page = (await client.feed()).json
    assert (page["mode"], page["experiment"]) == ("personalized", None)


async def test_trace_id_of_a_request_is_in_the_logs_of_its_fold(
    client: Client, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    event = {"type": "video_view", "videoId": "vid_nobody_has", "timestamp": app.now_ms(), "watchTimeMs": 1_000}
    answer = await client.post([event], {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"})
    assert answer.status == 202
    await app.folded()
    lines = [json.loads(text) for record in caplog.records if (text := record.getMessage()).startswith("{")]
    told = [line for line in lines if line["event"] == "unknown_videos"]
    # A message can be redelivered and logged twice; only the trace id matters.
    assert {(line["traceId"], line["count"], line["tenant"]) for line in told} == {(TRACE, 1, client.tenant_id)}
    assert "vid_nobody_has" not in caplog.text, "what a caller chose is in no log"


async def test_stages_of_every_eighth_feed_are_timed_and_add_up_to_the_whole(client: Client, app: App) -> None:
    app.services.apis[FeedApi]._served = 0
    histograms = app.services.telemetry.histograms

    def milliseconds(metric: str) -> float:
        return sum(each.total for (name, _), each in histograms.items() if name == metric)

    before = {metric: milliseconds(metric) for metric in ("feed_stage_ms", "feed_duration_ms")}
    await client.feed()
    stages, whole = (milliseconds(metric) - at for metric, at in before.items())
    assert stages == pytest.approx(whole)
    timed = {labels[0] for name, labels in histograms if name == "feed_stage_ms"}
    assert timed == {"authenticate", "flags", "signals", "catalog", "rank", "page", "render"}
    after = milliseconds("feed_stage_ms")
    for _ in range(STAGES_EVERY - 1):
        await client.feed()
    assert milliseconds("feed_stage_ms") == after
    await client.feed()
    assert milliseconds("feed_stage_ms") > after
