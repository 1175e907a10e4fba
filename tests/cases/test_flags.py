"""A damaged flag affects no other, and the kill switch works whatever other flags contain.

Requests feeds of the served app with both flag sources: a flags file, and App Configuration (our test server).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from featuremanagement import FeatureManager, TargetingContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from commands import seed_flags as seeding
from commands import switch_flag as switching
from local.story import story_events
from shared.adapters.flags.evaluation import FLAGS, PERSONALIZED_FEED, Flags, Verdict
from shared.settings import Settings
from tests.emulators.appconfig import AppConfigurationServer
from tests.emulators.appconfig.server import FLAG_CONTENT_TYPE, FLAG_PREFIX
from tests.emulators.faults import Fault
from tests.served_app import App, Client, make_videos, served

ON: dict[str, Any] = {"id": PERSONALIZED_FEED, "enabled": True}
OFF: dict[str, Any] = {"id": PERSONALIZED_FEED, "enabled": False}


def filtered(name: str, parameters: Any, id: str = PERSONALIZED_FEED) -> dict[str, Any]:
    return {"id": id, "enabled": True, "conditions": {"client_filters": [{"name": name, "parameters": parameters}]}}


def targeting(id: str = PERSONALIZED_FEED, **audience: Any) -> dict[str, Any]:
    return filtered("Microsoft.Targeting", {"Audience": audience}, id)


DAMAGED: list[Any] = [
    filtered("Microsoft.Targeting", {"Audience": "all"}, "other"),
    filtered("Microsoft.Targeting", {"Audience": None}, "other"),
    filtered("Microsoft.Targeting", "all", "other"),
    targeting("other", DefaultRolloutPercentage="100"),
    targeting("other", Exclusion={"Groups": [{"Name": "x"}]}),
    targeting("other", Exclusion="tenant_1"),
    targeting("other", Groups={"Name": "x"}),
    {"id": "other", "enabled": "yes"},
    {"id": "other", "enabled": True, "conditions": []},
    {"id": "other", "enabled": True, "conditions": {"client_filters": {"name": "x"}}},
    {"id": "other", "enabled": True, "conditions": {"client_filters": ["x"]}},
    {"id": "other", "enabled": True, "variants": "many", "allocation": 7},
    {"id": ["other"], "enabled": True},
    {"enabled": True},
    {},
    None,
    [],
    ["other"],
    7,
    True,
    "text",
]


@dataclass
class Rig:
    """A served app with one flag source, and writers of its flags."""

    name: str
    app: App
    put: Callable[[list[Any]], None]
    client: Client
    server: AppConfigurationServer | None

    async def refresh(self) -> None:
        assert await self.app.services.flags_refresher.refresh()

    async def show(self, *records: Any) -> tuple[str, str | None]:
        """Set these flags and return mode and reason of a page."""
        self.put(list(records))
        await self.refresh()
        return await self.page()

    async def page(self) -> tuple[str, str | None]:
        answer = await self.client.feed()
        assert answer.status == 200, answer.body
        return answer.json["mode"], answer.json["reason"]

    def gauge(self, name: str, *labels: str) -> float:
        return self.app.services.telemetry.read_gauges()[name, labels]


def reported(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the log lines about unusual flags with their reasons, without the output of the app's own formatter."""
    lines = [line for line in caplog.records if line.name == "feed.flags" and line.getMessage().startswith("flag_")]
    return [(line.getMessage(), vars(line)["fields"]["reason"]) for line in lines]


def put_all(server: AppConfigurationServer, records: list[Any]) -> None:
    server.clear()
    for number, record in enumerate(records):
        name = record.get("id") if isinstance(record, dict) else None
        key = name if isinstance(name, str) and FLAG_PREFIX + name not in server.items else f"record-{number}"
        server.put(FLAG_PREFIX + key, json.dumps(record), FLAG_CONTENT_TYPE)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["file", "appconfig"])
async def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        settings: dict[str, Any] = {"flags_refresh_seconds": 30.0, "signals_budget_ms": 10_000.0}
        server = None
        if request.param == "appconfig":
            server = await stack.enter_async_context(AppConfigurationServer(page_size=3))
            key = base64.b64encode(secrets.token_bytes(32)).decode()
            settings |= {"flag_source": "appconfig", "app_configuration_connection_string": server.connection_string}
            settings |= {"signing_keys": f"k:{key}", "identity_secret": key}
        app = await stack.enter_async_context(served(tmp_path_factory.mktemp("flags"), **settings))

        def put(records: list[Any]) -> None:
            if server is not None:
                put_all(server, records)
            else:
                app.write_flags(*records)

        client = await app.tenant(make_videos(30))
        await client.post(story_events(app.clock.now()))
        await app.folded()
        yield Rig(request.param, app, put, client, server)


@pytest.fixture
def app(rig: Rig) -> App:
    return rig.app


in_module = pytest.mark.asyncio(loop_scope="module")
only_app_configuration = pytest.mark.parametrize("rig", ["appconfig"], indirect=True, scope="module")
"""For features that a file does not have: content types, values, labels, pages, responses, seeding."""


@in_module
async def test_damaged_flag_of_another_app_stops_no_feed_and_hides_no_change(rig: Rig) -> None:
    other = filtered("Microsoft.Targeting", {"Audience": "all"}, "another-app")
    assert await rig.show(ON, other) == ("personalized", None)
    assert await rig.show(ON, other, {"id": "dark-launch", "enabled": True}) == ("fallback", "dark_launch")
    excluded = targeting(DefaultRolloutPercentage=100, Exclusion={"Groups": [rig.client.tenant_id]})
    assert await rig.show(excluded, other) == ("fallback", "kill_switch")
    assert await rig.show(ON, other) == ("personalized", None)
    assert await rig.show(OFF, other) == ("fallback", "kill_switch")


@pytest.mark.parametrize("damaged", DAMAGED, ids=json.dumps)
@in_module
async def test_kill_switch_works_whatever_other_flags_contain(rig: Rig, damaged: Any) -> None:
    assert await rig.show(damaged, ON) == ("personalized", None)
    assert await rig.show(damaged, OFF) == ("fallback", "kill_switch")
    assert await rig.show(ON) == ("personalized", None)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (targeting(DefaultRolloutPercentage="100"), "targeting"),
        (targeting(DefaultRolloutPercentage=101), "targeting"),
        (filtered("Microsoft.Targeting", {"Audience": "all"}), "targeting"),
        (filtered("Targeting", {"Audience": {"DefaultRolloutPercentage": 100}}), "unknown_filter"),
        (filtered("Microsoft.Percentage", {"Value": 100}), "unknown_filter"),
        (filtered("Microsoft.TimeWindow", {"Start": "2020-01-01T00:00:00Z"}), "time_window"),
        (filtered("Microsoft.TimeWindow", {}), "time_window"),
        ({**ON, "conditions": "all"}, "conditions"),
        ({**ON, "conditions": {"requirement_type": "Some", "client_filters": []}}, "conditions"),
        ({**ON, "variants": [1, "On"]}, "variants"),
        ({**ON, "enabled": "true"}, "enabled"),
        ({**ON, "enabled": None}, "enabled"),
        ({**ON, "enabled": 1}, "enabled"),
    ],
)
@in_module
async def test_unreadable_kill_switch_counts_as_off_and_is_logged_once(
    rig: Rig, record: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.show(ON)
    with caplog.at_level(logging.INFO):
        mode, _ = await rig.show(record)
        assert mode == "fallback"
        assert rig.gauge("flags_odd", reason) == 1
        await rig.refresh()
        await rig.refresh()
        assert await rig.show(ON) == ("personalized", None)
        assert rig.gauge("flags_odd", reason) == 0
    assert reported(caplog) == [("flag_odd", reason), ("flag_repaired", reason)]


@in_module
async def test_time_window_in_schema_form_works(rig: Rig) -> None:
    past = "Wed, 01 Jan 2020 00:00:00 GMT"
    assert await rig.show(filtered("Microsoft.TimeWindow", {"Start": past})) == ("personalized", None)
    assert await rig.show(filtered("Microsoft.TimeWindow", {"End": past})) == ("fallback", "not_in_rollout")


@in_module
async def test_empty_fields_of_some_writers_are_accepted(rig: Rig) -> None:
    plain = {**ON, "conditions": {"client_filters": None, "requirement_type": None}, "variants": None}
    assert await rig.show(plain) == ("personalized", None)
    assert await rig.show({**ON, "conditions": None}) == ("personalized", None)
    half = targeting(Users=None, Groups=None, DefaultRolloutPercentage=100, Exclusion=None)
    assert await rig.show(half) == ("personalized", None)


@in_module
async def test_flags_are_unknown_after_all_were_deleted(rig: Rig) -> None:
    assert await rig.show(ON) == ("personalized", None)
    assert await rig.show() == ("fallback", "flags_unavailable")
    assert rig.gauge("flags_on", PERSONALIZED_FEED) == 0
    assert await rig.show(ON) == ("personalized", None)


@only_app_configuration
@in_module
async def test_flag_without_its_content_type_is_unknown(rig: Rig) -> None:
    assert rig.server is not None
    for content_type in (None, "", "application/json", 7):
        assert await rig.show(ON) == ("personalized", None)
        rig.server.put(FLAG_PREFIX + PERSONALIZED_FEED, json.dumps(ON), content_type)  # type: ignore[arg-type]
        await rig.refresh()
        assert await rig.page() == ("fallback", "flags_unavailable")
        assert rig.gauge("flags_odd", "content_type") == 1


@pytest.mark.parametrize("value", [None, [], 7, {}, True, "null", "[]", "{not json", ""], ids=repr)
@only_app_configuration
@in_module
async def test_value_that_is_no_flag_hides_no_other_flag_and_no_later_change(rig: Rig, value: Any) -> None:
    assert rig.server is not None
    rig.server.clear()
    rig.server.put_flag(ON)
    rig.server.put(FLAG_PREFIX + "another-app", value, FLAG_CONTENT_TYPE)
    await rig.refresh()
    assert await rig.page() == ("personalized", None)
    rig.server.put_flag(OFF)
    await rig.refresh()
    assert await rig.page() == ("fallback", "kill_switch")
    async with AsyncExitStack() as stack:
        fresh = Flags(_source(rig.server))
        stack.push_async_callback(fresh.close)
        await fresh.refresh(0.0)
        assert fresh.ask(PERSONALIZED_FEED, "t", "u") is Verdict.SWITCHED_OFF, "a new process knows it too"


@only_app_configuration
@in_module
async def test_item_of_unknown_shape_is_skipped(rig: Rig) -> None:
    assert rig.server is not None
    for odd in ("null", '"x"', "[]", "7", "{}", '{"key": null}', '{"key": 7, "value": "x"}'):
        page = f'{{"items": [{odd}, {json.dumps(_item(OFF))}]}}'
        rig.server.faults.add(Fault("GET list", status=200, body=page, content_type="application/json"))
        await rig.refresh()
        assert await rig.page() == ("fallback", "kill_switch")
        assert await rig.show(ON) == ("personalized", None)


@only_app_configuration
@in_module
async def test_invalid_response_keeps_the_flags_in_force(rig: Rig) -> None:
    assert rig.server is not None
    assert await rig.show(ON) == ("personalized", None)
    of_200 = ["", "<html>", "{}", "null", '{"items": 7}', '{"items": null}']
    others = [204, 302, 403, 404, 408, 410, 429, 500]
    for status, body in [*((200, body) for body in of_200), *((status, "") for status in others)]:
        rig.server.put_flag({**ON, "description": f"{status}{body}"})
        rig.server.faults.add(Fault("GET list", status=status, body=body, content_type="application/json"))
        assert not await rig.app.services.flags_refresher.refresh()
        assert await rig.page() == ("personalized", None)


@in_module
async def test_off_wins_among_records_of_one_id_and_the_tool_names_them(rig: Rig, caplog: Any, capsys: Any) -> None:
    with caplog.at_level(logging.INFO):
        assert await rig.show(ON, ON) == ("personalized", None)
        assert await rig.show(ON, OFF) == ("fallback", "kill_switch")
        assert await rig.show(OFF, ON) == ("fallback", "kill_switch")
    assert rig.gauge("flags_odd", "duplicate_id") == 1
    assert reported(caplog) == [("flag_odd", "duplicate_id")]
    rig.put([ON, OFF])
    others = await asyncio.to_thread(switching.switch, rig.app.services.settings, PERSONALIZED_FEED, True)
    assert others == [FLAG_PREFIX + "record-1" if rig.server else "feature_flags[1]"]
    rig.put([ON, ON])
    assert await asyncio.to_thread(switching.switch, rig.app.services.settings, PERSONALIZED_FEED, False) == []
    await rig.refresh()
    assert await rig.page() == ("fallback", "kill_switch")


@only_app_configuration
@in_module
async def test_app_configuration_flags_under_another_label_or_key_are_ignored(rig: Rig) -> None:
    assert rig.server is not None
    rig.server.queries.clear()
    assert await rig.show(ON) == ("personalized", None)
    assert {(query["key"], query["label"]) for query in rig.server.queries} == {(FLAG_PREFIX + "*", "\0")}


VARIANTS = [{"name": "On"}, {"name": "Off", "status_override": "Disabled"}]


@pytest.mark.parametrize(
    "allocation",
    [
        {"default_when_enabled": "Off"},
        {"default_when_enabled": "On"},
        {"default_when_enabled": "On", "group": [{"variant": "Off", "groups": ["TENANT"]}]},
        {"default_when_enabled": "Off", "group": [{"variant": "On", "groups": ["TENANT"]}]},
        {"default_when_enabled": "On", "percentile": [{"variant": "Off", "from": 0, "to": 100}]},
        None,
    ],
    ids=json.dumps,
)
@in_module
async def test_a_flag_with_variants_is_read_as_the_library_reads_it(rig: Rig, allocation: Any) -> None:
    text = json.dumps({**ON, "variants": VARIANTS, "allocation": allocation}).replace("TENANT", rig.client.tenant_id)
    record = json.loads(text)
    mode, _ = await rig.show(record)
    if allocation is None:
        del record["allocation"]
    manager = FeatureManager({"feature_management": {"feature_flags": [record]}})
    context = TargetingContext(user_id=rig.client.user_key, groups=[rig.client.tenant_id])
    assert mode == ("personalized" if manager.is_enabled(PERSONALIZED_FEED, context) else "fallback")


@in_module
async def test_switching_keeps_tags_and_everything_not_mentioned(rig: Rig) -> None:
    stored = {
        **targeting(DefaultRolloutPercentage=100, Users=["kept"]),
        "description": None,
        "telemetry": {"enabled": True, "metadata": {"owner": "x"}},
        "variants": VARIANTS,
        "allocation": {"default_when_enabled": "On"},
        "another": [1, {"a": None}],
    }
    rig.put([stored, None, {"id": "broken", "enabled": "?"}])
    if rig.server is not None:
        kind = "application/vnd.microsoft.appconfig.ff+json; charset=utf-8"
        rig.server.put(FLAG_PREFIX + PERSONALIZED_FEED, json.dumps(stored), kind, {"team": "feed"})
    for on in (False, True):
        await asyncio.to_thread(switching.switch, rig.app.services.settings, PERSONALIZED_FEED, on)
        await asyncio.to_thread(switching.switch, rig.app.services.settings, PERSONALIZED_FEED, on, "tenant_1")
    if rig.server is not None:
        item = rig.server.items[FLAG_PREFIX + PERSONALIZED_FEED]
        assert (item["tags"], item["content_type"]) == ({"team": "feed"}, kind)
        assert rig.server.flag(PERSONALIZED_FEED) == stored
    else:
        file = json.loads(Path(rig.app.services.settings.flags_file).read_text())
        assert file["feature_management"]["feature_flags"] == [stored, None, {"id": "broken", "enabled": "?"}]


@only_app_configuration
@in_module
async def test_seeding_never_duplicates_a_defined_flag(rig: Rig) -> None:
    assert rig.server is not None
    rig.put([ON])
    rig.server.items[FLAG_PREFIX + "copy"] = {**rig.server.items.pop(FLAG_PREFIX + PERSONALIZED_FEED)}
    rig.server.items[FLAG_PREFIX + "copy"]["key"] = FLAG_PREFIX + "copy"
    rig.server.put(FLAG_PREFIX + "another-app", None, FLAG_CONTENT_TYPE)

    def seed() -> list[str]:
        assert rig.server is not None
        from_settings = switching.backends.flag_store
        with from_settings(rig.app.services.settings) as store:
            added: list[str] = store.seed(seeding.first_flags(personalized=False))
            return added

    assert sorted(await asyncio.to_thread(seed)) == sorted(FLAGS.keys() - {PERSONALIZED_FEED})
    await rig.refresh()
    assert await rig.page() == ("personalized", None)


@in_module
async def test_failed_flag_update_is_retried_and_never_confirmed(rig: Rig, monkeypatch: Any) -> None:
    assert await rig.show(ON) == ("personalized", None)
    flags = rig.app.services.flags

    def broken(state: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(flags, "_install", broken)
    rig.put([OFF])
    for _ in range(2):
        assert not await rig.app.services.flags_refresher.refresh()
    monkeypatch.undo()
    await rig.refresh()
    assert await rig.page() == ("fallback", "kill_switch")


NAMES = ["id", "enabled", "conditions", "client_filters", "requirement_type", "name", "parameters", "Start", "End"]
NAMES += ["Audience", "Users", "Groups", "Name", "RolloutPercentage", "DefaultRolloutPercentage", "Exclusion"]
NAMES += ["variants", "status_override", "allocation", "default_when_enabled", "telemetry"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner | st.sampled_from(["Microsoft.Targeting", "Microsoft.TimeWindow", "Any", PERSONALIZED_FEED]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


class Records:
    """A source that returns these records."""

    def __init__(self, records: list[Any]) -> None:
        self.records = records

    async def load(self) -> dict[str, Any] | None:
        return {"feature_management": {"feature_flags": self.records}}

    async def close(self) -> None:
        pass


@given(records=st.lists(_JSON, max_size=6), at=st.integers(0, 6))
@hypothesis_settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_no_set_of_records_hides_the_kill_switch_or_raises(records: list[Any], at: int) -> None:
    async def ask(held: list[Any]) -> Verdict:
        flags = Flags(Records(held))
        await flags.refresh(0.0)
        flags.state()
        for name in FLAGS:
            flags.on(name, "tenant", "user")
        return flags.ask(PERSONALIZED_FEED, "tenant", "user")

    assert asyncio.run(ask([*records[:at], OFF, *records[at:]])) is Verdict.SWITCHED_OFF
    excluded = targeting(DefaultRolloutPercentage=100, Exclusion={"Groups": ["tenant"]})
    assert asyncio.run(ask([*records[:at], excluded, *records[at:]])) is Verdict.SWITCHED_OFF
    assert isinstance(asyncio.run(ask(records)), Verdict)


def _item(flag: dict[str, Any]) -> dict[str, Any]:
    return {"key": FLAG_PREFIX + flag["id"], "content_type": FLAG_CONTENT_TYPE, "value": json.dumps(flag)}


def _source(server: AppConfigurationServer) -> Any:
    settings = replace(Settings(), flags="appconfig", app_configuration_connection_string=server.connection_string)
    return switching.backends.flag_source_from(settings)
