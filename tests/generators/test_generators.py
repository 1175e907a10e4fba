"""Real client generators process both documents; their clients compile, serve a feed and send a batch."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import function_app
from tests.generators.programs import (
    NODE,
    Failed,
    compile_typescript,
    kotlin_and_swift,
    lint,
    node_program,
    node_version,
    python_client,
    typescript_client,
    typescript_types,
    write,
)
from tests.served_app import make_videos, served

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(function_app.api.document, tmp_path_factory.mktemp("documents") / "whole.json")


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(function_app.api.sdk_document, tmp_path_factory.mktemp("documents") / "sdk.json")


def modules_of(folder: Path) -> list[str]:
    """Import every module of a package; return their names."""
    sys.path.insert(0, str(folder.parent))
    try:
        package = importlib.import_module(folder.name)
        names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{folder.name}.")]
        for name in names:
            importlib.import_module(name)
        return names
    finally:
        sys.path.remove(str(folder.parent))


async def test_generated_python_client_serves_a_feed_and_accepts_a_batch(
    sdk: Path, tmp_path: Path, record_property: Record
) -> None:
    python_client(sdk, tmp_path / "made_for_apps")
    modules_of(tmp_path / "made_for_apps")
    made, models = sys.modules["made_for_apps.client"], sys.modules["made_for_apps.models"]
    get_feed = sys.modules["made_for_apps.api.feed.get_feed"]
    post_events = sys.modules["made_for_apps.api.events.post_events"]
    async with served(tmp_path) as app:
        user = await app.tenant(make_videos(5))
        keys = {"X-Tenant-Id": user.tenant_id, "X-Api-Key": user.key}
        async with made.Client(app.url, headers=keys, raise_on_unexpected_status=True) as client:
            page = await get_feed.asyncio(client=client, x_user=user.user, limit=3)
            events = [
                models.Event(
                    type_="impression",
                    timestamp=app.now_ms(),
                    video_id=item.video_id,
                    feed_request_id=page.feed_request_id,
                )
                for item in page.items
            ]
            sent = await post_events.asyncio(client=client, x_user=user.user, body=models.EventBatch(events))
            refused = await get_feed.asyncio(client=client, x_user=user.user, limit=0)
    assert (len(page.items), sent.accepted, sent.rejected) == (3, 3, [])
    assert isinstance(refused, models.Problem)
    assert refused.code == "invalid_limit"
    record_property("tested with", f"openapi-python-client {version('openapi-python-client')}: compiled")


def test_python_client_of_the_full_document_has_about_one_model_per_schema(whole: Path, tmp_path: Path) -> None:
    python_client(whole, tmp_path / "made_of_everything")
    names = modules_of(tmp_path / "made_of_everything")
    models = [name for name in names if ".models." in name]
    operations = [name for name in names if re.search(r"\.api\.\w+\.\w+$", name)]
    assert len(models) < 1.5 * len(function_app.api.document["components"]["schemas"])
    assert len(operations) == len(function_app.api.endpoints)


async def test_generated_typescript_client_serves_a_feed_and_accepts_a_batch(
    whole: Path, sdk: Path, tmp_path: Path, record_property: Record
) -> None:
    folder = tmp_path / "made"
    typescript_client(sdk, folder / "client")
    typescript_client(whole, folder / "client" / "whole")
    typescript_types(sdk, folder / "types.ts")
    typescript_types(whole, folder / "whole.ts")
    (folder / "use.ts").write_text((NODE / "use.ts").read_text())
    compile_typescript(folder)
    async with served(tmp_path) as app:
        user = await app.tenant(make_videos(5))
        running = await asyncio.create_subprocess_exec(
            *("node", str(folder / "use.js"), app.url, user.tenant_id, user.key, user.user),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaint = await running.communicate()
    assert running.returncode == 0, complaint.decode()
    assert json.loads(printed) == [3, 3, [], "invalid_limit"]
    for package in ("openapi-typescript", "@hey-api/openapi-ts"):
        record_property("tested with", f"{node_version(package)}: compiled by {node_version('typescript')}")


def test_kotlin_and_swift_clients_have_a_model_for_each_schema(
    sdk: Path, tmp_path: Path, record_property: Record
) -> None:
    made_with = kotlin_and_swift(sdk, tmp_path / "made")
    objects = function_app.api.sdk_document["components"]["schemas"].keys() - {"EventTime"}
    kotlin = {path.stem: path.read_text() for path in (tmp_path / "made/kotlin/src/main").rglob("models/*.kt")}
    swift = {path.stem: path.read_text() for path in (tmp_path / "made/swift6").rglob("Models/*.swift")}
    assert objects == kotlin.keys() == swift.keys()
    assert "val timestamp: kotlin.Long" in kotlin["Event"]
    assert "val feedRequestId: kotlin.String? = null" in kotlin["Event"]
    assert "val type: kotlin.String" in kotlin["Event"]
    assert "public var durationSeconds: Double" in swift["FeedVideo"]
    assert "public var reason: String?" in swift["FeedPage"]
    assert not [name for name, text in {**kotlin, **swift}.items() if "enum class" in text or ": CaseIterable" in text]
    record_property("tested with", f"{made_with}: made for Kotlin and Swift, which are not compiled here")


def test_a_linter_finds_no_error_in_either_document(whole: Path, sdk: Path, record_property: Record) -> None:
    assert "error" not in lint(whole, sdk)
    record_property("tested with", f"{node_version('@redocly/cli')}: no errors")


def spoiled(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Return the app document with a fault."""
    document = copy.deepcopy(function_app.api.sdk_document)
    change(document["components"]["schemas"])
    return document


def test_duplicate_enum_value_breaks_the_python_generator(tmp_path: Path) -> None:
    def plant(schemas: dict[str, Any]) -> None:
        schemas["Event"]["properties"]["type"] = {"type": "string", "enum": ["like", "like"]}

    with pytest.raises(Failed, match="Duplicate key LIKE"):
        python_client(write(spoiled(plant), tmp_path / "document.json"), tmp_path / "made")


def test_null_default_and_closed_enum_break_the_typescript_client(tmp_path: Path) -> None:
    def plant(schemas: dict[str, Any]) -> None:
        schemas["Event"]["properties"]["eventId"]["default"] = None
        schemas["FeedPage"]["properties"]["reason"]["enum"] = ["cold_start", None]

    node_program("tsc")
    typescript_types(write(spoiled(plant), tmp_path / "document.json"), tmp_path / "made" / "types.ts")
    uses = (NODE / "use.ts").read_text().splitlines()
    kept = [line for line in uses if re.match(r"import type|type |export ", line)]
    (tmp_path / "made" / "use.ts").write_text("\n".join(kept))
    with pytest.raises(Failed) as refused:
        compile_typescript(tmp_path / "made")
    assert "eventId" in str(refused.value)
    assert "of_next_year" in str(refused.value)
