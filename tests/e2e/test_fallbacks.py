"""Every fallback reason in its order of precedence, and the feed while a dependency fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from local.story import story_events
from shared.adapters.documents.port import USER_ACTIVITY
from tests.e2e.test_bad_requests import is_problem
from tests.faulty_documents import Trouble
from tests.served_app import Answer, App, Client, make_videos, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFF = {"X-Personalization": "off"}


def mode(answer: Answer) -> tuple[str, str | None]:
    assert answer.status == 200
    return answer.json["mode"], answer.json["reason"]


async def warm_client(app: App) -> Client:
    """A user with a history, in a new tenant whose catalog is loaded."""
    client = await app.tenant(make_videos(60, ("cooking", "fitness", "travel")))
    await warm_up(client)
    assert (await client.feed()).status == 200
    return client


async def warm_up(client: Client) -> None:
    assert (await client.post(story_events(client.app.clock.now()))).status == 202
    await client.app.folded()


@pytest_asyncio.fixture(loop_scope="module")
async def client(app: App) -> AsyncIterator[Client]:
    app.write_flags(personalized())
    assert await app.services.flags_refresher.refresh()
    yield await warm_client(app)
    app.write_flags(personalized())
    assert await app.services.flags_refresher.refresh()


async def flip(app: App, *flags: dict[str, object]) -> None:
    app.write_flags(*flags)
    assert await app.services.flags_refresher.refresh()


async def test_withdrawn_consent_for_one_request_gives_the_popular_feed(client: Client) -> None:
    assert mode(await client.feed()) == ("personalized", None)
    assert mode(await client.feed(OFF)) == ("fallback", "no_consent")
    assert mode(await client.feed({"X-Personalization": "OFF"})) == ("fallback", "no_consent")
    assert mode(await client.feed({"X-Personalization": "on"})) == ("personalized", None)


async def test_without_consent_nothing_about_the_user_is_read_or_stored(client: Client) -> None:
    cold = client.as_user()
    reads = client.app.documents.reads
    await cold.feed(OFF)
    assert client.app.documents.reads == reads
    assert (await cold.post(story_events(client.app.clock.now()), OFF)).status == 202
    await client.app.folded()
    assert (await cold.signals()).code == "no_signals"


async def test_popular_feed_is_the_same_for_everybody(client: Client) -> None:
    stranger = client.as_user()
    assert (await client.feed(OFF)).ids == (await stranger.feed(OFF)).ids == (await stranger.feed()).ids


async def test_operators_can_switch_personalization_of_a_tenant_off_and_on(client: Client, app: App) -> None:
    neighbor = await warm_client(app)
    operator = client.with_key(app.ops_key)
    path = "/v1/debug/set-personalization"
    switched = await app.request("POST", path, operator.headers, {"enable": "false"})
    assert switched.json == {"tenantId": client.tenant_id, "usePersonalization": False}
    assert mode(await client.feed()) == ("fallback", "tenant_disabled")
    assert mode(await neighbor.feed()) == ("personalized", None)
    await app.request("POST", path, operator.headers, {"enable": "true"})
    assert mode(await client.feed()) == ("personalized", None)
    assert is_problem(await app.request("POST", path, operator.headers, {"enable": "maybe"}), 400, "invalid_enable")
    assert is_problem(await app.request("POST", path, operator.headers), 400, "invalid_enable")


async def test_switching_a_tenant_keeps_the_rest_of_its_configuration(app: App) -> None:
    client = await app.tenant(make_videos(9), maturity_policy="PG", default_limit=3, weights={"recency": 2.0})
    operator = client.with_key(app.ops_key)
    before = app.services.tenants.get(client.tenant_id)
    for enable in ("false", "true"):
        await app.request("POST", "/v1/debug/set-personalization", operator.headers, {"enable": enable})
    assert app.services.tenants.get(client.tenant_id) == before


async def test_operator_switch_is_in_the_history_and_can_be_reverted(app: App) -> None:
    client = await app.tenant(make_videos(9))
    headers = client.with_key(app.ops_key).headers
    reason = {**headers, "X-Reason": "their backend is down"}
    await app.request("POST", "/v1/debug/set-personalization", reason, {"enable": "false"})
    [entry] = (await app.request("GET", "/v1/cms/audit", headers)).json["entries"]
    assert (entry["who"], entry["why"]) == ("operators (operator)", "their backend is down")
    assert entry["action"] == "switch_personalization"
    assert entry["changes"] == [{"field": "usePersonalization", "from": True, "to": False}]
    back = await app.request("POST", f"/v1/cms/audit/{entry['id']}/revert", headers)
    assert back.status == 200
    tenant = app.services.tenants.get(client.tenant_id)
    assert tenant is not None
    assert tenant.use_personalization


@pytest.mark.parametrize("reason", ["their\tbackend", "für sie", "x" * 301])
async def test_invalid_reason_header_is_refused_and_nothing_is_switched(app: App, reason: str) -> None:
    client = await app.tenant(make_videos(9))
    headers = {**client.with_key(app.ops_key).headers, "X-Reason": reason}
    refused = await app.request("POST", "/v1/debug/set-personalization", headers, {"enable": "false"})
    assert (refused.status, refused.code) == (400, "invalid_reason")
    tenant = app.services.tenants.get(client.tenant_id)
    assert tenant is not None
    assert tenant.use_personalization


async def test_switch_that_cannot_be_stored_is_not_made(app: App) -> None:
    client = await app.tenant(make_videos(9))
    headers = client.with_key(app.ops_key).headers
    path = "/v1/debug/set-personalization"

    async def somebody_else() -> None:
        await app.request("POST", path, headers, {"enable": "false"})

    partition = frozenset({client.tenant_id})
    with app.documents.in_trouble(Trouble(partitions=partition, before_write=somebody_else)):
        assert is_problem(await app.request("POST", path, headers, {"enable": "true"}), 409, "conflict")
    assert len((await app.request("GET", "/v1/cms/audit", headers)).json["entries"]) == 1


async def test_tenants_own_feature_flag_switches_personalization_off(app: App) -> None:
    client = await app.tenant(make_videos(9), feature_flags={"personalized-feed": False})
    await warm_up(client)
    assert mode(await client.feed()) == ("fallback", "tenant_disabled")


async def test_targeting_includes_some_tenants_and_excludes_the_others(client: Client, app: App) -> None:
    other = await warm_client(app)
    audience = {"Groups": [{"Name": client.tenant_id, "RolloutPercentage": 100}], "DefaultRolloutPercentage": 0}
    targeting = {"name": "Microsoft.Targeting", "parameters": {"Audience": audience}}
    await flip(app, personalized(True, client_filters=[targeting]))
    assert mode(await client.feed()) == ("personalized", None)
    assert mode(await other.feed()) == ("fallback", "not_in_rollout")
    await flip(app, personalized(False, client_filters=[targeting]))
    assert mode(await client.feed()) == ("fallback", "kill_switch"), "switched off beats every filter"


async def test_percentage_rollout_is_sticky_per_user(client: Client, app: App) -> None:
    targeting = {"name": "Microsoft.Targeting", "parameters": {"Audience": {"DefaultRolloutPercentage": 50}}}
    await flip(app, personalized(True, client_filters=[targeting]))
    users = [client.as_user() for _ in range(40)]
    first = [mode(await user.feed())[1] for user in users]
    assert {"not_in_rollout", "cold_start"} == set(first)
    assert [mode(await user.feed())[1] for user in users] == first


async def test_unknown_filter_excludes_everybody(client: Client, app: App) -> None:
    await flip(app, personalized(True, client_filters=[{"name": "Acme.Moon", "parameters": {}}]))
    assert mode(await client.feed()) == ("fallback", "not_in_rollout")


async def test_undefined_flag_is_not_on(client: Client, app: App) -> None:
    await flip(app)
    assert mode(await client.feed()) == ("fallback", "flags_unavailable")


async def test_a_broken_flags_file_changes_nothing(client: Client, app: App) -> None:
    Path(app.services.settings.flags_file).write_text("<html>503 Service Unavailable</html>")
    assert not await app.services.flags_refresher.refresh()
    assert mode(await client.feed()) == ("personalized", None)
    await flip(app, personalized(False))
    assert mode(await client.feed()) == ("fallback", "kill_switch")


async def test_consent_overrides_the_kill_switch_and_the_kill_switch_the_tenant(client: Client, app: App) -> None:
    await app.request(
        "POST", "/v1/debug/set-personalization", client.with_key(app.ops_key).headers, {"enable": "false"}
    )
    assert mode(await client.feed()) == ("fallback", "tenant_disabled")
    await flip(app, personalized(False))
    assert mode(await client.feed()) == ("fallback", "kill_switch")
    assert mode(await client.feed(OFF)) == ("fallback", "no_consent")


async def test_late_signals_make_the_feed_fall_back(client: Client, app: App) -> None:
    late = app.counted("signals_late")
    with app.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), delay_seconds=60)):
        answer = await client.feed()
    assert mode(answer) == ("fallback", "signals_unavailable")
    assert len(answer.ids) == 20
    assert answer.json["freshness"]["signals"] is None
    assert app.counted("signals_late") == late + 1
    assert mode(await client.feed()) == ("personalized", None)


async def test_store_outage_costs_only_personalization(client: Client, app: App) -> None:
    with app.documents.in_trouble(Trouble(reads_fail=True, writes_fail=True)):
        answer = await client.feed()
        assert mode(answer) == ("fallback", "signals_unavailable")
        assert len(answer.ids) == 20
        await flip(app, personalized(False))
        assert mode(await client.feed()) == ("fallback", "kill_switch"), "the switch needs no store"
        await flip(app, personalized())
        posted = await client.post(story_events(app.clock.now() - 3_600))
        assert posted.status == 202, "the bus has it; the fold waits for the store"
        health = await app.request("GET", "/health")
        assert (health.status, health.json) == (200, {"status": "alive"})
        ready = await app.request("GET", "/ready")
        assert ready.status == 503
        assert ready.json["dependencies"]["documents"] == "unavailable"
        assert ready.json["dependencies"]["bus"] == "ready"
    await app.folded()
    assert (await client.signals()).json["events"] == 20, "what was accepted meanwhile counts once it is back"


async def test_failed_catalog_load_is_a_503_with_retry_after(app: App) -> None:
    client = await app.tenant(make_videos(9))
    with app.documents.in_trouble(Trouble(reads_fail=True)):
        answer = await client.feed()
    assert is_problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await client.feed()).status == 200


async def test_defect_is_a_500_without_details_and_a_log_line_without_values(
    client: Client, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    defect = ValueError(f"cannot read {client.user} with {client.key}, secret-text-4711")
    with app.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), defect=defect)):
        answer = await client.feed()
    assert is_problem(answer, 500, "internal")
    assert "4711" not in answer.body.decode()
    assert answer.json["errorId"] in caplog.text, "the id leads to the line"
    assert "ValueError" in caplog.text
    assert "secret-text-4711" not in caplog.text
