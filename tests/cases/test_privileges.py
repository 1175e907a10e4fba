"""Only keys of scope `ops` can change configuration fields that protect others."""

from __future__ import annotations

from typing import Any

import pytest

from cms.configuration.models import FIELDS
from cms.configuration.privileges import OPS_ONLY
from tests.cms.editor import Editor, new_editor
from tests.served_app import Answer, App

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANGES: list[tuple[str, Any]] = [
    ("requireUserToken", False), ("countAnonymousEvents", True),
    ("rateLimits", {"feedRequestsPerSecond": 50_000}), ("rateLimits", {"eventBatchesPerSecond": None}),
    ("rateLimits", None), ("requireUserToken", None), ("rollupShards", 4),
]  # fmt: skip
PROTECTED = {
    "require_user_token": True, "feed_requests_per_second": 10.0, "event_batches_per_second": 20.0,
}  # fmt: skip


async def protected(app: App) -> Editor:
    return await new_editor(app, **PROTECTED)


def assert_refused(answer: Answer, name: str) -> None:
    assert (answer.status, answer.code) == (403, "ops_only"), answer.json
    assert [(each["field"], each["code"]) for each in answer.json["errors"]] == [(name, "ops_only")]


@pytest.mark.parametrize(("name", "value"), CHANGES)
async def test_no_cms_key_changes_a_field_that_protects_others(app: App, name: str, value: Any) -> None:
    editor = await protected(app)
    before = await editor.get("configuration")
    assert_refused(await editor.change("PATCH", "configuration", {name: value}), name)
    assert_refused(await editor.change("PUT", "configuration", {**before.json, name: value}), name)
    assert_refused(await editor.call("PATCH", "configuration/draft", {name: value}), name)
    assert_refused(await editor.call("PUT", "configuration/draft", {"maturityPolicy": "PG", name: value}), name)
    assert (await editor.get("configuration")).json == before.json
    ops = editor.with_key(app.ops_key)
    assert (await ops.change("PATCH", "configuration", {name: value})).status == 200


async def test_no_cms_key_publishes_or_reverts_a_change_of_a_protected_field(app: App) -> None:
    editor = await protected(app)
    ops = editor.with_key(app.ops_key)
    assert (await ops.call("PATCH", "configuration/draft", {"requireUserToken": False})).status == 200
    assert (await editor.change("PATCH", "configuration/draft", {"streakCap": 4})).status == 200
    assert_refused(await editor.publish("configuration/draft"), "requireUserToken")
    assert (await ops.publish("configuration/draft")).status == 200
    assert (await ops.change("PATCH", "configuration", {"requireUserToken": True})).status == 200
    entry = (await editor.get("audit")).json["entries"][0]
    assert_refused(await editor.post(f"audit/{entry['id']}/revert"), "requireUserToken")
    assert (await ops.post(f"audit/{entry['id']}/revert")).status == 200


async def test_unchanged_protected_fields_are_accepted_and_omitted_ones_stay(app: App) -> None:
    editor = await protected(app)
    before = (await editor.get("configuration")).json
    assert (await editor.change("PUT", "configuration", before)).json == before
    limits = {"feedRequestsPerSecond": 10, "eventBatchesPerSecond": 20.0}
    assert (await editor.change("PATCH", "configuration", {"rateLimits": limits})).json == before
    replaced = await editor.change("PUT", "configuration", {"maturityPolicy": "PG"})
    assert replaced.status == 200
    assert {name: replaced.json[name] for name in OPS_ONLY} == {name: before[name] for name in OPS_ONLY}
    draft = await editor.call("PUT", "configuration/draft", {"maturityPolicy": "G"})
    assert draft.json["changes"].keys() == {"maturityPolicy"}
    assert (await editor.publish("configuration/draft")).status == 200


async def test_every_configuration_field_is_classified_as_protected_or_not() -> None:
    assert set(FIELDS) - set(OPS_ONLY) == {
        "maturityPolicy", "ageBandPolicies", "usePersonalization", "defaultLimit", "weights", "affinityHalfLifeDays",
        "popularityHalfLifeHours", "streakCap", "creatorCap", "diversity", "featureFlags",
        "autoModel", "holdout", "offerNextEpisode", "followPolicy", "friendsMean", "storyHours", "storyHoldReports",
        "mediaHosts",
    }  # fmt: skip
