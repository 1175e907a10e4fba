"""`docs/events.md` matches the code: examples are accepted, lists complete, the archive line real."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from events.archive import from_lines
from events.schema import REJECTIONS
from shared.adapters.blobs.port import ARCHIVE
from shared.domain.event_types import EVENT_TYPES, IMPRESSION, PLAYBACK_ERROR, STALL, START
from tests.served_app import ROOT, App, make_video

in_one_loop = pytest.mark.asyncio(loop_scope="module")

TEXT = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))


def example(text: str) -> dict[str, Any]:
    found = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert len(found) == 1
    parsed: dict[str, Any] = json.loads(found[0])
    return parsed


def test_every_event_type_has_a_section_with_its_meaning() -> None:
    assert set(SECTIONS) == set(EVENT_TYPES)
    for name, meaning in EVENT_TYPES.items():
        assert example(SECTIONS[name])["type"] == name
        assert SECTIONS[name].startswith(meaning.split(";")[0].rstrip(".").split(",")[0][:20])


def test_every_event_refusal_code_is_listed() -> None:
    listed = re.search(r"Codes of rejected events: (.*?)\n\n", TEXT, re.DOTALL)
    assert listed
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(REJECTIONS)


@in_one_loop
async def test_every_example_with_a_current_time_is_accepted(app: App) -> None:
    examples = [example(body) for body in SECTIONS.values()]
    client = await app.tenant(
        [make_video(id) for id in sorted({each["videoId"] for each in examples if "videoId" in each})]
    )
    old = await client.post(examples)
    assert {each["code"] for each in old.json["rejected"]} <= {"too_old"}, "nothing else is wrong with them"
    began = {"startedAt": app.now_ms(60)}
    fresh = [
        {**each, "timestamp": app.now_ms() + number, **(began if "startedAt" in each else {})}
        for number, each in enumerate(examples)
    ]
    client = client.as_user()
    answer = await client.post(fresh)
    assert answer.json["accepted"] == len(EVENT_TYPES)
    await app.folded()
    actions = len(EVENT_TYPES) - len({IMPRESSION, START, STALL, PLAYBACK_ERROR})
    assert (await client.signals()).json["events"] == actions, "what is on the screen or fails is no action"


@in_one_loop
async def test_archived_line_on_the_page_has_the_fields_of_a_real_one(app: App) -> None:
    client = await app.tenant([make_video("vid_1")], count_anonymous_events=True)
    served = (await client.feed()).json["feedRequestId"]
    await client.post(
        [{"type": "like", "videoId": "vid_1", "timestamp": app.now_ms(), "feedRequestId": served, "rankPosition": 0}]
    )
    await app.folded()
    await app.rolled_up()
    blobs = [blob async for blob in app.services.blobs.list(ARCHIVE, f"{client.tenant_id}/")]
    assert re.fullmatch(rf"{client.tenant_id}/\d{{4}}/\d\d/\d\d/\d\d/0-\d{{20}}-\d+\.jsonl\.gz", blobs[0].name)
    (line,) = from_lines(await app.services.blobs.read(ARCHIVE, blobs[0].name) or b"")
    documented = example(TEXT.split("## The archive")[1])
    assert line.keys() == documented.keys()
    assert line["request"].keys() == documented["request"].keys()
