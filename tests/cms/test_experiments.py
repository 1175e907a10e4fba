"""Experiments and model versions stay consistent under concurrent changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cms.experiments.models import MAX_EXPERIMENTS, MAX_MODELS
from events.experiment_statistics import Outcomes, report
from shared.adapters.documents.port import TENANTS, Upsert, query_all
from shared.domain.event_types import VIDEO_VIEW
from shared.domain.records import Experiment
from tests.cms.editor import Editor, new_editor
from tests.faulty_documents import Trouble
from tests.served_app import Answer, App, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = {"type": "linear", "version": "v1", "weights": {"quality": 2}}


def arms(version: str | None = None) -> list[dict[str, Any]]:
    return [
        {"name": "now", "percent": 50},
        {"name": "other", "percent": 50, "modelVersion": version, "weights": {"quality": 1}},
    ]


async def experiment(editor: Editor, id: str, version: str | None = None) -> None:
    made = await editor.post("experiments", {"id": id, "name": id.title(), "arms": arms(version)})
    assert made.status == 201, made.body


async def running(editor: Editor) -> list[str]:
    listed = (await editor.get("experiments")).json["experiments"]
    return [each["id"] for each in listed if each["status"] == "running"]


async def meanwhile(editor: Editor, slow: tuple[str, str], quick: tuple[str, str]) -> tuple[Answer, Answer]:
    """Run two calls: the quick one runs whole between the reads of the slow one and its write."""
    answers: list[Answer] = []

    async def other() -> None:
        answers.append(await editor.call(*quick))

    partition = frozenset({editor.tenant_id})
    with editor.app.documents.in_trouble(Trouble(partitions=partition, before_write=other)):
        answer = await editor.call(*slow)
    return answer, answers[0]


@pytest.mark.parametrize("second", ["a", "b"])
async def test_one_of_two_experiments_started_at_once_is_refused(app: App, second: str) -> None:
    editor = await new_editor(app)
    for id in ("a", "b"):
        await experiment(editor, id)
    late, early = await meanwhile(editor, ("POST", "experiments/a/start"), ("POST", f"experiments/{second}/start"))
    assert early.status == 200
    assert (late.status, late.code) == (409, "already_ran" if second == "a" else "another_running")
    assert await running(editor) == [second]
    entries = (await editor.get("audit")).json["entries"]
    assert [entry["name"] for entry in entries if entry["action"] == "start"] == [second]


async def test_one_of_many_experiments_started_at_once_runs(app: App) -> None:
    editor = await new_editor(app)
    ids = [f"e{n}" for n in range(8)]
    for id in ids:
        await experiment(editor, id)
    for _ in range(3):
        free = [
            each["id"] for each in (await editor.get("experiments")).json["experiments"] if each["status"] == "draft"
        ]
        answers = await asyncio.gather(*(editor.post(f"experiments/{id}/start") for id in free))
        assert sorted(answer.status for answer in answers) == [200] + [409] * (len(free) - 1)
        assert {answer.code for answer in answers if answer.status == 409} <= {"another_running", "conflict"}
        [one] = await running(editor)
        assert (await editor.post(f"experiments/{one}/stop")).status == 200


async def test_model_in_use_by_serving_or_a_running_experiment_is_not_deleted(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    for version in ("v1", "v2"):
        await editor.post("models", {**MODEL, "version": version})
    await editor.post("models/v1/promote")
    await experiment(editor, "taste", "v2")
    await editor.post("experiments/taste/start")
    for version, what in (("v1", "Promote another one"), ("v2", "Stop the experiment")):
        refused = await editor.call("DELETE", f"models/{version}")
        assert (refused.status, refused.code) == (409, "in_use")
        assert what in refused.json["detail"]
    await editor.post("experiments/taste/stop")
    assert (await editor.call("DELETE", "models/v2")).status == 204
    assert (await editor.call("DELETE", "models/v2")).status == 404
    assert (await editor.call("DELETE", "models/global")).status == 404


async def test_deleted_model_leaves_every_list_and_stays_in_the_history(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    for version in ("v1", "v2", "v3"):
        await editor.post("models", {**MODEL, "version": version})
        await editor.post(f"models/{version}/promote")
    assert (await editor.call("DELETE", "models/v2", headers={"X-Reason": "no longer good"})).status == 204
    listed = (await editor.get("models")).json
    assert [each["version"] for each in listed["models"][1:]] == ["v1", "v3"]
    assert listed["history"] == ["v1", None]
    assert app.services.tenants.model(editor.tenant_id, "v2") is None
    entry = (await editor.get("audit")).json["entries"][0]
    assert (entry["action"], entry["name"], entry["why"]) == ("delete", "v2", "no longer good")
    assert (await editor.post("models/rollback")).json["modelVersion"] == "v1"
    assert (await editor.post("models/v2/promote")).status == 404
    again = await editor.post("models", {**MODEL, "version": "v2"})
    assert (again.status, again.code) == (409, "already_exists")


@pytest.mark.parametrize("change", ["models/v1/promote", "experiments/taste/start"])
@pytest.mark.parametrize("deleted_first", [True, False])
async def test_model_deleted_while_being_promoted_is_not_served(app: App, change: str, deleted_first: bool) -> None:
    editor = await new_editor(app, make_videos(6))
    await editor.post("models", MODEL)
    await experiment(editor, "taste", "v1")
    calls = (("POST", change), ("DELETE", "models/v1"))
    if deleted_first:
        served, deleted = await meanwhile(editor, *calls)
        assert (deleted.status, served.status) == (204, 412 if "promote" in change else 422)
    else:
        deleted, served = await meanwhile(editor, *reversed(calls))
        assert (served.status, deleted.code) == (200, "in_use")
    live = app.services.tenants.get(editor.tenant_id)
    assert live is not None
    assert (live.model_version is None) == (deleted_first or "promote" not in change)
    assert bool(await running(editor)) == (not deleted_first and "start" in change)


async def test_revert_brings_no_deleted_model_back(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    await editor.post("models", MODEL)
    await editor.post("models/v1/promote")
    await editor.post("models/global/promote")
    await editor.call("DELETE", "models/v1")
    entries = (await editor.get("audit")).json["entries"]
    promoted = next(each for each in entries if each["name"] == "global")
    back = await editor.post(f"audit/{promoted['id']}/revert", {"force": True})
    assert (back.status, back.code) == (409, "not_revertible")
    assert (await editor.post("models/rollback")).json["modelVersion"] is None


async def test_deleting_one_makes_room_at_the_limit(app: App) -> None:
    editor = await new_editor(app)
    for number in range(MAX_MODELS):
        assert (await editor.post("models", {**MODEL, "version": f"v{number}"})).status == 201
    for number in range(MAX_EXPERIMENTS):
        await experiment(editor, f"e{number}")
    one_more = {"models": {**MODEL, "version": "more"}, "experiments": {"id": "more", "name": "More", "arms": arms()}}
    for resource, body in one_more.items():
        refused = await editor.post(resource, body)
        assert (refused.status, refused.code) == (409, "too_many")
    assert (await editor.call("DELETE", "models/v7")).status == 204
    assert (await editor.change("DELETE", "experiments/e7")).status == 204
    for resource, body in one_more.items():
        assert (await editor.post(resource, body)).status == 201
    stored = await query_all(app.documents, TENANTS, editor.tenant_id, "model:")
    assert sum(bool(each.body.get("deleted")) for each in stored) == 1


@pytest.mark.parametrize("users", [0, 3])
async def test_report_is_returned_as_computed(app: App, users: int) -> None:
    editor = await new_editor(app)
    await experiment(editor, "taste")
    started = await editor.post("experiments/taste/start")
    stored = await app.documents.read(TENANTS, editor.tenant_id, "experiment:taste", latest=True)
    assert stored is not None
    outcomes = Outcomes(Experiment.from_document(stored.body))
    for arm in (1, 2):
        for user in range(users):
            request = {"arm": arm, "servedAt": app.now_ms()}
            view = {"type": VIDEO_VIEW, "videoId": "vid_1", "watchTimeMs": 900 * (user + arm)}
            outcomes.add([{**view, "request": request, "user": f"user {user} of arm {arm}"}])
    computed = {**report(outcomes), "at": int(app.clock.now())}
    document = {"id": "experiment-report:taste", "kind": "experiment-report", "report": computed}
    await app.documents.write(TENANTS, editor.tenant_id, [Upsert(document)])
    answer = await editor.get("experiments/taste/report")
    assert answer.json == {"experiment": started.json, "report": computed, "daysLeft": None}
    assert (answer.json["report"]["arms"][1]["measures"]["watchSeconds"]["lift"] is None) == (users == 0)
