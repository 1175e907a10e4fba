"""The App Configuration adapter keeps its promises when the service misbehaves (against our test server)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError

from commands import seed_flags as seed
from commands import switch_flag as switch
from shared.adapters.flags.app_configuration import AppConfigurationFlags, FlagStore
from shared.adapters.flags.evaluation import PERSONALIZED_FEED, Flags, Verdict
from shared.adapters.flags.key_values import KeyValues
from shared.adapters.flags.port import FlagsUnavailable
from shared.settings import Settings
from tests.emulators.appconfig import AppConfigurationServer
from tests.emulators.appconfig.server import FLAG_PREFIX
from tests.emulators.clock import MovableClock
from tests.emulators.faults import BEFORE, Fault

ON = {"id": PERSONALIZED_FEED, "enabled": True}
OFF = {"id": PERSONALIZED_FEED, "enabled": False}


@pytest.fixture
async def server(clock: MovableClock) -> AsyncIterator[AppConfigurationServer]:
    async with AppConfigurationServer(clock, page_size=2) as server:
        yield server


@pytest.fixture
async def source(server: AppConfigurationServer) -> AsyncIterator[AppConfigurationFlags]:
    source = AppConfigurationFlags(connection_string=server.connection_string, timeout_seconds=0.5)
    yield source
    await source.close()


@pytest.fixture
def settings(server: AppConfigurationServer) -> Settings:
    return replace(Settings(), flags="appconfig", app_configuration_connection_string=server.connection_string)


def switches(loaded: dict[str, Any] | None) -> dict[str, bool]:
    assert loaded is not None
    return {flag["id"]: flag["enabled"] for flag in loaded["feature_management"]["feature_flags"]}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", status=503, times=None),
        Fault("GET", status=500, body="{not json", content_type="application/json", times=None),
        Fault("GET", status=429, retry_after_ms=1, body="", times=None),
        Fault("GET", cut=BEFORE, times=None),
        Fault("GET", delay=5, times=None),
    ],
    ids=["503 with HTML", "500 with broken JSON", "429", "cut", "silent"],
)
async def test_a_failing_source_keeps_the_flags_in_force_and_recovers_within_seconds(server, source, fault):
    server.put_flag(ON)
    flags = Flags(source)
    await flags.refresh(1.0)
    server.faults.add(fault)
    server.put_flag(OFF)
    for _ in range(2):
        with pytest.raises(FlagsUnavailable):
            await flags.refresh(2.0)
        assert flags.ask(PERSONALIZED_FEED, "tenant", "user") == Verdict.ON
    server.faults.clear()
    await flags.refresh(3.0)
    assert flags.ask(PERSONALIZED_FEED, "tenant", "user") == Verdict.SWITCHED_OFF
    assert flags.loaded_at == 3.0


async def test_refusing_source_is_unavailable_until_it_accepts_connections(server, source):
    await server.refuse()
    with pytest.raises(FlagsUnavailable):
        await source.load()
    await server.accept()
    server.put_flag(ON)
    assert switches(await source.load()) == {PERSONALIZED_FEED: True}


async def test_load_finishes_for_the_next_caller_after_a_timeout(server, source):
    server.put_flag(ON)
    flags = Flags(source)
    for expected in (Verdict.ON, Verdict.SWITCHED_OFF):
        server.faults.add(Fault("GET", delay=0.2))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await flags.refresh(1.0)
        await flags.refresh(2.0)
        assert flags.ask(PERSONALIZED_FEED, "tenant", "user") == expected
        server.put_flag(OFF)


async def test_refresh_without_changes_costs_one_request(server, source):
    server.put_flag(ON)
    await source.load()
    server.faults.requests.clear()
    assert await source.load() is None
    assert server.faults.requests == ["GET list"]


async def test_flags_on_several_pages_are_all_seen(server, source):
    many = {f"flag-{i}": bool(i % 2) for i in range(7)}
    for name, enabled in many.items():
        server.put_flag({"id": name, "enabled": enabled})
    assert switches(await source.load()) == many
    server.put_flag({"id": "flag-6", "enabled": True})
    assert switches(await source.load()) == {**many, "flag-6": True}


async def test_flag_that_is_not_json_is_left_out_and_affects_no_other(server, source):
    server.put(
        ".appconfig.featureflag/broken", "{not json", "application/vnd.microsoft.appconfig.ff+json;charset=utf-8"
    )
    server.put_flag(ON)
    flags = Flags(source)
    await flags.refresh(1.0)
    assert flags.state() == {PERSONALIZED_FEED: True}


async def test_nothing_connects_before_the_first_load(server, source):
    assert server.faults.requests == []


# Operators


async def test_seeding_adds_missing_flags_and_never_changes_a_switch(server, settings):
    server.put_flag({**ON, "description": "kept"})

    def seed_twice() -> tuple[list[str], list[str]]:
        with FlagStore.from_settings(settings) as store:
            flags = [OFF, {"id": "new", "enabled": False}]
            return store.seed(flags), store.seed(flags)

    assert await asyncio.to_thread(seed_twice) == (["new"], [])
    assert server.flag(PERSONALIZED_FEED) == {**ON, "description": "kept"}


async def test_switch_flips_the_flag_and_keeps_the_rest_of_it(server, settings):
    server.put_flag({**ON, "description": "kept"})
    await asyncio.to_thread(switch.switch, settings, PERSONALIZED_FEED, False)
    assert server.flag(PERSONALIZED_FEED) == {**OFF, "description": "kept"}


async def test_switch_for_one_tenant_leaves_the_others_unchanged(server, source, settings):
    server.put_flag(ON)
    await asyncio.to_thread(switch.switch, settings, PERSONALIZED_FEED, False, "tenant_1")
    flags = Flags(source)
    await flags.refresh(1.0)
    assert flags.ask(PERSONALIZED_FEED, "tenant_1", "user") != Verdict.ON
    assert flags.ask(PERSONALIZED_FEED, "tenant_2", "user") == Verdict.ON


async def test_switch_keeps_a_concurrent_change(server, settings):
    server.put_flag(ON)
    server.faults.add(Fault("PUT", delay=0.2))
    switching = asyncio.create_task(asyncio.to_thread(switch.switch, settings, PERSONALIZED_FEED, False))
    while not server.faults.count("PUT"):  # noqa: ASYNC110 (the server has no event to wait for)
        await asyncio.sleep(0.01)
    server.put_flag({**ON, "description": "changed meanwhile"})
    await switching
    assert server.flag(PERSONALIZED_FEED) == {**OFF, "description": "changed meanwhile"}


async def test_failed_switch_is_reported(server, settings):
    server.faults.add(Fault("GET", status=403, times=None))
    with pytest.raises(FlagsUnavailable):
        await asyncio.to_thread(switch.switch, settings, PERSONALIZED_FEED, False)


async def test_commands_use_the_store_named_in_the_settings(server, settings, monkeypatch, capsys):
    monkeypatch.setenv("FLAGS", "appconfig")
    monkeypatch.setenv("APP_CONFIGURATION_CONNECTION_STRING", server.connection_string)
    monkeypatch.setenv("SIGNING_KEYS", "k:AAAA")
    monkeypatch.setenv("IDENTITY_SECRET", "AAAA")
    monkeypatch.setattr("sys.argv", ["seed"])
    assert await asyncio.to_thread(seed.main) == 0
    assert server.flag(PERSONALIZED_FEED)["enabled"] is False
    monkeypatch.setattr("sys.argv", ["switch", PERSONALIZED_FEED, "on"])
    assert await asyncio.to_thread(switch.main) == 0
    assert server.flag(PERSONALIZED_FEED)["enabled"] is True
    assert f"{PERSONALIZED_FEED} is on" in capsys.readouterr().out


def test_flags_without_an_endpoint_or_connection_string_do_not_start():
    with pytest.raises(ValueError, match="either"):
        AppConfigurationFlags()


async def test_replace_leaves_exactly_the_given_flags(server, settings):
    for name in ("a", "b", "c", "d"):
        server.put_flag({"id": name, "enabled": True})

    def replace_all() -> None:
        with FlagStore.from_settings(settings) as store:
            store.replace([{"id": "b", "enabled": False}, {"id": "new", "enabled": True}])

    await asyncio.to_thread(replace_all)
    assert sorted(server.items) == [FLAG_PREFIX + "b", FLAG_PREFIX + "new"]
    assert server.flag("b") == {"id": "b", "enabled": False}


# A token endpoint that hangs


class HangingCredential:
    """A token credential that answers when released, and counts its instances."""

    made = 0

    def __init__(self, let_go: threading.Event) -> None:
        HangingCredential.made += 1
        self._let_go = let_go

    def get_token(self, *scopes: str, **options: Any) -> Any:
        self._let_go.wait(25)
        raise ClientAuthenticationError("no token")

    def close(self) -> None:
        pass


async def test_hanging_token_request_is_abandoned_and_the_next_read_starts_anew(server):
    let_go = threading.Event()
    HangingCredential.made = 0
    source = AppConfigurationFlags(
        endpoint=server.url.replace("http", "https"),
        credential=lambda: HangingCredential(let_go),
        patience_seconds=0.2,
    )
    try:
        async with asyncio.timeout(120):
            for attempt in (1, 2, 3):
                with pytest.raises(FlagsUnavailable):
                    await source.load()
                assert HangingCredential.made == attempt
    finally:
        let_go.set()
        await source.close()


async def test_hanging_read_delays_a_switch_by_at_most_its_timeout(server, monkeypatch):
    server.put_flag(ON)
    source = AppConfigurationFlags(connection_string=server.connection_string, patience_seconds=0.2)
    assert switches(await source.load()) == {PERSONALIZED_FEED: True}
    let_go = threading.Event()
    monkeypatch.setattr(KeyValues, "flags", lambda self: let_go.wait(25) and [])
    server.put_flag(OFF)
    with pytest.raises(FlagsUnavailable):
        await source.load()
    monkeypatch.undo()
    assert switches(await source.load()) == {PERSONALIZED_FEED: False}
    let_go.set()
    assert await source.load() is None, "what the thread left behind comes to is nobody's"
    await source.close()
