"""Erasure and export of a user over HTTP: permissions, responses, and other users unaffected."""

from __future__ import annotations

import pytest

from local.story import story_events
from shared.adapters.documents.port import USER_ACTIVITY, query_all
from tests.e2e.test_bad_requests import is_problem
from tests.faulty_documents import Trouble
from tests.served_app import Answer, App, Client, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERASE, EXPORT = "/v1/privacy/erase", "/v1/privacy/export"


async def ask(client: Client, path: str) -> Answer:
    return await client.app.request("POST", path, client.headers)


async def with_history(app: App) -> Client:
    """A user with a history in a tenant that has a key of scope `privacy`; the client holds the app's key."""
    client = await app.tenant(make_videos(60, ("cooking", "fitness", "travel")))
    await app.save_key(client.tenant_id, privacy_key(client), "privacy", name="privacy")
    await tell(client)
    return client


async def tell(client: Client, ago_seconds: float = 0.0) -> None:
    assert (await client.post(story_events(client.app.clock.now() - ago_seconds))).status == 202
    await client.app.folded()


def privacy_key(client: Client) -> str:
    return f"privacy-of-{client.tenant_id}"


def officer(client: Client) -> Client:
    """The same user, requested with the privacy key."""
    return client.with_key(privacy_key(client))


async def test_erased_user_is_new_at_the_next_feed_and_can_return(app: App) -> None:
    client = await with_history(app)
    assert (await client.feed()).json["mode"] == "personalized"
    answer = await ask(officer(client), ERASE)
    assert answer.status == 200
    assert answer.json["deleted"] == {"signals": 1, "lists": 0, "markers": 1, "deadLetters": 0}
    assert (await client.feed()).json["reason"] == "cold_start"
    assert (await client.signals()).status == 404
    await tell(client, ago_seconds=30)
    assert (await client.signals()).json["events"] == 10


async def test_batch_in_flight_during_an_erasure_is_never_folded(app: App) -> None:
    client = await with_history(app)
    with app.documents.in_trouble(Trouble(partitions=frozenset({client.user_key}), writes_fail=True)) as trouble:
        assert (await client.post(story_events(app.clock.now() - 60))).status == 202
        trouble.writes_fail = False  # from here on the erasure and the fold race
        assert (await ask(officer(client), ERASE)).status == 200
    await app.folded()
    assert (await client.signals()).status == 404


async def test_erasure_receipt_lists_what_was_deleted_and_when_the_rest_expires(app: App) -> None:
    client = await with_history(app)
    receipt = (await ask(officer(client), ERASE)).json
    assert set(receipt) == {"receiptId", "erasedAt", "deleted", "remaining"}
    assert len(receipt["receiptId"]) == 32
    assert [set(each) for each in receipt["remaining"]] == [{"what", "until"}] * 3
    assert all(each["until"] > receipt["erasedAt"] for each in receipt["remaining"])
    assert client.user not in str(receipt)
    assert client.user_key not in str(receipt)


async def test_erasing_twice_and_erasing_an_unknown_user_are_answered_alike(app: App) -> None:
    client = await with_history(app)
    assert (await ask(officer(client), ERASE)).status == 200
    again = await ask(officer(client), ERASE)
    nobody = await ask(officer(client).as_user(), ERASE)
    for answer in (again, nobody):
        nothing = {"signals": 0, "lists": 0, "markers": 0, "deadLetters": 0}
        assert (answer.status, answer.json["deleted"]) == (200, nothing)


async def test_only_privacy_and_operator_keys_can_erase_or_export(app: App) -> None:
    client = await with_history(app)
    await app.save_key(client.tenant_id, f"cms-of-{client.tenant_id}", "cms", name="cms")
    for path in (ERASE, EXPORT):
        assert is_problem(await ask(client, path), 403, "forbidden")
        assert is_problem(await ask(client.with_key(f"cms-of-{client.tenant_id}"), path), 403, "forbidden")
        assert is_problem(await ask(client.with_key("nobodys-key-at-all"), path), 401, "unauthorized")
    assert (await ask(client.with_key(app.ops_key), EXPORT)).status == 200
    assert (await client.signals()).json["events"] == 10, "nothing was erased"


async def test_user_is_named_only_in_a_header(app: App) -> None:
    client = await with_history(app)
    headers = {name: value for name, value in officer(client).headers.items() if name != "X-User"}
    for path in (ERASE, EXPORT):
        answer = await app.request("POST", path, headers, {"userHash": client.user, "user": client.user})
        assert is_problem(answer, 400, "missing_user")


async def test_tenant_erases_and_exports_only_its_own_users(app: App) -> None:
    client, neighbor = await with_history(app), await with_history(app)
    same_person = neighbor.as_user(client.user)
    await tell(same_person)
    assert (await ask(officer(client), ERASE)).status == 200
    assert (await same_person.signals()).json["events"] == 10
    assert (await ask(officer(client), EXPORT)).json["signals"] is None
    foreign = client.with_key(privacy_key(neighbor))
    assert is_problem(await ask(foreign, ERASE), 401, "unauthorized")


async def test_export_describes_stored_data_in_words(app: App) -> None:
    client = await with_history(app)
    now = app.now_ms()
    await client.post([{"type": "not_interested", "videoId": "vid_travel_3", "timestamp": now}])
    await app.folded()
    told = (await ask(officer(client), EXPORT)).json
    assert told["tenantId"] == client.tenant_id
    signals = told["signals"]
    assert signals["events"] == 11
    assert signals["categories"]["fitness"]["views"] == pytest.approx(6, abs=0.1)
    assert signals["categories"]["cooking"]["skips"] == pytest.approx(4, abs=0.1)
    assert [each["videoIds"] for each in signals["notInterested"]] == [["vid_travel_3"]]
    assert sum(day["views"] for day in signals["days"]) == 6
    assert len(signals["seen"]) == 11
    assert len(told["foldedBatches"]) == 2
    stored = {document.id for document in await query_all(app.documents, USER_ACTIVITY, client.user_key)}
    assert stored == {"signals", *(f"batch:{id}" for id in told["foldedBatches"])}, "nothing is left out"


async def test_export_of_an_unknown_user_is_404_and_of_an_erased_one_has_the_time(app: App) -> None:
    client = await with_history(app)
    assert is_problem(await ask(officer(client).as_user(), EXPORT), 404, "no_signals")
    erased_at = (await ask(officer(client), ERASE)).json["erasedAt"]
    told = (await ask(officer(client), EXPORT)).json
    assert (told["signals"], told["erasedAt"], told["foldedBatches"]) == (None, erased_at, [])


async def test_store_outage_claims_no_erasure(app: App) -> None:
    client = await with_history(app)
    with app.documents.in_trouble(Trouble(reads_fail=True, writes_fail=True)):
        answer = await ask(officer(client), ERASE)
    assert is_problem(answer, 503, "unavailable")
    assert (await ask(officer(client), ERASE)).json["deleted"]["signals"] == 1
