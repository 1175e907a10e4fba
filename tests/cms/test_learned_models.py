"""Every feed, the preview and the holdout serve the models that a tenant's learning produced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cms.experiments.models import MAX_MODELS
from learning.holdout import HoldoutDay, WatchedDay
from learning.take_back import with_holdout_day
from ranking.model import global_model, popularity_model
from shared.adapters.documents.port import TENANTS, Upsert
from shared.adapters.flags.evaluation import AUTO_MODELS
from shared.domain.auto_model import AutoModel
from shared.domain.feed_receipt import verify
from shared.domain.fingerprint import fingerprint
from shared.domain.holdout_users import in_holdout
from tests.cms.editor import Editor, new_editor
from tests.cms.test_preview import preview, watched
from tests.served_app import App, Client, make_videos, new_user, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUTO = AutoModel("2026-11-28", popularity="night-1", personal="night-1", why="it won on the newest day")
FITTED = "night-1-popularity"


def version(name: str = "night-1", **fields: Any) -> dict[str, Any]:
    """A model version as the nightly job stores it."""
    return {
        "id": f"model:{name}",
        "kind": "model",
        "type": "linear",
        "version": name,
        "weights": {"category_affinity": 4.0, "demand_1h": 1.0},
        "popularityWeights": {"demand_1h": -1.0, "quality": 0.5, "editorial_boost": 1.0},
        "trained": {},
        **fields,
    }


async def learned(app: App, auto: AutoModel = AUTO, **configuration: Any) -> Editor:
    """A tenant with a learning state and its versions, and a user who has watched videos."""
    configuration = {"feature_flags": {"exploration": False}, "count_anonymous_events": True, **configuration}
    editor = await new_editor(app, make_videos(30), **configuration)
    await store(editor, auto, version(), version("night-2", popularityWeights={"demand_7d": 1.0}))
    await app.folded()
    await watched(editor)
    await app.rolled_up()
    return editor


async def store(editor: Editor, auto: AutoModel | None, *bodies: dict[str, Any]) -> None:
    documents = editor.app.services.documents
    states = [auto.to_document()] if auto else []
    await documents.write(TENANTS, editor.tenant_id, [Upsert(body) for body in (*bodies, *states)])
    assert await editor.app.services.tenants_refresher.refresh()


def somebody(editor: Editor, held_out: bool) -> Client:
    """A user of the tenant who is held out, or is not."""
    identity = editor.app.services.identity
    while True:
        user = new_user()
        name = identity.archive_pseudonym(identity.user_key(editor.tenant_id, user))
        if in_holdout(name, editor.tenant_id) == held_out:
            return editor.client.as_user(user)


async def known(editor: Editor, held_out: bool) -> Editor:
    """The same tenant with a user who has enough history."""
    other = replace(editor, client=somebody(editor, held_out))
    await watched(other)
    return other


def receipt_of(client: Client, page: dict[str, Any]) -> Any:
    keys = client.app.services.keys.for_purpose("feed-request")
    return verify(page["feedRequestId"], keys, client.tenant_id, client.user_key, client.app.clock.now())


async def test_pages_are_ranked_by_the_personal_version_and_name_it(app: App) -> None:
    editor = await known(await learned(app), held_out=False)
    page = (await editor.client.feed()).json
    assert (page["mode"], page["modelVersion"]) == ("personalized", "night-1")
    receipt = receipt_of(editor.client, page)
    assert (receipt.model, receipt.personalized) == (fingerprint("night-1"), True)
    assert {item["mainTag"] for item in page["items"][:2]} == {"fitness"}


@pytest.mark.parametrize("why", ["no_consent", "kill_switch", "cold_start", "tenant_disabled"])
async def test_every_popular_feed_is_ordered_by_the_fitted_popularity(app: App, why: str) -> None:
    editor = await learned(app, use_personalization=why != "tenant_disabled")
    headers = {"X-Personalization": "off"} if why == "no_consent" else {}
    client = editor.client.as_user() if why == "cold_start" else editor.client
    if why == "kill_switch":
        app.write_flags(personalized(False))
        assert await app.services.flags_refresher.refresh()
    try:
        pages = [(await client.feed(headers, limit=5)).json]
        pages.append((await client.feed(headers, limit=5, cursor=pages[0]["nextCursor"])).json)
    finally:
        app.write_flags(personalized())
        assert await app.services.flags_refresher.refresh()
    for page in pages:
        assert (page["mode"], page["reason"], page["modelVersion"]) == ("fallback", why, FITTED)
        assert receipt_of(client, page).model == fingerprint(FITTED)
    first = [item["videoId"] for item in pages[0]["items"]]
    assert not {f"vid_fitness_{n}" for n in range(1, 7)} & set(first), "its weight of demand is below 0"


async def test_pages_without_a_personal_version_are_popular_minus_seen_videos(app: App) -> None:
    editor = await learned(app, replace(AUTO, personal=None))
    page = (await editor.client.feed(limit=50)).json
    assert (page["mode"], page["modelVersion"]) == ("personalized", FITTED)
    served = {item["videoId"] for item in page["items"]}
    assert len(served) == 24, "30 videos, of which 6 were watched"
    disliked = page["items"][0]["videoId"]
    await editor.client.post([{"type": "not_interested", "videoId": disliked, "timestamp": app.now_ms()}])
    await app.folded()
    assert disliked not in (await editor.client.feed(limit=50)).ids


async def test_tenant_without_a_learning_state_is_served_as_before(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    await watched(editor)
    assert (await editor.client.feed()).json["modelVersion"] == global_model().version
    assert (await editor.client.as_user().feed()).json["modelVersion"] == popularity_model().version


async def test_learned_models_are_served_to_their_own_tenant_only(app: App) -> None:
    editor = await known(await learned(app), held_out=False)
    other = await new_editor(app, make_videos(30))
    await store(other, replace(AUTO, popularity="night-9"), version("night-9", weights={"nonsense": 1.0}))
    assert (await editor.client.feed()).json["modelVersion"] == "night-1"
    assert (await other.client.feed()).json["modelVersion"] == popularity_model().version
    assert app.counted("invalid_weights", other.tenant_id) == 1, "it names a version that only the other has"
    assert app.counted("invalid_weights", editor.tenant_id) == 0


async def test_manual_promotion_overrides_learning_and_a_rollback_ends_it(app: App) -> None:
    editor = await known(await learned(app), held_out=False)
    by_hand = {"type": "linear", "version": "by-hand", "weights": {"quality": 1}}
    assert (await editor.post("models", by_hand)).status == 201
    assert (await editor.post("models/by-hand/promote")).status == 200
    assert (await editor.client.feed()).json["modelVersion"] == "by-hand"
    assert (await editor.client.as_user().feed()).json["modelVersion"] == FITTED
    assert (await editor.post("models/rollback")).status == 200
    assert (await editor.client.feed()).json["modelVersion"] == "night-1"


@pytest.mark.parametrize("state", ["suggest", "off"])
async def test_suggestion_promoted_by_a_tenant_includes_its_popularity(app: App, state: str) -> None:
    auto = replace(AUTO, suggested="night-2")
    editor = await known(await learned(app, auto), held_out=True)
    changed = await editor.change("PATCH", "configuration", {"autoModel": state})
    assert (changed.status, changed.json["autoModel"]) == (200, state)
    assert (await editor.client.feed()).json["modelVersion"] == global_model().version
    assert (await editor.post("models/night-2/promote")).status == 200
    assert (await editor.client.feed()).json["modelVersion"] == "night-2", "and nobody is held out"
    assert (await editor.client.as_user().feed()).json["modelVersion"] == "night-2-popularity"


async def test_tenant_weights_override_learned_ones(app: App) -> None:
    editor = await known(await learned(app), held_out=False)
    assert (await editor.change("PATCH", "configuration", {"weights": {"quality": 0.25}})).status == 200
    assert (await editor.client.feed()).json["modelVersion"].startswith("night-1+")
    assert (await editor.client.as_user().feed()).json["modelVersion"] == FITTED


async def test_popularity_half_life_changes_pages_and_the_popular_feed(app: App) -> None:
    editor = await new_editor(app, make_videos(12))
    await watched(editor)
    before = (await editor.client.feed()).json, (await editor.client.as_user().feed()).json
    assert (await editor.change("PATCH", "configuration", {"popularityHalfLifeHours": 168})).status == 200
    after = (await editor.client.feed()).json, (await editor.client.as_user().feed()).json
    for page, other in zip(before, after, strict=True):
        assert other["modelVersion"].startswith(f"{page['modelVersion']}+")


async def test_the_holdout_gets_popularity_while_others_get_the_personal_version(app: App) -> None:
    editor = await learned(app)
    held_out, other = await known(editor, held_out=True), await known(editor, held_out=False)
    page = (await held_out.client.feed()).json
    assert (page["mode"], page["modelVersion"]) == ("personalized", FITTED)
    assert (await other.client.feed()).json["modelVersion"] == "night-1"
    assert (await editor.change("PATCH", "configuration", {"holdout": False})).status == 200
    assert (await held_out.client.feed()).json["modelVersion"] == "night-1"


async def test_consent_and_the_kill_switch_override_the_holdout(app: App) -> None:
    editor = await known(await learned(app), held_out=True)
    assert (await editor.client.feed()).json["modelVersion"] == FITTED
    reads = app.documents.reads
    page = (await editor.client.feed({"X-Personalization": "off"})).json
    assert (page["mode"], page["reason"]) == ("fallback", "no_consent")
    app.write_flags(personalized(False))
    assert await app.services.flags_refresher.refresh()
    page = (await editor.client.feed()).json
    app.write_flags(personalized())
    assert await app.services.flags_refresher.refresh()
    assert (page["mode"], page["reason"]) == ("fallback", "kill_switch")
    assert app.documents.reads == reads, "nothing of the user is read"


async def test_holdout_users_are_in_no_experiment(app: App) -> None:
    editor = await learned(app)
    held_out, other = await known(editor, held_out=True), await known(editor, held_out=False)
    arms = [{"name": "now", "percent": 50}, {"name": "other", "percent": 50, "weights": {"quality": 1}}]
    assert (await editor.post("experiments", {"id": "e", "name": "E", "arms": arms})).status == 201
    assert (await editor.post("experiments/e/start")).status == 200
    page = (await held_out.client.feed()).json
    assert (page["experiment"], page["modelVersion"]) == (None, FITTED)
    assert receipt_of(held_out.client, page).arm == 0
    page = (await other.client.feed()).json
    assert page["experiment"] in ("e/now", "e/other")
    assert page["modelVersion"].startswith("night-1"), "an arm without a model begins from what the tenant is served"
    await store(editor, replace(AUTO, personal=None))
    assert (await held_out.client.feed()).json["experiment"] is None, "the next night may serve a personal model again"


async def test_losing_model_is_rolled_back_at_night_even_with_promotion_off(app: App) -> None:
    auto = AUTO
    for day in range(22, 29):
        figures = HoldoutDay(WatchedDay(2_000, 1e6, 6e8), WatchedDay(2_000, 1.2e6, 8e8))
        auto = with_holdout_day(auto, f"2026-11-{day}", "night-1", figures)
    editor = await known(await learned(app, auto), held_out=False)
    assert (await editor.client.feed()).json["modelVersion"] == "night-1"
    app.write_flags(personalized(), {"id": AUTO_MODELS, "enabled": False})
    assert await app.services.flags_refresher.refresh()
    assert (await editor.client.feed()).json["modelVersion"] == "night-1", "the flag leaves what is served"
    await app.host.run_timer("nightly")
    app.write_flags(personalized())
    assert await app.services.flags_refresher.refresh()
    assert (await editor.client.feed()).json["modelVersion"] == FITTED
    assert app.counted("model_take_backs", editor.tenant_id, "taken_back") == 1
    entry = (await editor.get("audit")).json["entries"][0]
    assert (entry["who"], entry["action"], entry["resource"]) == ("nightly learning", "take_back", "auto-model")
    assert {"field": "personal", "from": "night-1", "to": None} in entry["changes"]
    assert not entry["revertible"]


async def test_nightly_models_use_no_editor_quota_and_have_reserved_names(app: App) -> None:
    editor = await new_editor(app)
    await store(editor, None, *(version(f"auto-2026-10-{day:02}") for day in range(1, 1 + MAX_MODELS)))
    assert (await editor.post("models", {"type": "linear", "version": "ours", "weights": {}})).status == 201
    refused = await editor.post("models", {"type": "linear", "version": "auto-2099-01-01", "weights": {}})
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "version")
    again = {"type": "linear", "version": "auto-2026-10-01", "weights": version()["weights"]}
    assert (await editor.post("models", again)).status == 200, "what is stored can be sent back"


async def test_preview_equals_the_served_page_and_contributions_add_up(app: App) -> None:
    editor = await learned(app)
    for user in (await known(editor, held_out=True), await known(editor, held_out=False)):
        seen, served = await preview(user, user=True), await user.client.feed()
        assert seen["live"]["modelVersion"] == served.json["modelVersion"]
        assert [item["videoId"] for item in seen["live"]["items"]] == served.ids
        for item in seen["live"]["items"]:
            assert sum(part["amount"] for part in item["contributions"]) == pytest.approx(item["score"], abs=1e-4)
    popular = (await preview(editor))["live"]
    assert (popular["mode"], popular["modelVersion"]) == ("fallback", FITTED)
    assert [item["videoId"] for item in popular["items"]] == (await editor.client.as_user().feed()).ids
    for item in popular["items"]:
        assert sum(part["amount"] for part in item["contributions"]) == pytest.approx(item["score"], abs=1e-4)
    drafted = await preview(editor, {"draft": {"configuration": {"autoModel": "off"}}})
    assert drafted["draft"]["modelVersion"] == popularity_model().version


async def test_served_or_suggested_version_cannot_be_deleted(app: App) -> None:
    editor = await learned(app, replace(AUTO, suggested="night-2"))
    for name in ("night-1", "night-2"):
        refused = await editor.call("DELETE", f"models/{name}")
        assert (refused.status, refused.code) == (409, "in_use")
    await store(editor, replace(AUTO, suggested="night-1"))
    assert (await editor.call("DELETE", "models/night-2")).status == 204
    assert (await known(editor, held_out=False)).client.tenant_id == editor.tenant_id
