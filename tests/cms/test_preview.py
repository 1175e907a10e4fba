"""The preview equals the feed, explains it, and records nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ranking.explain import ABSENCES
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from tests.cms.editor import Editor, new_editor
from tests.served_app import App, eventually, make_video, make_videos, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def watched(editor: Editor, category: str = "fitness", count: int = 6) -> None:
    """Let the client's user watch a category."""
    events = [
        {
            "type": "video_view",
            "videoId": f"vid_{category}_{n}",
            "timestamp": editor.app.now_ms(300),
            "watchTimeMs": 29_000,
        }
        for n in range(1, count + 1)
    ]  # fmt: skip
    await editor.client.post(events)
    await editor.app.folded()


async def preview(editor: Editor, body: dict[str, Any] | None = None, user: bool = False) -> dict[str, Any]:
    headers = {"X-User": editor.client.user} if user else {}
    answer = await editor.post("preview", body or {}, headers)
    assert answer.status == 200, answer.json
    return dict(answer.json)


async def test_the_preview_of_a_user_equals_their_feed_without_exploration(app: App) -> None:
    editor = await new_editor(app, make_videos(40), feature_flags={"exploration": False})
    await watched(editor)
    seen = await preview(editor, user=True)
    served = await editor.client.feed()
    assert seen["live"]["mode"] == served.json["mode"] == "personalized"
    assert [item["videoId"] for item in seen["live"]["items"]] == served.ids
    assert seen["live"]["modelVersion"] == served.json["modelVersion"]


async def test_preview_of_a_new_user_is_the_popular_feed(app: App) -> None:
    editor = await new_editor(app, make_videos(10))
    seen = await preview(editor)
    assert (seen["live"]["mode"], seen["live"]["reason"]) == ("fallback", "cold_start")
    assert [item["videoId"] for item in seen["live"]["items"]] == (await editor.client.feed()).ids


def undecayed(signals: dict[str, Any]) -> dict[str, Any]:
    """Return a user's stored data without the values that decay between two reads."""
    return {name: value for name, value in signals.items() if not name.startswith("categoryStats")}


async def test_preview_records_nothing(app: App) -> None:
    editor = await new_editor(app, make_videos(30))
    await watched(editor)
    before_feed = (await editor.client.feed()).ids
    writes, counters = app.documents.writes, dict(app.services.telemetry.counters)
    signals = undecayed((await editor.client.signals()).json)
    for _ in range(3):
        await preview(editor, {"draft": {"configuration": {"weights": {"quality": 3}}}, "why": ["x"]}, user=True)
    assert app.documents.writes == writes
    changed = {name for name, value in app.services.telemetry.counters.items() if counters.get(name) != value}
    asked = {("http_requests", ("preview", "2xx")), ("http_requests", ("get_user_signals", "2xx"))}
    assert changed - asked <= {("refresh_failures", ("content",))}
    assert undecayed((await editor.client.signals()).json) == signals
    assert (await editor.client.feed()).ids == before_feed


async def test_contributions_add_up_to_the_score_also_with_rules(app: App) -> None:
    editor = await new_editor(app, make_videos(20))
    match = {"categories": ["travel"]}
    await editor.post("rules", {"id": "r", "name": "Travel", "action": "boost", "multiplier": 2, "match": match})
    seen = await preview(editor, {"viewer": {"likedCategories": ["cooking"], "language": "en"}})
    for item in seen["live"]["items"]:
        assert sum(part["amount"] for part in item["contributions"]) == pytest.approx(item["score"], abs=1e-4)
        fired = [rule["name"] for rule in item["rules"]]
        assert fired == (["Travel"] if item["mainTag"] == "travel" else [])


async def test_draft_preview_shows_each_videos_move_and_saves_nothing(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    viewer = {"likedCategories": ["cooking"]}
    seen = await preview(
        editor,
        {"viewer": viewer, "draft": {"configuration": {"weights": {"category_affinity": -5, "recent_category": -5}}}},
    )
    live = [item["videoId"] for item in seen["live"]["items"]]
    draft = [item["videoId"] for item in seen["draft"]["items"]]
    assert live[0].startswith("vid_cooking")
    assert not draft[0].startswith("vid_cooking")
    for item in seen["draft"]["items"]:
        assert item["moved"] == live.index(item["videoId"]) - item["rank"]
    assert (await editor.get("configuration")).json["weights"] == {}


async def test_drafted_rule_and_playlist_apply_in_the_preview(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    draft = {
        "rules": [{"id": "pin", "name": "Pin", "action": "pin", "positions": [1], "match": {"playlists": ["p"]}}],
        "playlists": {"p": ["vid_travel_3"]},
    }
    seen = await preview(editor, {"draft": draft})
    assert seen["draft"]["items"][0]["videoId"] == "vid_travel_3"
    assert seen["draft"]["rules"] == [{"id": "pin", "name": "Pin", "action": "pin", "positions": [1], "matches": 1}]
    assert (await editor.get("rules")).json["rules"] == []
    await editor.post("rules", {"id": "no", "name": "No", "action": "exclude", "match": {"categories": ["travel"]}})
    without = await preview(editor, {"draft": {"withoutRules": ["no"]}})
    assert (len(without["live"]["items"]), len(without["draft"]["items"])) == (8, 12)


async def test_preview_of_a_draft_with_stronger_ratings_warns_and_shows_them(app: App) -> None:
    editor = await new_editor(app, [make_video("mild"), make_video("strong", rating="R")])
    seen = await preview(editor, {"draft": {"configuration": {"maturityPolicy": "R"}}})
    assert seen["needsConfirmation"] == ["viewers without an age band would see up to R instead of PG13"]
    assert {item["videoId"] for item in seen["draft"]["items"]} == {"mild", "strong"}
    assert [item["videoId"] for item in seen["live"]["items"]] == ["mild"]


async def test_every_absent_video_has_a_reason_in_words(app: App) -> None:
    later = app.clock.now() + 3600
    videos = [
        *make_videos(30), make_video("strong", rating="R"), make_video("later", published_at=later),
        make_video("off", active=False), make_video("abroad", countries=("DE",)), make_video("banned", "gossip"),
    ]  # fmt: skip
    editor = await new_editor(app, videos)
    await editor.post(
        "rules", {"id": "no", "name": "No gossip", "action": "exclude", "match": {"categories": ["gossip"]}}
    )
    await watched(editor, "cooking", 1)
    asked = ["nope", "strong", "later", "off", "abroad", "banned", "vid_fitness_1"]
    seen = await preview(editor, {"limit": 5, "viewer": {"country": "FR", "likedCategories": ["travel"]}, "why": asked})
    why = {each["videoId"]: each for each in seen["why"]}
    assert why["nope"]["reason"] == "unknown"
    assert why["strong"]["text"] == "It is rated R, and this viewer may see up to PG13."
    assert why["later"]["reason"] == "not_scheduled"
    assert why["off"]["reason"] == "inactive"
    assert why["abroad"]["reason"] == "audience"
    assert why["banned"]["text"] == "A rule excludes it. (“No gossip”)"
    on_page = {item["videoId"] for item in seen["live"]["items"]}
    every = await preview(editor, {"limit": 5, "why": [video.id for video in videos]})
    assert all(each["text"] for each in every["why"])
    assert {each["videoId"] for each in every["why"] if each["reason"] == "served"} == {
        item["videoId"] for item in every["live"]["items"]
    }
    assert why["vid_fitness_1"]["reason"] in ({"served"} if "vid_fitness_1" in on_page else set(ABSENCES))


async def test_a_seen_video_is_reported_as_seen(app: App) -> None:
    editor = await new_editor(app, make_videos(30))
    await watched(editor)
    seen = await preview(editor, {"why": ["vid_fitness_2"]}, user=True)
    assert (seen["why"][0]["reason"], seen["why"][0]["text"]) == ("seen", "The user has seen it.")


async def test_preview_reports_the_kill_switch(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    app.write_flags(personalized(False))
    try:

        async def pulled() -> bool:
            return (await preview(editor))["switch"].get(PERSONALIZED_FEED) is False

        await eventually(pulled)
        seen = await preview(editor, {"viewer": {"likedCategories": ["cooking"]}})
        assert (seen["live"]["mode"], seen["live"]["reason"]) == ("fallback", "kill_switch")
    finally:
        app.write_flags(personalized(True))

        async def back() -> bool:
            return (await preview(editor))["switch"].get(PERSONALIZED_FEED) is True

        await eventually(back)


async def test_invalid_preview_is_refused(app: App) -> None:
    editor = await new_editor(app)
    for body, message in (
        (
            {"draft": {"configuration": {"weights": {"quality": 1e9}}}},
            "The weight of 'quality' must lie in [-1000, 1000].",
        ),
        ({"draft": {"rules": [{"id": "r"}]}}, "draft.rules[0].name is missing."),
        (
            {"draft": {"modelVersion": "nope"}},
            "There is no model version with this name. GET /v1/cms/models lists them.",
        ),
        ({"viewer": {"agebands": "x"}}, "There is no field viewer.agebands. Did you mean ageBand?"),
        ({"limit": 500}, "limit must be 50 or less."),
    ):  # fmt: skip
        answer = await editor.post("preview", body)
        assert answer.status == 422
        assert message in [error["message"] for error in answer.json["errors"]]
    raw = await editor.post("preview", {}, {"X-User": "anna@example.com"})
    assert (raw.status, raw.code) == (400, "invalid_user")
    assert "anna" not in raw.body.decode()


async def test_preview_applies_the_users_arm_and_flags_as_the_feed_does(app: App) -> None:
    editor = await new_editor(app, make_videos(40), feature_flags={"exploration": False, "use-new-diversifier": False})
    await watched(editor)
    arms = [{"name": "a", "percent": 50, "weights": {"recent_category": -3}}, {"name": "b", "percent": 50}]
    await editor.post("experiments", {"id": "taste", "name": "Taste", "arms": arms})
    await editor.post("experiments/taste/start")
    served = await editor.client.feed()
    seen = await preview(editor, user=True)
    assert f"taste/{seen['live']['arm']}" == served.json["experiment"]
    assert [item["videoId"] for item in seen["live"]["items"]] == served.ids
