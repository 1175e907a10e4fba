"""An instance with a jumping or wrong clock loses and refuses nothing valid; `sentAt` corrects device clocks.

Runs the served app; the dates of two services come from our test servers for App Configuration and Cosmos DB.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from commands.seed_flags import first_flags
from events.api import EventsApi
from events.device_clock import DeviceClock
from events.schema import parse_event
from local.story import story_events
from shared.adapters.bus.port import SIGNALS
from shared.adapters.clock_guard import APP_CONFIGURATION, COSMOS, ClockGuard
from shared.adapters.documents.port import USER_ACTIVITY
from shared.adapters.refresh import Refresher
from shared.domain.event_types import MAX_AGE_DAYS
from shared.domain.fingerprint import fingerprint
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID, Signals
from shared.observability.metrics import Telemetry
from shared.web.admission import Rates
from tests.emulators.appconfig import AppConfigurationServer
from tests.emulators.clock import MovableClock
from tests.emulators.cosmos import CosmosServer
from tests.served_app import App, Client, eventually, make_video, make_videos, personalized, served

HOUR, DAY = 3_600.0, 86_400.0
JUMPS = [-HOUR, DAY, -2 * DAY, -300.0, 31.0]
WEEK_MS = MAX_AGE_DAYS * 86_400_000


@pytest_asyncio.fixture(loop_scope="function")
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with served(tmp_path, signals_budget_ms=10_000.0) as app:
        yield app


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module: each test here sets its own clock."""


async def known_client(app: App) -> Client:
    """A client with a personalized feed."""
    client = await app.tenant(make_videos(30))
    assert (await client.post(story_events(app.clock.now()))).status == 202
    await app.folded()
    assert (await client.feed()).json["mode"] == "personalized"
    return client


async def ready(app: App) -> dict[str, Any]:
    body: dict[str, Any] = (await app.request("GET", "/ready")).json
    return body


# ---- a changed clock of an instance


@pytest.mark.parametrize("jump", JUMPS)
async def test_clock_jump_delays_no_switch_takedown_or_key(app: App, jump: float) -> None:
    client = await known_client(app)
    app.clock.step(jump)
    app.write_flags(personalized(False))
    await app.save_videos(client.tenant_id, [make_video("vid_fitness_1", active=False)])
    key = secrets.token_urlsafe(24)
    await app.save_key(client.tenant_id, key, "sdk", name="new")

    async def all_in_force() -> bool:
        page = await client.with_key(key).feed()
        return page.status == 200 and page.json["reason"] == "kill_switch" and "vid_fitness_1" not in page.ids

    await eventually(all_in_force, 20)
    ages = (await ready(app))["ageSeconds"]
    assert all(0 <= age < 30 for age in ages.values()), ages


@pytest.mark.parametrize("jump", JUMPS)
async def test_clock_jump_never_yields_a_negative_age(app: App, jump: float) -> None:
    await known_client(app)
    app.clock.step(jump)
    ages = (await ready(app))["ageSeconds"].values()
    gauges = app.services.telemetry.read_gauges()
    ages = [*ages, *(value for (name, _), value in gauges.items() if name == "refresh_age_seconds")]
    assert all(0 <= age < 30 for age in ages), ages
    assert not [key for key in app.services.telemetry.counters if key[0] == "negative_ages"]


async def test_a_clock_set_back_stalls_no_fold_no_roll_up_and_no_request(app: App) -> None:
    client = await known_client(app)
    await app.rolled_up()
    app.clock.step(-HOUR)
    assert (await client.post([view(app.now_ms())])).status == 202
    await app.folded()
    await app.rolled_up()
    assert app.counted("batches_rolled_up", "added") == 2
    assert (await client.feed()).status == 200


async def test_event_accepted_by_a_fast_clock_does_not_block_later_views(app: App) -> None:
    client = await app.tenant(make_videos(30), count_anonymous_events=True)
    app.clock.step(91 * DAY)
    assert (await client.post([view(app.now_ms(), "vid_cooking_1")])).status == 202
    await app.folded()
    await app.rolled_up()
    app.clock.step(-91 * DAY)
    events = [view(app.now_ms(n), "vid_fitness_1") for n in range(40)]
    assert (await client.post(events)).json["accepted"] == 40
    await app.folded()
    await app.rolled_up()
    catalog = await app.services.catalogs.get(client.tenant_id)
    row = catalog.columns.row("vid_fitness_1")
    assert row is not None
    assert catalog.stats.gathered()[row, :4].min() > 1, "every demand window counts them"
    counters = (await stored_signals(client)).categories
    assert counters.values[counters.keys == fingerprint("fitness"), 0].sum() > 39


@given(
    jumps=st.lists(st.tuples(st.floats(0.1, 40.0), st.floats(-1e9, 1e9)), max_size=8),
    flip=st.floats(0.0, 60.0),
    slow=st.floats(0.0, 2.0),
)
@hypothesis_settings(max_examples=60)
def test_kill_switch_acts_within_30_seconds_despite_clock_jumps(
    jumps: list[tuple[float, float]], flip: float, slow: float
) -> None:
    """Runs the refresh loop and its requests in simulated time: the wall clock jumps, the monotonic one does not."""
    assert simulated(jumps, flip, slow) <= 30.0


def simulated(jumps: list[tuple[float, float]], flip: float, slow: float) -> float:
    """Return the seconds from the flip until a request sees it. Reads take `slow` seconds; requests come every
    second."""
    loop = _SimulatedLoop()
    wall_by = 0.0

    async def run() -> float:
        nonlocal wall_by
        held, stored = "on", "on"

        async def read() -> None:
            nonlocal held
            found = stored
            await asyncio.sleep(slow)
            held = found

        refresher = Refresher("flags", read, 20.0, loop.time, Telemetry(), first_pause=5.0, longest_pause=20.0)
        await refresher.refresh()
        refresher.start()
        steps = iter(sorted(jumps))
        step = next(steps, None)
        flipped = 0.0
        try:
            while True:
                while step is not None and loop.time() >= step[0]:
                    wall_by += step[1]
                    step = next(steps, None)
                if loop.time() >= flip and stored == "on":
                    stored, flipped = "off", loop.time()
                await refresher.ensure_fresh(25.0, 0.05)
                age = refresher.age()
                assert age is not None
                assert age >= 0
                if stored == "off" and held == "off":
                    return loop.time() - flipped
                await asyncio.sleep(1.0)
        finally:
            await refresher.stop()

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


class _SimulatedLoop(asyncio.SelectorEventLoop):
    """Time advances as soon as every task sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


@given(times=st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_rate_limit_wait_never_exceeds_the_length_of_a_burst(times: list[float]) -> None:
    rates = Rates()
    for at in sorted(times):
        assert 0 <= rates.wait("user", 10.0, at) <= 5.0 + 0.1


# ---- comparison with the time of two services


def headers(at: float, **more: str) -> dict[str, str]:
    return {"Date": formatdate(at, usegmt=True), **more}


class Watched:
    """A clock guard, and the services' true time."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.telemetry = Telemetry()
        self.guard = ClockGuard(self.clock.now, self.clock.elapsed, self.telemetry)
        self.truth = self.clock.now() - self.clock.elapsed()

    def answer(self, service: str, off: float = 0.0, **more: str) -> None:
        self.clock.advance(5)
        self.guard.saw(service, headers(self.truth + self.clock.elapsed() + off, **more))

    def both(self, times: int = 2, off: float = 0.0) -> bool:
        for _ in range(times):
            self.answer(APP_CONFIGURATION, off)
            self.answer(COSMOS, off)
        return self.guard.trusted()


@given(off=st.floats(-1e9, 1e9).filter(lambda off: not 28 < abs(off) < 32), times=st.integers(2, 4))
def test_clock_is_wrong_when_two_services_contradict_it_twice_in_a_row(off: float, times: int) -> None:
    watched = Watched()
    watched.clock.step(off)
    assert watched.both(times) == (abs(off) <= 30)


def test_one_wrong_answer_refuses_nothing_and_one_right_answer_ends_a_refusal() -> None:
    watched = Watched()
    watched.clock.step(HOUR)
    assert watched.both(1)
    assert not watched.both(1)
    watched.answer(COSMOS, HOUR)
    assert watched.guard.trusted()


def test_clock_changed_by_hand_is_detected_before_the_next_response() -> None:
    watched = Watched()
    assert watched.both()
    watched.clock.step(-HOUR)
    assert not watched.guard.trusted()
    watched.clock.step(HOUR)
    assert watched.guard.trusted()
    assert watched.telemetry.counters["clock_steps", ()] == 2


@pytest.mark.parametrize("other", [0.0, -HOUR, 2 * HOUR])
def test_disagreeing_services_raise_an_alarm_and_refuse_nothing(other: float, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            watched.answer(APP_CONFIGURATION, HOUR)
            watched.answer(COSMOS, other)
            assert watched.guard.trusted()
    assert [line.getMessage() for line in caplog.records] == ["clock_disputed"]
    assert watched.telemetry.read_gauges()["clock_disputed", ()] == 1


@pytest.mark.parametrize(
    "odd",
    [{"Age": "0"}, {"age": "90000"}, {"Date": ""}, {"Date": "yesterday"}, {"Date": "Mon, 99 Foo 2026 00:00:00 GMT"}],
    ids=str,
)
def test_cached_or_unreadable_date_header_is_ignored(odd: dict[str, str]) -> None:
    watched = Watched()
    for _ in range(5):
        watched.answer(APP_CONFIGURATION, HOUR, **odd)
        watched.answer(COSMOS, HOUR, **odd)
    assert watched.guard.trusted()
    watched.guard.saw(COSMOS, {})
    assert watched.guard.trusted()


@pytest_asyncio.fixture(loop_scope="function")
async def on_azure(tmp_path: Path) -> AsyncIterator[tuple[App, AppConfigurationServer, CosmosServer]]:
    """The app on App Configuration and Cosmos DB, over our test servers."""
    async with AppConfigurationServer() as flags, CosmosServer() as cosmos:
        for flag in first_flags(personalized=True):
            flags.put_flag(flag)
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        async with served(
            tmp_path,
            flag_source="appconfig",
            app_configuration_connection_string=flags.connection_string,
            document_store="cosmos",
            cosmos_connection_string=cosmos.connection_string,
            signing_keys=f"k:{key}",
            identity_secret=key,
            signals_budget_ms=10_000.0,
        ) as app:
            yield app, flags, cosmos


async def dates_known(app: App) -> None:
    """Return when both services have reported their time twice."""

    async def known() -> bool:
        return all(len(each) == 2 for each in app.services.clock_guard._zeros.values())

    await eventually(known)


async def test_an_instance_with_a_wrong_clock_is_not_ready_and_accepts_nothing(
    on_azure: tuple[App, AppConfigurationServer, CosmosServer],
) -> None:
    app, _, _ = on_azure
    client = await app.tenant(make_videos(30))
    await dates_known(app)
    assert (await ready(app))["dependencies"]["clock"] == "ready"
    assert (await client.post([view(app.now_ms())])).status == 202
    await app.folded()
    app.clock.step(91 * DAY)
    body = json.dumps({"events": [view(app.now_ms())]}).encode()
    refused = await client.post_raw(body)
    assert (refused.status, refused.code) == (503, "clock_wrong")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await app.request("GET", "/ready")).status == 503
    assert (await ready(app))["dependencies"]["clock"] == "unavailable"
    erasing = await client.with_key(app.ops_key).app.request(
        "POST", "/v1/privacy/erase", {**client.headers, "X-Api-Key": app.ops_key}
    )
    assert (erasing.status, erasing.code) == (503, "clock_wrong")
    assert (await client.feed()).status == 200, "what is in memory is served all the same"
    app.clock.step(-91 * DAY)
    assert (await client.post_raw(body)).status == 202
    assert (await app.request("GET", "/ready")).status == 200


async def test_wrong_clock_folds_no_message_and_loses_none(
    on_azure: tuple[App, AppConfigurationServer, CosmosServer],
) -> None:
    app, _, _ = on_azure
    client = await app.tenant(make_videos(30))
    await dates_known(app)
    app.clock.step(30 * DAY)
    bytes_sent = json.dumps({"events": [view(app.now_ms())]}).encode()
    events_api = app.services.apis[EventsApi]
    events_api._clock_trusted = lambda: True  # as if another instance accepted it
    assert (await client.post_raw(bytes_sent)).status == 202
    events_api._clock_trusted = app.services.clock_guard.trusted
    await asyncio.sleep(0.3)
    waiting, dead = await app.bus.depth(SIGNALS)
    assert (waiting, dead) == (1, 0)
    assert await app.services.sweep_dead_letters() == 0
    app.clock.step(-30 * DAY)
    await app.folded()
    assert (await stored_signals(client)).events == 1


async def test_single_machine_accepts_events_without_a_clock_comparison(app: App) -> None:
    client = await app.tenant(make_videos(3))
    app.clock.step(HOUR)
    assert (await client.post([view(app.now_ms())])).status == 202
    assert (await ready(app))["status"] == "ready"


# ---- the clock of a device


def view(at_ms: Any, video: str = "vid_fitness_1", **fields: Any) -> dict[str, Any]:
    return {"type": "video_view", "videoId": video, "timestamp": at_ms, "watchTimeMs": 20_000, **fields}


async def post_sent(client: Client, events: list[Any], sent_at: Any, **headers: str) -> Any:
    return await client.post_raw(json.dumps({"events": events, "sentAt": sent_at}).encode(), headers)


def iso(at_ms: float) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


async def stored_signals(client: Client) -> Signals:
    stored = await client.app.documents.read(USER_ACTIVITY, client.user_key, SIGNALS_ID)
    assert stored is not None
    return from_document(stored.body)


async def last_watched(client: Client) -> float:
    """Return the age of the newest event in ms, to the minute."""
    return client.app.now_ms() - (await stored_signals(client)).newest_minute * 60_000


@pytest.mark.parametrize("as_text", [False, True], ids=["milliseconds", "ISO 8601"])
@pytest.mark.parametrize("off_days", [-8, -400, -20_000, 2, 44 * 365], ids=str)
async def test_event_times_are_corrected_by_the_send_time_of_the_device(app: App, off_days: int, as_text: bool) -> None:
    client = await app.tenant(make_videos(3))
    off = int(off_days * DAY * 1000)
    form = iso if as_text else int
    events = [view(form(app.now_ms(ago) + off)) for ago in (3 * HOUR, 2 * HOUR)]
    answer = await post_sent(client, events, form(app.now_ms() + off))
    assert answer.json["accepted"] == 2, answer.json
    await app.folded()
    assert 1.9 * HOUR * 1000 < await last_watched(client) < 2.1 * HOUR * 1000
    assert app.counted("device_clocks", "corrected") == 1


async def test_small_clock_error_or_prompt_retry_is_not_corrected(app: App) -> None:
    client = await app.tenant(make_videos(3))
    answer = await post_sent(client, [view(app.now_ms(HOUR))], app.now_ms(50))
    assert answer.json["accepted"] == 1
    assert app.counted("device_clocks", "corrected") == 0


async def test_old_event_of_a_correct_clock_stays_old(app: App) -> None:
    client = await app.tenant(make_videos(3))
    answer = await post_sent(client, [view(app.now_ms(8 * DAY)), view(app.now_ms(6 * DAY))], app.now_ms())
    assert [each["code"] for each in answer.json["rejected"]] == ["too_old"]
    answer = await post_sent(client, [view(app.now_ms(16 * DAY))], app.now_ms(8 * DAY))
    assert [each["code"] for each in answer.json["rejected"]] == ["too_old"], "8 days before it was sent"


@pytest.mark.parametrize(
    "sent_at", [None, True, [], {}, "", "now", "2026", -1, 1e15, 1e300, -62_135_596_800_000, "9999-12-31T23:59:59Z"]
)
async def test_invalid_send_time_costs_no_event(app: App, sent_at: Any) -> None:
    client = await app.tenant(make_videos(3))
    answer = await post_sent(client, [view(app.now_ms(HOUR))], sent_at)
    assert (answer.status, answer.json["accepted"]) == (202, 1)
    await app.folded()
    assert 0.9 * HOUR * 1000 < await last_watched(client) < 1.1 * HOUR * 1000


@pytest.mark.parametrize("ago", [0.0, DAY, 300 * DAY, -300 * DAY])
@pytest.mark.parametrize("kind", [int, float])
async def test_timestamp_in_seconds_gets_its_own_error_code(app: App, ago: float, kind: Any) -> None:
    client = await app.tenant(make_videos(3))
    seconds = kind(app.now_ms(ago) / 1000)
    for sent_at in (None, seconds, app.now_ms(), iso(app.now_ms())):
        answer = await post_sent(client, [view(seconds), view(app.now_ms())], sent_at)
        assert [each["code"] for each in answer.json["rejected"]] == ["timestamp_in_seconds"], sent_at
        assert answer.json["accepted"] == 1


async def test_device_clock_in_january_1970_is_not_mistaken_for_seconds(app: App) -> None:
    client = await app.tenant(make_videos(3))
    now_in_1970 = int(app.now_ms() / 1000)  # a clock that started at the epoch three weeks ago
    answer = await post_sent(client, [view(now_in_1970 - 60_000)], iso(now_in_1970))
    assert answer.json["accepted"] == 1


async def test_identical_bytes_count_once_however_late_they_are_resent(app: App) -> None:
    client = await app.tenant(make_videos(3))
    events = [view(app.now_ms(HOUR)), view(app.now_ms(HOUR + 60), eventId="mine")]
    body = json.dumps({"events": events, "sentAt": app.now_ms()}).encode()
    first = await client.post_raw(body)
    await app.folded()
    app.clock.advance(2 * HOUR)
    again = await client.post_raw(body)
    assert first.json == again.json
    packed_again = await post_sent(client, events, app.now_ms())
    assert packed_again.json["accepted"] == 2
    await app.folded()
    assert (await stored_signals(client)).events == 2


@given(off=st.integers(-(50 * 365 * 86_400_000), 100 * 365 * 86_400_000 - 1), ago=st.integers(0, WEEK_MS - 3_600_000))
def test_time_correction_restores_the_true_time(off: int, ago: int) -> None:
    now = 1_795_000_000.0
    at_device = int(now * 1000) + off
    device = DeviceClock.of(iso(at_device), now)
    event, _ = parse_event(view(iso(at_device - ago)), now, device)
    assert abs(event.at_ms - (now * 1000 - ago)) <= 60_001
