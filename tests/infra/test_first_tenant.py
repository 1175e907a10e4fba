"""The commands of docs/operations.md lead from an empty store to the first feed as written."""

from __future__ import annotations

import io
import os
import re
import shlex
import zipfile
from pathlib import Path

import orjson

from infra import package
from shared.domain.removal_receipt import GRACE_SECONDS
from tests.infra.test_operate import Cloud, cloud, sha256
from tests.served_app import Answer, App, eventually, new_user, served

__all__ = ["cloud"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def commands(heading: str) -> list[str]:
    """Return the shell commands of a section's first block, one each."""
    section = PAGE[PAGE.index(f"\n### {heading}\n") :]
    block = re.search(r"```sh\n(.*?)```", section, re.S)
    assert block
    return [f"curl {each}" for each in block[1].split("curl ")[1:]]


async def curl(app: App, command: str, **variables: str) -> Answer:
    """Send the request of a curl command."""
    for name, value in {**variables, "ENTRY_HOST": "entry"}.items():
        command = command.replace(f"${name}", value)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "curl"
    url = words[1].removeprefix("https://entry")
    headers, body = {}, None
    for option, value in zip(words[2::2], words[3::2], strict=True):
        if option == "-H":
            name, _, text = value.partition(": ")
            headers[name] = text
        else:
            assert option == "--json"
            body = value.encode()
            headers["Content-Type"] = "application/json"
    assert "$" not in command
    return await app.request("GET" if body is None else "POST", url, headers, body=body)


def packaged() -> bytes:
    """The app's own files and the machine code of this interpreter, which also has the dependencies."""
    machine_code = [path.relative_to(ROOT) for path in (ROOT / "ranking" / "__pycache__").rglob("*.nb[ci]")]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in (*package.own_files(ROOT), *machine_code):
            archive.write(ROOT / path, path)
    return buffer.getvalue()


async def test_the_documented_commands_lead_from_an_empty_store_to_the_first_feed(cloud: Cloud, tmp_path: Path) -> None:
    content = packaged()
    cloud.blobs = {f"{sha256(content)}.zip": content, "current": sha256(content).encode()}
    cloud.settings = {"DATA_FOLDER": str(tmp_path), **{k: v for k, v in os.environ.items() if k == "PATH"}}
    create_tenant, import_videos, ask, state = commands("Add a tenant")

    async with served(tmp_path, operators=False) as app:
        refused = await curl(app, create_tenant, OPERATORS_KEY="a-key-that-somebody-guessed")
        assert refused.status == 401

        assert await cloud.run("first-key") == 0
        operators_key = cloud.secrets["first-operators-key"]
        app.secrets.add(operators_key)

        async def authenticated() -> bool:
            headers = {"X-Api-Key": operators_key}
            return (await app.request("GET", "/v1/cms/tenants", headers)).status == 200

        await eventually(authenticated)
        made = await curl(app, create_tenant, OPERATORS_KEY=operators_key)
        assert (made.status, made.json["tenantId"]) == (201, "news")
        keys = {"EDITORS_KEY": made.json["key"], "APP_KEY": made.json["appKey"], "USER_HASH": new_user()}
        app.secrets.update(keys.values())
        assert (await curl(app, import_videos, **keys)).json["counts"]["created"] == 1

        feed = await curl(app, ask, **keys)
        assert (feed.status, feed.ids) == (200, ["first"])
        so_far = await curl(app, state, OPERATORS_KEY=operators_key)
        assert so_far.json["firstFeedAt"] is not None
        assert so_far.json["firstEventAt"] is None

        remove, receipt = commands("Remove a tenant")
        assert (await curl(app, remove, OPERATORS_KEY=operators_key)).status == 202
        assert (await curl(app, ask, **keys)).status == 401
        app.clock.advance(GRACE_SECONDS + 1)
        await app.host.run_timer("run_jobs")
        assert (await curl(app, receipt, OPERATORS_KEY=operators_key)).json["state"] == "done"

        await rotated(app, operators_key)


async def rotated(app: App, first: str) -> None:
    """Replace the first key as *Rotate a key* describes, and keep the last one."""
    headers = {"X-Tenant-Id": "_platform", "X-Api-Key": first, "Content-Type": "application/json"}
    body = orjson.dumps({"name": "Ben", "scopes": ["ops"]})
    issued = await app.request("POST", "/v1/cms/keys", headers, body=body)
    assert issued.status == 201
    headers["X-Api-Key"] = issued.json["key"]
    app.secrets.add(issued.json["key"])
    assert (await app.request("DELETE", "/v1/cms/keys/first", headers)).status == 204
    [left] = (await app.request("GET", "/v1/cms/keys", headers)).json["keys"]
    assert (await app.request("DELETE", f"/v1/cms/keys/{left['id']}", headers)).code == "last_key"
    assert (await app.request("GET", "/v1/cms/tenants", {"X-Api-Key": first})).status == 401
