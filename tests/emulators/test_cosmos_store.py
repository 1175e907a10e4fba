"""The Cosmos DB adapter keeps its promises when the service or the network misbehaves (against our test server)."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from azure.core.settings import settings as sdk_settings

from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_layout import LAYOUT
from shared.adapters.documents.port import (
    CONTAINERS,
    FROM_NOW,
    TENANTS,
    USER_ACTIVITY,
    VIDEOS,
    Create,
    Delete,
    Failure,
    Replace,
    StoreError,
    StoreUnavailable,
    Upsert,
    WriteRejected,
)
from tests.emulators.cosmos import CosmosServer
from tests.emulators.faults import AFTER, BEFORE, Fault

MARKER = {"id": "marker"}


async def follow(store: CosmosStore, token: str | None, limit: int = 500) -> tuple[list[str], str]:
    """Return the ids of all changes since the token, and the token at the end."""
    ids: list[str] = []
    while True:
        changes = await store.changes(VIDEOS, token, limit=limit)
        ids += [document.id for document in changes.documents]
        token = changes.token
        if not changes.more:
            return ids, token


# Writes are sent once


async def test_write_cut_off_after_it_was_applied_is_unknown_and_applied_once(store, cosmos):
    cosmos.faults.add(Fault("batch", cut=AFTER))
    with pytest.raises(StoreUnavailable):
        await store.write(USER_ACTIVITY, "u", [Create(MARKER)])
    assert cosmos.faults.count("batch") == 1
    assert await store.read(USER_ACTIVITY, "u", "marker", latest=True)


async def test_write_cut_off_before_it_was_applied_is_not_resent(store, cosmos):
    cosmos.faults.add(Fault("batch", cut=BEFORE))
    with pytest.raises(StoreUnavailable):
        await store.write(USER_ACTIVITY, "u", [Create(MARKER)])
    assert cosmos.faults.count("batch") == 1
    assert await store.read(USER_ACTIVITY, "u", "marker", latest=True) is None


async def test_write_without_an_answer_in_time_is_not_resent(store, cosmos):
    cosmos.faults.add(Fault("batch", delay=0.5))
    with pytest.raises(StoreUnavailable):
        await store.write(USER_ACTIVITY, "u", [Create(MARKER)])
    assert cosmos.faults.count("batch") == 1


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_write_with_an_unknown_outcome_is_not_resent(store, cosmos, status):
    cosmos.faults.add(Fault("batch", status=status))
    with pytest.raises(StoreUnavailable):
        await store.write(USER_ACTIVITY, "u", [Create(MARKER)])
    assert cosmos.faults.count("batch") == 1


@pytest.mark.parametrize("status", [429, 449])
async def test_write_the_service_did_not_start_is_resent(store, cosmos, status):
    cosmos.faults.add(Fault("batch", status=status, retry_after_ms=1, times=2))
    await store.write(USER_ACTIVITY, "u", [Create(MARKER)])
    assert cosmos.faults.count("batch") == 3


async def test_endless_throttling_ends_after_three_tries_with_retry_after(store, cosmos):
    cosmos.faults.add(Fault("batch", status=429, retry_after_ms=20, times=None))
    with pytest.raises(StoreUnavailable) as raised:
        await store.write(USER_ACTIVITY, "u", [Create(MARKER)])
    assert raised.value.retry_after_seconds == pytest.approx(0.02)
    assert cosmos.faults.count("batch") == 3


async def test_long_throttle_is_not_awaited(store, cosmos):
    cosmos.faults.add(Fault("read", status=429, retry_after_ms=60_000, times=None))
    with pytest.raises(StoreUnavailable) as raised:
        await store.read(USER_ACTIVITY, "u", "signals")
    assert raised.value.retry_after_seconds == pytest.approx(60)
    assert cosmos.faults.count("read") == 1


async def test_batch_reports_which_operation_failed_and_why(store):
    [etag] = await store.write(TENANTS, "t", [Create({"id": "a"})])
    [newer] = await store.write(TENANTS, "t", [Replace({"id": "a", "n": 1}, etag)])
    for operation, failure in [
        (Create({"id": "a"}), Failure.ALREADY_EXISTS),
        (Replace({"id": "a"}, etag), Failure.CONFLICT),
        (Delete("a", etag), Failure.CONFLICT),
        (Replace({"id": "b"}, etag), Failure.NOT_FOUND),
        (Delete("b"), Failure.NOT_FOUND),
    ]:
        with pytest.raises(WriteRejected) as raised:
            await store.write(TENANTS, "t", [Upsert({"id": "c"}), operation])
        assert raised.value.failures == {1: failure}
    assert await store.read(TENANTS, "t", "c", latest=True) is None
    document = await store.read(TENANTS, "t", "a", latest=True)
    assert document.etag == newer


async def test_bad_request_has_its_own_error_and_is_not_retried(store, cosmos):
    with pytest.raises(StoreError) as raised:
        await store.write(TENANTS, "t", [Create({"id": "a", "tags": "x" * 3_000_000})])
    assert not isinstance(raised.value, (WriteRejected, StoreUnavailable))
    assert cosmos.faults.count("batch") == 1


# Reads


@pytest.mark.parametrize("fault", [Fault("read", cut=BEFORE), Fault("read", status=503), Fault("read", status=410)])
async def test_a_read_survives_one_failure(store, cosmos, fault):
    await store.write(TENANTS, "t", [Create({"id": "a"})])
    cosmos.faults.add(Fault(fault.match, status=fault.status, cut=fault.cut))
    assert await store.read(TENANTS, "t", "a")


async def test_read_is_not_retried_for_ever(store, cosmos):
    cosmos.faults.add(Fault("read", status=503, times=None))
    with pytest.raises(StoreUnavailable):
        await store.read(TENANTS, "t", "a")
    assert cosmos.faults.count("read") == 2


async def test_read_in_flight_is_bounded_in_time(store, cosmos):
    cosmos.faults.add(Fault("read", delay=30, times=None))
    with pytest.raises(StoreUnavailable):
        await store.read(TENANTS, "t", "a")


async def test_lagging_replica_is_not_taken_for_a_missing_item(store, cosmos):
    cosmos.faults.add(Fault("read", status=404, substatus=1002, times=None))
    with pytest.raises(StoreUnavailable):
        await store.read(TENANTS, "t", "a", latest=True)


async def test_missing_container_is_not_taken_for_a_missing_item(store, cosmos):
    del cosmos.databases["video"]["videos"]
    with pytest.raises(StoreUnavailable):
        await store.read(VIDEOS, "t", "a")


async def test_latest_read_sees_this_process_writes_while_a_replica_lags(store, cosmos):
    await store.write(USER_ACTIVITY, "u", [Upsert({"id": "signals", "n": 1})])
    cosmos.container("user-activity").freeze_replica()
    await store.write(USER_ACTIVITY, "u", [Upsert({"id": "signals", "n": 2})])
    assert (await store.read(USER_ACTIVITY, "u", "signals")).body["n"] == 1
    assert (await store.read(USER_ACTIVITY, "u", "signals", latest=True)).body["n"] == 2
    assert (await store.query(USER_ACTIVITY, "u")).documents[0].body["n"] == 2


async def test_latest_read_sees_the_item_of_another_process_that_refused_a_write(store, cosmos):
    other = CosmosStore("video", connection_string=cosmos.connection_string)
    cosmos.container("user-activity").freeze_replica()
    await other.write(USER_ACTIVITY, "u", [Create(MARKER)])
    with pytest.raises(WriteRejected):
        await store.write(USER_ACTIVITY, "u", [Create(MARKER)])
    assert await store.read(USER_ACTIVITY, "u", "marker", latest=True)
    await other.close()


async def test_body_contains_no_system_field(store):
    await store.write(TENANTS, "t", [Create({"id": "a", "n": 1, "ttl": 60})])
    expected = {"id": "a", "n": 1, "ttl": 60, "tenantId": "t"}
    assert (await store.read(TENANTS, "t", "a")).body == expected
    assert (await store.query(TENANTS, "t")).documents[0].body == expected
    assert (await store.changes(TENANTS, None)).documents[0].body == expected


# Change feed


async def test_changes_of_one_second_are_read_from_every_physical_partition(store, cosmos):
    for i in range(30):
        await store.write(VIDEOS, f"tenant-{i}", [Upsert({"id": f"v{i}"})])
    ids, token = await follow(store, None, limit=7)
    assert sorted(ids) == sorted(f"v{i}" for i in range(30))
    await store.write(VIDEOS, "tenant-0", [Upsert({"id": "late"})])
    assert (await follow(store, token))[0] == ["late"]


async def test_a_reader_of_an_idle_container_reaches_the_end_and_stays_there(store):
    _, token = await follow(store, FROM_NOW)
    for _ in range(3):
        changes = await store.changes(VIDEOS, token)
        assert (changes.documents, changes.more) == ([], False)
        token = changes.token
    await store.write(VIDEOS, "t", [Upsert({"id": "v"})])
    assert (await follow(store, token))[0] == ["v"]


async def test_more_is_true_only_when_the_next_call_is_not_empty(store):
    await store.write(VIDEOS, "t", [Upsert({"id": "a"})])
    await store.write(VIDEOS, "t", [Upsert({"id": "b"})])
    first = await store.changes(VIDEOS, None, limit=1)
    second = await store.changes(VIDEOS, first.token, limit=1)
    assert (len(first.documents), first.more, len(second.documents), second.more) == (1, True, 1, False)


async def test_a_reader_follows_a_physical_partition_through_a_split(store, cosmos):
    _, token = await follow(store, FROM_NOW)
    container = cosmos.container("videos")
    container.split(container.ranges[0].id)
    for i in range(30):
        await store.write(VIDEOS, f"tenant-{i}", [Upsert({"id": f"v{i}"})])
    ids, token = await follow(store, token, limit=4)
    assert sorted(ids) == sorted(f"v{i}" for i in range(30))
    assert (await follow(store, token))[0] == []


async def test_a_throttled_change_feed_misses_nothing(store, cosmos):
    await store.write(VIDEOS, "t", [Upsert({"id": "a"})])
    cosmos.faults.add(Fault("changes", status=429, retry_after_ms=1, times=2))
    assert (await follow(store, None))[0] == ["a"]
    cosmos.faults.add(Fault("changes", status=503, times=None))
    with pytest.raises(StoreUnavailable):
        await store.changes(VIDEOS, None)


async def test_a_token_of_another_store_is_refused_by_name(store):
    with pytest.raises(ValueError, match="change token"):
        await store.changes(VIDEOS, "nonsense")


# Opening, and outages


async def test_the_store_connects_by_itself_once_the_service_is_back(cosmos, store):
    newcomer = CosmosStore("video", connection_string=cosmos.connection_string, reopen_after_seconds=0.0)
    await cosmos.refuse()
    for each in (store, newcomer):
        with pytest.raises(StoreUnavailable):
            await each.read(TENANTS, "t", "a")
    await cosmos.accept()
    for each in (store, newcomer):
        assert await each.read(TENANTS, "t", "a") is None
    await newcomer.close()


async def test_callers_fail_at_once_after_a_failed_opening(cosmos):
    store = CosmosStore("video", connection_string=cosmos.connection_string, reopen_after_seconds=60)
    cosmos.faults.go_down()
    with pytest.raises(StoreUnavailable):
        await store.read(TENANTS, "t", "a")
    seen = len(cosmos.faults.requests)
    with pytest.raises(StoreUnavailable) as raised:
        await store.read(TENANTS, "t", "a")
    assert raised.value.retry_after_seconds == 60
    assert len(cosmos.faults.requests) == seen
    await store.close()


async def test_connecting_goes_on_for_others_after_the_first_caller_timed_out(cosmos, store):
    newcomer = CosmosStore("video", connection_string=cosmos.connection_string)
    cosmos.faults.add(Fault("account", delay=0.1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(newcomer.read(TENANTS, "t", "a"), 0.01)
    assert await newcomer.read(TENANTS, "t", "a") is None
    assert cosmos.faults.count("account") == 2  # the SDK asks twice while it opens
    await newcomer.close()


async def test_nothing_connects_before_the_first_use(cosmos):
    store = CosmosStore("video", connection_string=cosmos.connection_string)
    await asyncio.sleep(0)
    assert cosmos.faults.requests == []
    await store.close()
    await store.close()


async def test_store_recovers_from_ten_minutes_of_outage_without_restart(store, cosmos, clock):
    await store.write(TENANTS, "t", [Create({"id": "a"})])
    cosmos.faults.go_down(600)
    with pytest.raises(StoreUnavailable):
        await store.read(TENANTS, "t", "a")
    clock.advance(601)
    assert await store.read(TENANTS, "t", "a")


# The rest


async def test_every_exchange_is_reported_with_its_status_and_request_units(cosmos):
    calls: list[tuple[str, int, float, float]] = []
    store = CosmosStore("video", connection_string=cosmos.connection_string, on_call=lambda *call: calls.append(call))
    await store.ready()
    calls.clear()
    cosmos.faults.add(Fault("read", status=429, retry_after_ms=1))
    await store.write(TENANTS, "t", [Create({"id": "a"})])
    await store.read(TENANTS, "t", "a")
    await store.query(TENANTS, "t")
    assert [(operation, status) for operation, status, *_ in calls] == [
        ("write", 200),
        ("read", 429),
        ("read", 200),
        ("query", 200),
    ]
    assert all(units >= 1 and seconds > 0 for _, _, units, seconds in calls)
    await store.close()


async def test_no_key_and_no_id_appears_in_an_error(store, cosmos):
    cosmos.faults.add(Fault("", status=503, times=None))
    for call in (
        store.read(USER_ACTIVITY, "secret-user", "secret-id"),
        store.write(USER_ACTIVITY, "secret-user", [Create({"id": "secret-id"})]),
        store.query(USER_ACTIVITY, "secret-user", id_prefix="secret"),
    ):
        with pytest.raises(StoreUnavailable) as raised:
            await call
        assert "secret" not in str(raised.value)


async def test_containers_are_created_as_the_layout_specifies(store, cosmos):
    for name in CONTAINERS:
        made, wanted = cosmos.container(name).properties, LAYOUT[name]
        assert made["partitionKey"]["paths"] == [wanted["partitionKeyPath"]]
        assert made["defaultTtl"] == wanted["defaultTtl"]
        assert made["indexingPolicy"] == wanted["indexingPolicy"]


async def test_production_store_creates_no_container_and_names_the_missing_one(cosmos):
    store = CosmosStore("video", endpoint=cosmos.url, credential=_Token)
    with pytest.raises(StoreUnavailable, match="could not be reached"):
        await store.ready()
    assert cosmos.databases == {}
    await store.close()


def test_store_without_credentials_is_refused():
    with pytest.raises(ValueError, match="either"):
        CosmosStore("video")
    with pytest.raises(ValueError, match="credential"):
        CosmosStore("video", endpoint="https://example.documents.azure.com")


class _Token:
    """A credential that must not be used over plain HTTP."""

    async def get_token(self, *scopes: str, **_: object) -> object:
        raise AssertionError("asked for a token")

    async def close(self) -> None: ...

    async def __aenter__(self) -> _Token:
        return self

    async def __aexit__(self, *_: object) -> None: ...


async def test_a_wrong_key_is_refused(cosmos: CosmosServer):
    wrong = cosmos.connection_string.replace("AccountKey=", "AccountKey=AAAA")
    store = CosmosStore("video", connection_string=wrong)
    with pytest.raises(StoreUnavailable):
        await store.ready()
    await store.close()


async def test_tracing_of_the_sdk_stays_off_whatever_the_environment_says(cosmos, monkeypatch):
    monkeypatch.setenv("AZURE_TRACING_ENABLED", "true")
    sdk_settings.tracing_enabled.unset_value()
    store = CosmosStore("feed", connection_string=cosmos.connection_string)
    try:
        assert sdk_settings.tracing_enabled() is True
        assert await store.read(TENANTS, "t", "nothing") is None
        assert sdk_settings.tracing_enabled() is False
    finally:
        await store.close()


async def test_proxy_settings_of_the_environment_are_ignored(cosmos, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("no_proxy", raising=False)
    store = CosmosStore("feed", connection_string=cosmos.connection_string)
    try:
        assert await store.read(TENANTS, "t", "nothing") is None
    finally:
        await store.close()


# Invalid responses


@pytest.mark.parametrize("read_before", [False, True])
async def test_a_session_of_a_restored_container_is_forgotten_after_a_refusal(store, cosmos, read_before):
    for n in range(3):
        await store.write(USER_ACTIVITY, "u", [Upsert({"id": "signals", "n": n})])
    if read_before:  # then the SDK has a token of its own
        await store.read(USER_ACTIVITY, "u", "signals", latest=True)
    state = cosmos.container("user-activity")
    state.lsn = 1  # restored from a backup: the session token is ahead of the container
    with pytest.raises(StoreUnavailable):
        await store.read(USER_ACTIVITY, "u", "signals", latest=True)
    assert (await store.read(USER_ACTIVITY, "u", "signals", latest=True)) is not None


async def test_write_succeeds_after_a_restored_container_lost_its_session(store, cosmos):
    for n in range(3):
        await store.write(USER_ACTIVITY, "u", [Upsert({"id": "signals", "n": n})])
    cosmos.container("user-activity").lsn = 1  # restored from a backup
    with contextlib.suppress(StoreUnavailable):
        await store.write(USER_ACTIVITY, "u", [Upsert({"id": "signals", "n": 3})])
    await store.write(USER_ACTIVITY, "u", [Upsert({"id": "signals", "n": 4})])
    assert (await store.read(USER_ACTIVITY, "u", "signals")).body["n"] == 4


async def test_change_feed_skips_items_of_other_programs(store, cosmos):
    await store.write(VIDEOS, "t", [Create({"id": "a"})])
    cosmos.container("videos").put_foreign({"id": "replace_with_new_document_id"})
    await store.write(VIDEOS, "t", [Create({"id": "b"})])
    ids, passed_over, token, more = [], 0, None, True
    while more:
        changes = await store.changes(VIDEOS, token)
        ids += [document.id for document in changes.documents]
        passed_over, token, more = passed_over + changes.passed_over, changes.token, changes.more
    assert (ids, passed_over) == (["a", "b"], 1)


async def test_proxy_404_is_not_taken_for_a_missing_document(store, cosmos):
    await store.write(TENANTS, "t", [Create({"id": "a"})])
    cosmos.faults.add(Fault("read", status=404, body="<html>not found</html>", content_type="text/html", times=None))
    with pytest.raises(StoreUnavailable):
        await store.read(TENANTS, "t", "a")
