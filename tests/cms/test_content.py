"""Videos, configuration, rules, playlists and the audit over HTTP, and their effect on the feed."""

from __future__ import annotations

import pytest

from shared.adapters.documents.port import DAY_SECONDS, VIDEOS
from shared.domain.formats import iso_time
from tests.cms.editor import RULE, VIDEO, new_editor
from tests.faulty_documents import Trouble
from tests.served_app import App, make_video, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_video_goes_from_creation_to_takedown_and_back(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    assert len((await editor.client.feed()).ids) == 6
    made = await editor.post("videos", {"id": "vid_new", **VIDEO})
    assert made.status == 201
    assert made.json["state"] == "live"
    assert made.json["updatedBy"] == "Anna"
    assert "vid_new" in (await editor.client.feed()).ids
    changed = await editor.change("PATCH", "videos/vid_new", {"title": "Eleven minutes of core"})
    assert (changed.status, changed.json["title"]) == (200, "Eleven minutes of core")
    assert changed.json["publishedAt"] == made.json["publishedAt"]
    await editor.post("videos/vid_new/takedown", {"reason": "Licence ended"})
    assert "vid_new" not in (await editor.client.feed()).ids
    assert (await editor.get("videos/vid_new")).json["state"] == "taken_down"
    await editor.post("videos/vid_new/restore")
    assert "vid_new" in (await editor.client.feed()).ids
    history = (await editor.get("audit", name="vid_new")).json["entries"]
    assert [(entry["action"], entry["who"]) for entry in history] == [
        (action, "Anna") for action in ("restore", "takedown", "update", "create")
    ]
    assert history[1]["why"] == "Licence ended"
    assert {"field": "title", "from": VIDEO["title"], "to": "Eleven minutes of core"} in history[2]["changes"]


async def test_takedown_applies_in_the_middle_of_paging(app: App) -> None:
    editor = await new_editor(app, make_videos(30))
    first = await editor.client.feed(limit=10)
    rest = [each for page in (await editor.client.walk(limit=10))[1:] for each in page.ids]
    assert (await editor.post(f"videos/{rest[0]}/takedown")).status == 200
    second = await editor.client.feed(limit=10, cursor=first.json["nextCursor"])
    third = await editor.client.feed(limit=10, cursor=second.json["nextCursor"])
    assert rest[0] not in second.ids + third.ids
    assert len(second.ids + third.ids) == 19


async def test_second_of_two_saves_based_on_one_version_is_refused(app: App) -> None:
    editor = await new_editor(app)
    for path, body in (("videos/vid_a", {"title": "x"}), ("rules/cup", {"priority": 3}), ("playlists/p", {"name": "n"}),
                       ("configuration", {"streakCap": 3})):  # fmt: skip
        await editor.post("videos", {"id": "vid_a", **VIDEO})
        await editor.post("rules", {"id": "cup", **RULE})
        await editor.post("playlists", {"id": "p", "name": "P"})
        etag = (await editor.get(path)).headers["Etag"]
        assert (await editor.call("PATCH", path, body, {"If-Match": etag})).status == 200
        lost = await editor.call("PATCH", path, body, {"If-Match": etag})
        assert (lost.status, lost.code) == (412, "stale_etag")
        blind = await editor.call("PATCH", path, body)
        assert (blind.status, blind.code) == (400, "missing_if_match")
        star = await editor.call("PATCH", path, body, {"If-Match": "*"})
        assert (star.status, star.code) == (400, "invalid_if_match")


async def test_creating_an_existing_document_is_refused(app: App) -> None:
    editor = await new_editor(app)
    for path, body in (("videos", {"id": "v", **VIDEO}), ("rules", {"id": "r", **RULE}),
                       ("playlists", {"id": "p", "name": "P"})):  # fmt: skip
        assert (await editor.post(path, body)).status == 201
        again = await editor.post(path, body)
        assert (again.status, again.code) == (409, "already_exists")


async def test_video_list_pages_are_complete_and_filters_narrow_them(app: App) -> None:
    editor = await new_editor(app, make_videos(25))
    await editor.post("videos", {"id": "zz_last", **VIDEO, "publishedAt": "2030-01-01T00:00:00Z"})
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await editor.get("videos", limit=7, cursor=cursor)).json
        seen += [video["id"] for video in page["videos"]]
        cursor = page["nextCursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 26
    found = (await editor.get("videos", state="scheduled")).json["videos"]
    assert [video["id"] for video in found] == ["zz_last"]
    assert len((await editor.get("videos", category="cooking")).json["videos"]) == 8
    assert [v["id"] for v in (await editor.get("videos", q="ELEVEN")).json["videos"]] == []
    assert (await editor.get("videos", cursor="bm9uc2Vuc2U")).code == "invalid_cursor"


async def test_video_includes_its_statistics_of_seven_days(app: App) -> None:
    editor = await new_editor(app, make_videos(3), count_anonymous_events=True)
    await editor.client.feed()
    events = [{"type": "video_view", "videoId": "vid_fitness_1", "timestamp": app.now_ms(), "watchTimeMs": 20_000}]
    await editor.client.post(events)
    await app.rolled_up()
    figures = (await editor.get("videos/vid_fitness_1")).json["last7d"]
    assert (figures["views"], figures["avgWatchTimeMs"]) == (1, 20_000)
    assert (await editor.get("videos/vid_cooking_1")).json["last7d"]["views"] == 0


async def test_popularity_override_lifts_a_video_without_views(app: App) -> None:
    editor = await new_editor(app, make_videos(20), count_anonymous_events=True)
    await editor.client.feed()
    for n, id in enumerate(["vid_cooking_1", "vid_travel_2", "vid_fitness_3"]):
        view = {"type": "video_view", "videoId": id, "timestamp": app.now_ms(), "watchTimeMs": 29_000}
        for _ in range(n + 3):
            await editor.client.as_user().post([view])
    await app.rolled_up()
    assert "vid_fitness_5" not in (await editor.client.feed(limit=3)).ids
    await editor.change("PATCH", "videos/vid_fitness_5", {"popularityOverride": 100})
    assert "vid_fitness_5" in (await editor.client.feed(limit=3)).ids


async def test_showing_stronger_ratings_requires_confirmation_and_is_audited(app: App) -> None:
    editor = await new_editor(app, [make_video("mild", rating="G"), make_video("strong", rating="R")])
    body = {"maturityPolicy": "R", "ageBandPolicies": {"13-17": "PG"}}
    asked = await editor.change("PATCH", "configuration", body)
    assert asked.status == 422
    assert asked.json["errors"][0]["code"] == "confirmation_required"
    assert asked.json["detail"].startswith("Viewers without an age band would see up to R instead of PG13.")
    assert (await editor.client.feed()).ids == ["mild"]
    done = await editor.change("PATCH", "configuration", body, **{"X-Confirm-Maturity": "yes", "X-Reason": "Late show"})
    assert done.status == 200
    await editor.seen()
    assert set((await editor.client.feed()).ids) == {"mild", "strong"}
    assert (await editor.client.feed(ageBand="13-17")).ids == ["mild"]
    newest = (await editor.get("audit")).json["entries"][0]
    assert (newest["action"], newest["why"]) == ("update_raising_maturity", "Late show")


async def test_removing_a_stricter_age_band_counts_as_showing_stronger_ratings(app: App) -> None:
    editor = await new_editor(app, maturity_policy="PG13", age_band_policies={"0-12": "G"})
    asked = await editor.change("PATCH", "configuration", {"ageBandPolicies": {}})
    assert asked.json["detail"].startswith("Viewers of age band 0-12 would see up to PG13 instead of G.")


async def test_draft_configuration_changes_nothing_until_published(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    saved = await editor.call("PATCH", "configuration/draft", {"defaultLimit": 3})
    assert saved.json["changes"] == {"defaultLimit": {"from": 20, "to": 3}}
    await editor.seen()
    assert len((await editor.client.feed()).ids) == 6
    assert (await editor.publish("configuration/draft", {"reason": "Shorter"})).status == 200
    await editor.seen()
    assert len((await editor.client.feed()).ids) == 3
    assert (await editor.get("configuration/draft")).status == 404


async def test_draft_of_a_configuration_that_changed_since_is_not_published(app: App) -> None:
    editor = await new_editor(app)
    await editor.call("PATCH", "configuration/draft", {"defaultLimit": 3})
    await editor.change("PATCH", "configuration", {"defaultLimit": 7})
    outdated = await editor.publish("configuration/draft")
    assert (outdated.status, outdated.code) == (412, "draft_outdated")


async def test_draft_saved_meanwhile_is_not_discarded(app: App) -> None:
    editor = await new_editor(app)
    assert (await editor.call("DELETE", "configuration/draft")).status == 204
    saved = await editor.call("PATCH", "configuration/draft", {"defaultLimit": 3})

    async def save_again() -> None:
        etag = {"If-Match": saved.headers["Etag"]}
        assert (await editor.call("PATCH", "configuration/draft", {"streakCap": 4}, etag)).status == 200

    partition = frozenset({editor.tenant_id})
    with app.documents.in_trouble(Trouble(partitions=partition, before_write=save_again)):
        refused = await editor.call("DELETE", "configuration/draft", headers={"If-Match": saved.headers["Etag"]})
    assert (refused.status, refused.code) == (412, "stale_etag")
    assert set((await editor.get("configuration/draft")).json["changes"]) == {"defaultLimit", "streakCap"}
    assert (await editor.call("PATCH", "configuration/draft", {"streakCap": 5})).code == "missing_if_match"
    assert (await editor.change("DELETE", "configuration/draft")).status == 204
    assert (await editor.get("configuration/draft")).status == 404


async def test_rules_pin_exclude_limit_and_boost_in_order_of_precedence(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    await editor.post("playlists", {"id": "top", "name": "Top", "videoIds": ["vid_travel_4", "vid_cooking_4"]})
    await editor.post("rules", _rule("pin", "pin", positions=[1, 3], match={"playlists": ["top"]}))
    ids = (await editor.client.feed()).ids
    assert (ids[0], ids[2]) == ("vid_travel_4", "vid_cooking_4")
    assert len(ids) == len(set(ids)) == 12
    await editor.post("rules", _rule("no-travel", "exclude", match={"categories": ["travel"]}))
    ids = (await editor.client.feed()).ids
    assert ids[0] == "vid_cooking_4"
    assert not [id for id in ids if "travel" in id]
    await editor.post("rules", _rule("only", "limit", match={"videoIds": ["vid_fitness_1", "vid_travel_1"]}))
    assert (await editor.client.feed()).ids == ["vid_fitness_1"]
    for id in ("only", "no-travel", "pin"):
        assert (await editor.change("PATCH", f"rules/{id}", {"enabled": False})).status == 200
    boosted = _rule("more", "boost", multiplier=10, match={"videoIds": ["vid_cooking_3", "vid_cooking_2"]})
    await editor.post("rules", boosted)
    assert set((await editor.client.feed(limit=2)).ids) == {"vid_cooking_3", "vid_cooking_2"}
    await editor.change("PATCH", "rules/more", {"action": "suppress", "multiplier": 0.1})
    assert set((await editor.client.feed()).ids[-2:]) == {"vid_cooking_3", "vid_cooking_2"}


async def test_rule_applies_to_its_audience_and_time_window_only(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    start = app.clock.now() + 3600
    await editor.post(
        "rules",
        {**_rule("kids", "exclude", match={"categories": ["travel"]}), "audience": {"ageBands": ["0-12"]},
         "startsAt": start, "endsAt": start + 3600},
    )  # fmt: skip
    assert len((await editor.client.feed(ageBand="0-12")).ids) == 6
    app.clock.advance(3700)
    assert len((await editor.client.feed(ageBand="0-12")).ids) == 4
    assert len((await editor.client.feed(ageBand="13-17")).ids) == 6
    assert len((await editor.client.feed()).ids) == 6
    app.clock.advance(3700)
    assert len((await editor.client.feed(ageBand="0-12")).ids) == 6


async def test_video_for_an_age_band_or_platform_ranks_first_there_and_last_elsewhere(app: App) -> None:
    editor = await new_editor(app, make_videos(5))
    assert (await editor.change("PATCH", "videos/vid_travel_1", {"ageBands": ["13-17"]})).json["ageBands"] == ["13-17"]
    assert (await editor.change("PATCH", "videos/vid_fitness_1", {"platforms": ["tv"]})).json["platforms"] == ["tv"]
    assert (await editor.client.feed(ageBand="13-17")).ids[0] == "vid_travel_1"
    assert (await editor.client.feed(ageBand="65+")).ids[-1] == "vid_travel_1"
    assert (await editor.client.feed(platform="tv")).ids[0] == "vid_fitness_1"
    assert (await editor.client.feed(platform="ios")).ids[-1] == "vid_fitness_1"


async def test_no_rule_brings_a_rating_above_the_policy_into_a_feed(app: App) -> None:
    videos = [*make_videos(4), make_video("strong", rating="R"), make_video("unrated", rating="")]
    editor = await new_editor(app, videos)
    match = {"videoIds": ["strong", "unrated"]}
    await editor.post("rules", _rule("pin", "pin", positions=[1, 2], match=match))
    await editor.post("rules", _rule("boost", "boost", multiplier=10, match=match))
    assert {"strong", "unrated"}.isdisjoint((await editor.client.feed()).ids)
    await editor.post("rules", _rule("only", "limit", match=match))
    assert (await editor.client.feed()).ids == []


async def test_rule_draft_has_no_effect_until_published(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    draft = {
        key: value for key, value in _rule("x", "exclude", match={"categories": ["travel"]}).items() if key != "id"
    }
    assert (await editor.call("PUT", "rules/no-travel/draft", draft)).status == 200
    assert len((await editor.client.feed()).ids) == 6
    listed = (await editor.get("rules")).json["rules"]
    assert [(rule["id"], rule["state"]) for rule in listed] == [("no-travel", "draft")]
    assert (await editor.publish("rules/no-travel/draft")).json["state"] == "live"
    assert len((await editor.client.feed()).ids) == 4


async def test_playlist_in_use_cannot_be_deleted(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("playlists", {"id": "top", "name": "Top"})
    await editor.post("rules", _rule("pin", "pin", positions=[1], match={"playlists": ["top"]}))
    kept = await editor.change("DELETE", "playlists/top")
    assert (kept.status, kept.code) == (409, "in_use")
    assert (await editor.change("DELETE", "rules/pin")).status == 204
    assert (await editor.change("DELETE", "playlists/top")).status == 204
    assert (await editor.get("playlists/top")).status == 404
    assert (await editor.post("playlists", {"id": "top", "name": "Again"})).status == 201


@pytest.mark.parametrize("what", ["configuration", "rule", "playlist", "video"])
async def test_every_kind_of_change_can_be_reverted(app: App, what: str) -> None:
    editor = await new_editor(app, make_videos(3))
    path, change = {
        "configuration": ("configuration", {"defaultLimit": 2}),
        "rule": ("rules/r", {"enabled": False}),
        "playlist": ("playlists/p", {"videoIds": ["vid_travel_1"]}),
        "video": ("videos/vid_fitness_1", {"title": "Other"}),
    }[what]
    await editor.post("rules", {"id": "r", **RULE})
    await editor.post("playlists", {"id": "p", "name": "P"})
    before = (await editor.get(path)).json
    await editor.change("PATCH", path, change)
    entry = (await editor.get("audit")).json["entries"][0]
    assert (await editor.post(f"audit/{entry['id']}/revert")).status == 200
    after = (await editor.get(path)).json
    assert _content(after) == _content(before)
    again = await editor.post(f"audit/{entry['id']}/revert")
    assert (again.status, again.code) == (409, "changed_since")


async def test_reverted_video_is_still_deleted_a_month_after_it_expires(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("videos", {**VIDEO, "id": "vid_core", "expiresAt": iso_time(app.clock.now() + DAY_SECONDS)})
    await editor.change("PATCH", "videos/vid_core", {"title": "Other"})
    entry = (await editor.get("audit")).json["entries"][0]
    assert (await editor.post(f"audit/{entry['id']}/revert")).status == 200
    stored = await app.documents.read(VIDEOS, editor.tenant_id, "vid_core", latest=True)
    assert stored is not None
    assert stored.body["ttl"] == pytest.approx(31 * DAY_SECONDS, abs=60)


async def test_revert_restores_a_deleted_rule_and_removes_a_created_one(app: App) -> None:
    editor = await new_editor(app, make_videos(3))
    await editor.post("rules", _rule("r", "exclude", match={"categories": ["travel"]}))
    await editor.change("DELETE", "rules/r")
    assert len((await editor.client.feed()).ids) == 3
    deleted, created = (await editor.get("audit")).json["entries"]
    await editor.post(f"audit/{deleted['id']}/revert")
    assert len((await editor.client.feed()).ids) == 2
    assert (await editor.post(f"audit/{created['id']}/revert", {"force": True})).status == 200
    assert (await editor.get("rules/r")).status == 404
    assert len((await editor.client.feed()).ids) == 3


async def test_reverting_a_stricter_policy_requires_the_same_confirmation(app: App) -> None:
    editor = await new_editor(app)
    await editor.change("PATCH", "configuration", {"maturityPolicy": "G"})
    entry = (await editor.get("audit")).json["entries"][0]
    assert (await editor.post(f"audit/{entry['id']}/revert")).json["errors"][0]["code"] == "confirmation_required"
    assert (await editor.post(f"audit/{entry['id']}/revert", {}, {"X-Confirm-Maturity": "yes"})).status == 200


async def test_audit_entries_expire_after_ninety_days(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("rules", {"id": "r", **RULE})
    app.clock.advance(89 * 86_400)
    assert len((await editor.get("audit")).json["entries"]) == 1
    app.clock.advance(2 * 86_400)
    assert (await editor.get("audit")).json["entries"] == []


async def test_audit_pages_cover_both_containers(app: App) -> None:
    editor = await new_editor(app)
    for n in range(5):
        await editor.post("videos", {"id": f"v{n}", **VIDEO})
        app.clock.advance(1)
        await editor.post("rules", {"id": f"r{n}", **RULE})
        app.clock.advance(1)
    names: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await editor.get("audit", limit=3, cursor=cursor)).json
        names += [entry["name"] for entry in page["entries"]]
        cursor = page["nextCursor"]
    assert names == ["r4", "v4", "r3", "v3", "r2", "v2", "r1", "v1", "r0", "v0"]


async def test_a_model_is_promoted_and_rolled_back_in_one_call_each(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    model = {"type": "linear", "version": "2026-11-a", "weights": {"quality": 2}}
    assert (await editor.post("models", model)).status == 201
    assert (await editor.post("models", model)).status == 200
    clash = await editor.post("models", {**model, "weights": {"quality": 3}})
    assert (clash.status, clash.code) == (409, "already_exists")
    assert (await editor.post("models", {**model, "type": "trees"})).json["detail"].startswith("Model type 'trees'")
    assert (await editor.post("models/2026-11-a/promote")).json["modelVersion"] == "2026-11-a"
    await editor.seen()
    assert app.services.tenants.get(editor.tenant_id).model_version == "2026-11-a"  # type: ignore[union-attr]
    assert (await editor.post("models/rollback")).json["modelVersion"] is None
    assert (await editor.post("models/rollback")).code == "nothing_to_roll_back"
    assert (await editor.post("models/nope/promote")).status == 404


async def test_only_one_experiment_runs_and_its_arms_do_not_change(app: App) -> None:
    editor = await new_editor(app)
    arms = [{"name": "now", "percent": 30}, {"name": "more", "percent": 30, "weights": {"quality": 1}}]
    made = await editor.post("experiments", {"id": "taste", "name": "Taste", "arms": arms})
    assert (made.status, made.json["outsidePercent"]) == (201, 40.0)
    await editor.post("experiments", {"id": "other", "name": "Other", "arms": arms})
    assert (await editor.post("experiments/taste/start")).json["status"] == "running"
    running = app.services.tenants.experiment(editor.tenant_id)
    assert running is not None
    assert [(arm.number, arm.percent) for arm in running.arms] == [(1, 30.0), (2, 30.0)]
    assert (await editor.post("experiments/other/start")).code == "another_running"
    assert (await editor.change("DELETE", "experiments/taste")).code == "running"
    assert (await editor.post("experiments/taste/stop")).json["status"] == "stopped"
    assert (await editor.change("PUT", "experiments/taste", {"name": "x", "arms": arms})).code == "already_ran"
    assert (await editor.get("experiments/taste/report")).json["report"] is None
    unknown = [{**arms[0], "modelVersion": "nope"}, arms[1]]
    refused = await editor.post("experiments", {"id": "third", "name": "x", "arms": unknown})
    assert refused.json["detail"] == (
        "arms[0].modelVersion names a model version that does not exist. GET /v1/cms/models lists them."
    )


async def test_too_large_or_invalid_json_body_is_refused(app: App) -> None:
    editor = await new_editor(app)
    assert (await editor.call("POST", "videos", b"{")).code == "invalid_json"
    assert (await editor.call("POST", "videos", b"[]")).code == "invalid_body"
    assert (await editor.call("POST", "videos", b" " * 1_000_001)).code == "body_too_large"
    other = await editor.call("POST", "videos", b"<x/>", {"Content-Type": "text/xml"})
    assert other.code == "unsupported_media_type"


async def test_studio_has_a_strict_content_security_policy_and_no_other_host(app: App) -> None:
    page = await app.request("GET", "/studio")
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    again = await app.request("GET", "/studio", {"If-None-Match": page.headers["Etag"]})
    assert again.status == 304
    for name in ("app.js", "studio.css", "icon.svg"):
        file = await app.request("GET", f"/studio/{name}")
        assert file.status == 200
        assert file.headers["X-Content-Type-Options"] == "nosniff"
        assert b"http" not in file.body.replace(b"http://www.w3.org/2000/svg", b"").replace(
            b"https://\xe2\x80\xa6", b""
        )
    for name in ("../studio_api.py", "..%2fstudio_api.py", "nope.js"):
        assert (await app.request("GET", f"/studio/{name}")).status in (400, 404)


def _rule(id: str, action: str, **fields: object) -> dict[str, object]:
    return {"id": id, "name": id, "action": action, **fields}


def _content(shown: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in shown.items() if name not in ("updatedAt", "updatedBy")}
