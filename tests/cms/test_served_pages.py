"""A feed request id explains its page to its own tenant and user only, and marks what is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cms.served.page_explanation import Known, Viewer, served_page
from ranking.columns import key64
from ranking.user_features import RankingOptions
from shared.adapters.blobs.port import ARCHIVE, BlobsUnavailable
from shared.domain.feed_receipt import VALID_SECONDS, FeedReceipt, sign
from shared.domain.records import Tenant
from shared.domain.reported_videos import ReportedVideos
from tests.cms.editor import Editor, new_editor
from tests.served_app import Answer, App, make_videos, new_user

BOTH = ("vid_cooking_1", "vid_travel_1")

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def explained(editor: Editor, id: Any, user: str | None = None) -> Answer:
    headers = {"X-User": user or editor.client.user}
    return await editor.post("served-page", {"feedRequestId": id}, headers)


def untold(answer: Answer) -> set[str]:
    return {each["what"] for each in answer.json["untold"]}


async def with_history(app: App) -> Editor:
    """A tenant whose user likes fitness."""
    editor = await new_editor(app, make_videos(45), feature_flags={"exploration": False})
    await editor.client.post(
        [
            {"type": "video_view", "videoId": f"vid_fitness_{n}", "timestamp": app.now_ms(300), "watchTimeMs": 29_000}
            for n in range(1, 7)
        ]
    )
    await app.folded()
    return editor


async def test_served_page_is_explained_in_order_with_model_and_reasons(app: App) -> None:
    editor = await with_history(app)
    for _ in range(5):  # one page in a hundred has a place that two videos of the catalog fit, and names none there
        page = (await editor.client.feed()).json
        answer = await explained(editor, page["feedRequestId"])
        assert answer.status == 200
        told = answer.json
        if all(item["videoId"] for item in told["items"]):
            break
    assert (told["mode"], told["warm"], told["feed"]) == ("personalized", True, "home")
    assert told["modelVersion"] == page["modelVersion"]
    assert [item["videoId"] for item in told["items"]] == [item["videoId"] for item in page["items"]]
    assert [item["place"] for item in told["items"]] == list(range(len(page["items"])))
    first = told["items"][0]
    assert first["title"] == page["items"][0]["title"]
    # Nothing has changed since: the contributions add up to the served score.
    assert sum(part["amount"] for part in first["contributions"]) == pytest.approx(page["items"][0]["score"], abs=0.01)
    assert untold(answer) == {"scores"}
    assert told["mistaken"] < 0.001


async def test_archived_events_confirm_the_places_of_a_page(app: App) -> None:
    editor = await with_history(app)
    page = (await editor.client.feed()).json
    seen = page["items"][2]["videoId"]
    await editor.client.post(
        [
            {"type": "impression", "videoId": seen, "timestamp": app.now_ms(), "feedRequestId": page["feedRequestId"]},
            {"type": "impression", "videoId": page["items"][1]["videoId"], "timestamp": app.now_ms()},
        ]
    )
    await app.folded()
    await app.rolled_up()
    told = (await explained(editor, page["feedRequestId"])).json
    assert told["reported"] == [seen]
    assert [item["place"] for item in told["items"] if item["reported"]] == [2]


async def test_popular_page_is_explained_without_a_known_reason(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    page = (await editor.client.feed()).json
    answer = await explained(editor, page["feedRequestId"])
    assert (answer.json["mode"], answer.json["modelVersion"]) == ("fallback", page["modelVersion"])
    assert untold(answer) == {"scores", "reason"}
    assert [item["videoId"] for item in answer.json["items"]] == [item["videoId"] for item in page["items"]]


async def test_video_taken_down_since_is_still_listed(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    page = (await editor.client.feed()).json
    await editor.post(f"videos/{page['items'][3]['videoId']}/takedown")
    await editor.seen()
    answer = await explained(editor, page["feedRequestId"])
    assert [item["videoId"] for item in answer.json["items"]] == [item["videoId"] for item in page["items"]]


async def test_video_missing_from_the_catalog_leaves_its_place_empty(app: App) -> None:
    editor = await new_editor(app, make_videos(3))
    videos = np.array([key64(id) for id in ("vid_travel_1", "gone", "vid_fitness_1")], np.uint64)
    answer = await explained(editor, receipt_of(app, editor, app.clock.now(), videos=videos))
    assert [item["videoId"] for item in answer.json["items"]] == ["vid_travel_1", None, "vid_fitness_1"]
    assert "places" in untold(answer)


@pytest.mark.parametrize(("reported", "told"), [((), None), (("vid_cooking_1",), "vid_cooking_1"), (BOTH, None)])
async def test_reported_video_decides_an_ambiguous_place(app: App, reported: tuple[str, ...], told: str | None) -> None:
    editor = await new_editor(app, make_videos(3))
    assert (await editor.client.feed()).status == 200
    catalog = await app.services.catalogs.get(editor.tenant_id)
    rows = [catalog.columns.row(id) for id in BOTH]
    receipt = FeedReceipt(int(app.clock.now()), personalized=False, warm=False, page=b"xy")
    page = served_page(
        receipt,
        Known(Tenant(editor.tenant_id), (), (), None),
        {0: [row for row in rows if row is not None]},
        ReportedVideos(frozenset(reported), whole=True),
        catalog,
        Viewer(None, readable=True),
        RankingOptions(now=app.clock.now(), limit=20),
    )
    assert page.items is not None
    assert (page.items[0].video_id, page.items[0].reported) == (told, told is not None)
    assert page.items[0].candidates == ([] if told else sorted(BOTH))


async def test_page_with_filters_is_explained_without_a_known_feed(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    page = (await editor.client.feed(**{"filter.tag": "fitness"})).json
    answer = await explained(editor, page["feedRequestId"])
    assert answer.json["feed"] is None
    assert "feed" in untold(answer)
    assert [item["videoId"] for item in answer.json["items"]] == [item["videoId"] for item in page["items"]]


async def test_page_of_a_named_feed_in_its_own_order_names_both(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    feed = {"id": "kitchen", "title": "Kitchen", "base": {"categories": ["cooking"]}, "fallbackOrder": "newest"}
    created = await editor.post("feeds", feed)
    assert created.status == 201, created.body
    page = (await editor.client.feed(feed="kitchen")).json
    told = (await explained(editor, page["feedRequestId"])).json
    assert (told["feed"], told["modelVersion"]) == ("kitchen", "newest")
    assert [item["videoId"] for item in told["items"]] == [item["videoId"] for item in page["items"]]
    assert {each["what"] for each in told["untold"]} == {"scores", "reason"}


async def test_former_weights_are_another_model_than_the_current_ones(app: App) -> None:
    editor = await with_history(app)
    page = (await editor.client.feed()).json
    await app.configure(Tenant(editor.tenant_id, "PG13", weights={"quality": 2.5}))
    answer = await explained(editor, page["feedRequestId"])
    assert answer.json["modelVersion"] == page["modelVersion"]  # without the tenant's weights it is the shipped one
    later = (await editor.client.feed()).json
    assert later["modelVersion"] != page["modelVersion"]
    await app.configure(Tenant(editor.tenant_id, "PG13", weights={"quality": 0.5}))
    answer = await explained(editor, later["feedRequestId"])
    assert answer.json["modelVersion"] is None
    assert "model" in untold(answer)
    assert all(item["contributions"] == [] for item in answer.json["items"])


def receipt_of(app: App, editor: Editor, served_at: float, videos: Any = None, **fields: Any) -> str:
    keys = app.services.keys.for_purpose("feed-request")
    receipt = FeedReceipt(int(served_at), personalized=False, warm=False, **fields)
    return sign(receipt, keys, editor.tenant_id, editor.client.user_key, videos)


async def test_version_1_receipt_has_no_places(app: App) -> None:
    editor = await new_editor(app, make_videos(5))
    answer = await explained(editor, receipt_of(app, editor, app.clock.now(), arm=2))
    assert answer.json["items"] is None
    assert untold(answer) == {"scores", "reason", "model", "experiment", "page"}
    assert (answer.json["armNumber"], answer.json["arm"]) == (2, None)


async def test_expired_id_is_gone_and_an_id_from_the_future_is_not_found(app: App) -> None:
    editor = await new_editor(app, make_videos(5))
    old = await explained(editor, receipt_of(app, editor, app.clock.now() - VALID_SECONDS - 5))
    assert (old.status, old.code) == (410, "feed_request_expired")
    future = await explained(editor, receipt_of(app, editor, app.clock.now() + 3_600))
    assert (future.status, future.code) == (404, "feed_request_not_found")


async def test_id_of_another_tenant_or_user_is_not_found_for_anyone(app: App) -> None:
    ours, theirs = await new_editor(app, make_videos(5)), await new_editor(app, make_videos(5))
    same_user = replace(ours.client, user=theirs.client.user)
    id = (await theirs.client.feed()).json["feedRequestId"]
    nothing = {"status": 404, "code": "feed_request_not_found"}
    operator = ours.with_key(app.ops_key)
    for editor in (replace(ours, client=same_user), operator):
        answer = await explained(editor, id, theirs.client.user)
        assert nothing.items() <= answer.json.items()
    assert nothing.items() <= (await explained(theirs, id, new_user())).json.items()
    assert (await explained(theirs.with_key(app.ops_key), id)).status == 200
    crossing = await ours.call(
        "POST", "served-page", {"feedRequestId": id}, {"X-Tenant-Id": theirs.tenant_id, "X-User": theirs.client.user}
    )
    assert crossing.status == 401


async def test_app_key_cannot_explain_a_page(app: App) -> None:
    editor = await new_editor(app, make_videos(5))
    id = (await editor.client.feed()).json["feedRequestId"]
    assert (await explained(editor.with_key(editor.client.key), id)).status == 403


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_document"),
        ({"feedRequestId": ""}, 422, "invalid_document"),
        ({"feedRequestId": 7}, 422, "invalid_document"),
        ({"feedRequestId": "x" * 257}, 422, "invalid_document"),
        ({"feedRequestId": "x", "user": "me"}, 422, "invalid_document"),
        ({"feedRequestId": "none of ours"}, 404, "feed_request_not_found"),
        ({"feedRequestId": "ü"}, 404, "feed_request_not_found"),
    ],
)
async def test_invalid_id_is_refused_with_a_remedy(app: App, body: Any, status: int, code: str) -> None:
    editor = await new_editor(app)
    answer = await editor.post("served-page", body, {"X-User": editor.client.user})
    assert (answer.status, answer.code) == (status, code)


async def test_user_must_be_given_as_a_hash(app: App) -> None:
    editor = await new_editor(app)
    assert (await editor.post("served-page", {"feedRequestId": "x"})).code == "missing_user"
    answer = await editor.post("served-page", {"feedRequestId": "x"}, {"X-User": "anna@example.org"})
    assert (answer.status, answer.code) == (400, "invalid_user")
    assert b"anna" not in answer.body


async def test_unreadable_archive_is_reported(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = await new_editor(app, make_videos(5))
    id = (await editor.client.feed()).json["feedRequestId"]

    async def down(container: str, prefix: str = "") -> Any:
        assert container == ARCHIVE
        raise BlobsUnavailable("down")
        yield

    monkeypatch.setattr(app.services.blobs, "list", down)
    answer = await explained(editor, id)
    assert answer.status == 200
    assert "archive" in untold(answer)
    assert len(answer.json["items"]) == 5


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_altered_id_explains_no_page(app: App, data: st.DataObject) -> None:
    editor = await new_editor(app, make_videos(3))
    id = (await editor.client.feed()).json["feedRequestId"]
    at = data.draw(st.integers(0, len(id) - 1))
    other = data.draw(st.sampled_from("ABCxyz019._-").filter(lambda letter: letter != id[at]))
    answer = await explained(editor, id[:at] + other + id[at + 1 :])
    assert answer.status in (200, 404)
    if answer.status == 200:  # the last character has unused bits
        assert at == len(id) - 1
