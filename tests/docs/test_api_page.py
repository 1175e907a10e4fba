"""Examples of the API pages are sent, and the responses compared with those shown."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import function_app
from local.demo import seed_demo
from tests.docs.pages import ROOT, pages
from tests.docs.replay import matches, replay
from tests.served_app import App, served
from tests.skip_reasons import leave_out

PAGE = pages()["docs/api.md"]
ADDRESS = "FEED=http://127.0.0.1:7071"


@pytest_asyncio.fixture
async def demo(tmp_path: Path) -> AsyncIterator[App]:
    """The app with the demo, as `make run` serves it, and the default limit per user."""
    async with served(tmp_path, user_requests_per_second=10.0) as app:
        assert await seed_demo(app.services)
        yield app


async def test_first_commands_work_as_described(demo: App) -> None:
    if shutil.which("bash") is None or shutil.which("curl") is None:
        leave_out("the commands of docs/api.md need bash and curl")
    (script,) = [block.text for block in PAGE.blocks if block.language == "sh"]
    assert ADDRESS in script
    python = str(Path(sys.executable).parent)
    ended = await asyncio.create_subprocess_exec(
        "bash", "-e", "-c", script.replace(ADDRESS, f"FEED={demo.url}"), cwd=ROOT,
        env={**os.environ, "PATH": f"{python}{os.pathsep}{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed = (await ended.communicate())[0].decode()
    assert ended.returncode == 0, printed
    assert '"mode":"fallback","reason":"cold_start"' in printed
    assert "after watching fitness: personalized" in printed
    assert "opted out: fallback (no_consent)" in printed


async def test_every_example_gets_the_documented_response(demo: App) -> None:
    assert await replay(PAGE, demo) > 25


async def test_events_page_batch_gets_the_documented_response(demo: App) -> None:
    assert await replay(pages()["docs/events.md"], demo) == 1


def test_every_parameter_and_every_field_of_a_feed_is_explained() -> None:
    document = function_app.api.document
    parameters = document["paths"]["/v1/feed"]["get"]["parameters"]
    names = [each["name"] for each in parameters if "name" in each]
    names += [each["$ref"].rsplit("/", 1)[1] for each in parameters if "$ref" in each]
    assert [name for name in names if f"`{name}" not in PAGE.text and f"\n{name}: " not in PAGE.text] == []
    fields = [*document["components"]["schemas"]["FeedPage"]["properties"]]
    assert [name for name in fields if f"`{name}`" not in PAGE.text and f"`{name}[]" not in PAGE.text] == []


@pytest.mark.parametrize(
    ("shown", "real", "alike"),
    [
        ({"a": 1, "b": "x…z"}, {"a": 1, "b": "xyz"}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": None}, {"a": "…"}, False),
        ({"at": "2026-11-20T12:00:00Z"}, {"at": "2031-01-02T03:04:05Z"}, True),
        ({"at": "2026-11-20T12:00:00Z"}, {"at": "yesterday"}, False),
        ({"score": 1.5}, {"score": -20.25}, True),
        ({"score": 1.5}, {"score": "1.5"}, False),
        (["…", "…"], [1, {"b": 2}], True),
        (["…"], [1, 2], False),
        ("…", {"anything": []}, True),
    ],
)
def test_replayed_answers_match_placeholders_and_are_equal_elsewhere(shown: Any, real: Any, alike: bool) -> None:
    assert (matches(shown, real) == []) is alike
