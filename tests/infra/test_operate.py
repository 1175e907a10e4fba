"""The operations program against a server that answers as the Azure services do, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bootstrap import build
from infra import operate
from shared.adapters.flags.switching import switched
from shared.adapters.tenant_directory import save_tenant
from shared.domain.keys import Identity, KeyRing
from shared.domain.records import Tenant
from shared.settings import Settings
from shared.web.authentication import Authenticator

ROOT = Path(__file__).resolve().parents[2]

TOKEN = "token-of-the-operations-identity"


def targeting_filter(**audience: Any) -> dict[str, Any]:
    return {"name": operate.TARGETING, "parameters": {"Audience": audience}}


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_py", ".py"), text)
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Cloud:
    """The state of the services, and the requests they received."""

    secrets: dict[str, str] = field(default_factory=dict)
    flags: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    downloads: dict[str, bytes] = field(default_factory=dict)
    published: list[bytes] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    refuse_package: bool = False
    failures: int = 0
    told: int = 0
    refresh_status: int = 200
    certificate: dict[str, Any] | None = None
    outsider_saw: list[str | None] = field(default_factory=list)
    meanwhile: list[dict[str, Any]] = field(default_factory=list)
    version: int = 0
    url: str = ""

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "IDENTITY_ENDPOINT": f"{self.url}/msi/token",
            "IDENTITY_HEADER": "header",
            "OPERATIONS_CLIENT_ID": "operations",
            "APP_CLIENT_ID": "app",
            "APP_ID": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/a",
            "APP_SCM_URL": f"{self.url}/scm",
            "RESOURCE_MANAGER": f"{self.url}/arm",
            "APP_CONFIGURATION_ENDPOINT": f"{self.url}/flags",
            "APP_VAULT_URI": f"{self.url}/vault/",
            "ENTRY_VAULT_URI": f"{self.url}/vault/",
            "ENTRY_CERTIFICATE": "entry",
            "ENTRY_HOST": "feed.example.com",
            "PACKAGES_URL": f"{self.url}/packages",
            **more,
        }

    async def run(self, *arguments: str, **more: str) -> int:
        environment = self.environment(**more)
        return await asyncio.to_thread(operate.main, list(arguments), environment, 0.001)


def flag_name(request: web.Request) -> str:
    prefix, _, name = request.match_info["key"].partition("/")
    assert prefix == ".appconfig.featureflag"
    return name


def application(cloud: Cloud) -> web.Application:
    @web.middleware
    async def guarded(request: web.Request, handler: Any) -> web.StreamResponse:
        if cloud.failures:
            cloud.failures -= 1
            return web.Response(status=503)
        if not request.path.startswith(("/msi", "/download", "/outside")):
            assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        return await handler(request)

    async def token(request: web.Request) -> web.Response:
        assert request.headers["X-IDENTITY-HEADER"] == "header"
        assert request.query["client_id"] == "operations"
        return web.json_response({"access_token": TOKEN})

    async def refresh(request: web.Request) -> web.Response:
        cloud.told += 1
        return web.json_response({}, status=cloud.refresh_status)

    async def get_secret(request: web.Request) -> web.Response:
        value = cloud.secrets.get(request.match_info["name"])
        return web.json_response({"value": value}) if value else web.Response(status=404)

    async def put_secret(request: web.Request) -> web.Response:
        cloud.secrets[request.match_info["name"]] = (await request.json())["value"]
        return web.json_response({})

    async def get_flag(request: web.Request) -> web.Response:
        flag = cloud.flags.get(flag_name(request))
        if flag is None:
            return web.Response(status=404)
        answer = web.json_response({"value": json.dumps(flag)}, headers={"ETag": f'"{cloud.version}"'})
        if cloud.meanwhile:  # another client writes between our read and our write
            cloud.flags[flag_name(request)] = cloud.meanwhile.pop()
            cloud.version += 1
        return answer

    async def put_flag(request: web.Request) -> web.Response:
        if request.headers["If-Match"] != f'"{cloud.version}"':
            return web.Response(status=412)
        body = await request.json()
        assert body["content_type"] == "application/vnd.microsoft.appconfig.ff+json;charset=utf-8"
        cloud.flags[flag_name(request)] = json.loads(body["value"])
        cloud.version += 1
        return web.json_response(body)

    async def list_blobs(request: web.Request) -> web.Response:
        stamp = "<Properties><Creation-Time>Sat, 21 Nov 2026 08:00:0{} GMT</Creation-Time></Properties>"
        names = [name for name in cloud.blobs if name.endswith(".zip")]
        rows = "".join(f"<Blob><Name>{n}</Name>{stamp.format(i)}</Blob>" for i, n in enumerate(names))
        return web.Response(text=f"<EnumerationResults><Blobs>{rows}</Blobs></EnumerationResults>")

    async def get_blob(request: web.Request) -> web.Response:
        found = cloud.blobs.get(request.match_info["name"])
        return web.Response(body=found) if found is not None else web.Response(status=404)

    async def put_blob(request: web.Request) -> web.Response:
        assert request.headers["x-ms-blob-type"] == "BlockBlob"
        cloud.blobs[request.match_info["name"]] = await request.read()
        return web.Response(status=201)

    async def publish(request: web.Request) -> web.Response:
        assert request.query["RemoteBuild"] == "false"
        cloud.published.append(await request.read())
        return web.Response(status=202, text='"d1"')

    async def deployment(request: web.Request) -> web.Response:
        assert request.match_info["id"] == "d1"
        return web.json_response({"status": 3 if cloud.refuse_package else 4})

    async def app_settings(request: web.Request) -> web.Response:
        return web.json_response({"properties": cloud.settings})

    async def download(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer github":
            return web.Response(status=401)
        raise web.HTTPFound(f"/outside/{request.match_info['name']}")

    async def outside(request: web.Request) -> web.Response:
        cloud.outsider_saw.append(request.headers.get("Authorization"))
        return web.Response(body=cloud.downloads[request.match_info["name"]])

    async def get_certificate(request: web.Request) -> web.Response:
        return web.json_response({}) if cloud.certificate else web.Response(status=404)

    async def make_certificate(request: web.Request) -> web.Response:
        cloud.certificate = await request.json()
        return web.json_response({"status": "inProgress"}, status=202)

    async def pending(request: web.Request) -> web.Response:
        return web.json_response({"status": "completed"})

    app = web.Application(middlewares=[guarded], client_max_size=10**8)
    app.router.add_get("/msi/token", token)
    app.router.add_get("/vault/secrets/{name}", get_secret)
    app.router.add_put("/vault/secrets/{name}", put_secret)
    app.router.add_get("/vault/certificates/entry", get_certificate)
    app.router.add_post("/vault/certificates/entry/create", make_certificate)
    app.router.add_get("/vault/certificates/entry/pending", pending)
    app.router.add_get("/flags/kv/{key:.+}", get_flag)
    app.router.add_put("/flags/kv/{key:.+}", put_flag)
    app.router.add_get("/packages", list_blobs)
    app.router.add_get("/packages/{name}", get_blob)
    app.router.add_put("/packages/{name}", put_blob)
    app.router.add_post("/scm/api/publish", publish)
    app.router.add_get("/scm/api/deployments/{id}", deployment)
    app.router.add_post("/arm/{path:.*}/config/appsettings/list", app_settings)
    app.router.add_post("/arm/{path:.*}/config/configreferences/appsettings/refresh", refresh)
    app.router.add_get("/download/{name}", download)
    app.router.add_get("/outside/{name}", outside)
    return app


@contextlib.asynccontextmanager
async def serving(cloud: Cloud) -> AsyncIterator[Cloud]:
    runner = web.AppRunner(application(cloud))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    cloud.url = f"http://127.0.0.1:{port}"
    try:
        yield cloud
    finally:
        await runner.cleanup()


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with serving(Cloud()) as made:
        yield made


async def test_keys_are_created_once_and_readable_by_the_app(cloud: Cloud):
    assert await cloud.run("make-keys") == 0
    made = dict(cloud.secrets)
    assert await cloud.run("make-keys") == 0

    assert cloud.secrets == made
    assert KeyRing(made["signing-keys"]).for_purpose("cursor").current
    assert Identity(made["identity-secret"]).user_key("t", "0" * 64)


async def test_rotated_key_signs_and_earlier_ones_still_verify(cloud: Cloud):
    old = f"old:{base64.b64encode(b'o' * 32).decode()}"
    cloud.secrets["signing-keys"] = old
    assert await cloud.run("rotate-signing-key") == 0

    before, after = KeyRing(old).for_purpose("cursor"), KeyRing(cloud.secrets["signing-keys"]).for_purpose("cursor")
    assert after.by_tag[before.current_tag] == before.current
    assert after.current_tag != before.current_tag


async def test_app_is_told_to_reload_new_keys(cloud: Cloud, capfd: pytest.CaptureFixture[str]):
    assert await cloud.run("make-keys") == 0
    cloud.secrets["signing-keys"] = f"old:{base64.b64encode(b'o' * 32).decode()}"
    assert await cloud.run("rotate-signing-key") == 0
    assert cloud.told == 2
    cloud.refresh_status = 404
    assert await cloud.run("make-keys") == 0
    assert "restart it" in capfd.readouterr().out


def test_number_of_kept_signing_keys_is_limited():
    ring = operate.rotated("c:3,b:2,a:1", "d", "4")
    assert ring == "d:4,c:3,b:2"


async def test_no_secret_is_printed(cloud: Cloud, capfd: pytest.CaptureFixture[str]):
    await cloud.run("make-keys")
    await cloud.run("rotate-signing-key")
    printed = "".join(capfd.readouterr())
    assert printed
    for secret in [*cloud.secrets.values(), TOKEN]:
        for part in secret.replace(",", ":").split(":"):
            assert part not in printed


async def test_switch_flips_and_leaves_the_rest_of_the_flag_unchanged(cloud: Cloud):
    targeting = {"client_filters": [{"name": "Microsoft.Targeting", "parameters": {"Audience": {}}}]}
    cloud.flags["personalized-feed"] = {"id": "personalized-feed", "enabled": True, "conditions": targeting}
    assert await cloud.run("switch", "personalized-feed", "off") == 0

    assert cloud.flags["personalized-feed"] == {"id": "personalized-feed", "enabled": False, "conditions": targeting}


async def test_concurrent_change_survives_the_switch(cloud: Cloud):
    cloud.flags["f"] = {"id": "f", "enabled": True}
    cloud.meanwhile = [{"id": "f", "enabled": True, "description": "theirs"}]
    assert await cloud.run("switch", "f", "off") == 0

    assert cloud.flags["f"] == {"id": "f", "enabled": False, "description": "theirs"}


async def test_missing_flag_is_not_created(cloud: Cloud, capfd: pytest.CaptureFixture[str]):
    assert await cloud.run("switch", "personalised-feed", "off") == 1
    assert "run seed-flags first" in capfd.readouterr().out
    assert cloud.flags == {}


async def test_a_rollout_targets_a_share_of_users_and_whole_tenants(cloud: Cloud):
    cloud.flags["f"] = {"id": "f", "enabled": True}
    assert await cloud.run("rollout", "f", "5", "fitapp") == 0
    audience = cloud.flags["f"]["conditions"]["client_filters"][0]["parameters"]["Audience"]
    assert audience["DefaultRolloutPercentage"] == 5
    assert audience["Groups"] == [{"Name": "fitapp", "RolloutPercentage": 100}]
    assert await cloud.run("rollout", "f", "101") == 1


async def test_a_package_is_fetched_kept_and_deployed(cloud: Cloud):
    package = zipped(host_json="{}")
    cloud.downloads["artifact"] = _artifact(package)
    code = await cloud.run("deploy", f"{cloud.url}/download/artifact", sha256(package), GITHUB_TOKEN="github")

    assert code == 0
    assert cloud.published == [package]
    assert cloud.blobs == {f"{sha256(package)}.zip": package, "current": sha256(package).encode()}
    assert cloud.outsider_saw == [None], "GitHub's token went along to another host"


def _artifact(package: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("package.zip", package)
    return buffer.getvalue()


async def test_package_other_than_the_requested_one_is_not_deployed(cloud: Cloud):
    cloud.downloads["artifact"] = _artifact(b"something else")
    code = await cloud.run("deploy", f"{cloud.url}/download/artifact", "0" * 64, GITHUB_TOKEN="github")
    assert code == 1
    assert cloud.published == []
    assert cloud.blobs == {}


async def test_previous_package_is_restored_without_github(cloud: Cloud):
    previous = zipped(host_json='{"version": "2.0"}')
    cloud.blobs[f"{sha256(previous)}.zip"] = previous
    assert await cloud.run("deploy-kept", sha256(previous)) == 0
    assert cloud.published == [previous]
    assert cloud.blobs["current"] == sha256(previous).encode()
    assert await cloud.run("deploy-kept", "0" * 64) == 1


async def test_refused_package_is_a_failure_and_does_not_become_current(cloud: Cloud):
    package = zipped(host_json="{}")
    cloud.blobs = {f"{sha256(package)}.zip": package, "current": b"before"}
    cloud.refuse_package = True
    assert await cloud.run("deploy-kept", sha256(package)) == 1
    assert cloud.blobs["current"] == b"before"


async def test_deployed_packages_are_listed_and_the_running_one_is_marked(
    cloud: Cloud, capfd: pytest.CaptureFixture[str]
):
    one, two = sha256(b"1"), sha256(b"2")
    cloud.blobs = {f"{one}.zip": b"1", f"{two}.zip": b"2", "current": two.encode()}
    assert await cloud.run("packages") == 0
    first, second = capfd.readouterr().out.splitlines()
    assert one in first
    assert second.endswith(f"{two} runs")


async def test_command_runs_in_the_package_with_settings_and_identity_of_the_app(
    cloud: Cloud, capfd: pytest.CaptureFixture[str]
):
    program = "import os, sys; print(os.environ['AZURE_CLIENT_ID'], os.environ['IDENTITY_SECRET'], sys.argv[1:])"
    package = zipped(show_py=program)
    cloud.blobs = {f"{sha256(package)}.zip": package, "current": sha256(package).encode()}
    cloud.secrets["identity-secret"] = "from-the-vault"
    cloud.settings = {"IDENTITY_SECRET": f"@Microsoft.KeyVault(SecretUri={cloud.url}/vault/secrets/identity-secret)"}

    assert await cloud.run("run", "show", "list", "--all") == 0
    assert "app from-the-vault ['list', '--all']" in capfd.readouterr().out
    assert await cloud.run("run", "there_is_no_such_module") == 1


async def test_packaged_command_seeds_flags_with_the_operations_identity(
    cloud: Cloud, capfd: pytest.CaptureFixture[str]
):
    package = zipped(
        commands____init___py="", commands__seed_flags_py="import os; print(os.environ['AZURE_CLIENT_ID'])"
    )
    cloud.blobs = {f"{sha256(package)}.zip": package, "current": sha256(package).encode()}
    assert await cloud.run("seed-flags") == 0
    assert capfd.readouterr().out.strip() == "operations"


async def test_certificate_is_created_only_where_there_is_none(cloud: Cloud):
    assert await cloud.run("make-certificate") == 0
    assert cloud.certificate is not None
    assert cloud.certificate["policy"]["x509_props"]["sans"] == {"dns_names": ["feed.example.com"]}
    made = cloud.certificate
    assert await cloud.run("make-certificate") == 0
    assert cloud.certificate is made


async def test_busy_service_is_retried(cloud: Cloud):
    cloud.flags["f"] = {"id": "f", "enabled": True}
    cloud.failures = 3
    assert await cloud.run("switch", "f", "off") == 0
    assert cloud.flags["f"]["enabled"] is False


async def test_unavailable_service_is_a_failure_that_names_it(cloud: Cloud, capfd: pytest.CaptureFixture[str]):
    assert await cloud.run("switch", "f", "off", IDENTITY_ENDPOINT="http://127.0.0.1:9/none") == 1
    assert "127.0.0.1 does not answer" in capfd.readouterr().out


async def test_help_and_wrong_use_list_the_commands(cloud: Cloud, capfd: pytest.CaptureFixture[str]):
    assert await cloud.run("help") == 0
    assert await cloud.run("no-such-action") == 2
    assert await cloud.run("switch", "f") == 2
    assert capfd.readouterr().out.count("deploy-kept SHA256") == 3
    for action in operate.ACTIONS:
        assert action in (operate.__doc__ or "")


async def test_first_operators_key_works_and_is_created_once(tmp_path: Path):
    key = "a-key-that-the-vault-keeps"
    variables = {**os.environ, "DATA_FOLDER": str(tmp_path), "FIRST_KEY": key}
    for _ in range(2):
        program = [sys.executable, "-c", operate.FIRST_KEY]
        await asyncio.to_thread(subprocess.run, program, cwd=ROOT, env=variables, check=True)

    services = build(Settings(data_folder=str(tmp_path)))
    await services.documents.ready()
    await save_tenant(services.documents, Tenant(id="fitapp"))
    await services.tenants.refresh()
    authenticator = Authenticator(services.tenants, services.identity)
    caller = authenticator.authenticate({"x-tenant-id": "fitapp", "x-api-key": key}, now=0.0)
    assert caller.scopes == frozenset({"ops"})
    await services.close()


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"client_filters": []},
        {"client_filters": [targeting_filter()]},
        {"client_filters": [targeting_filter(Groups=[{"Name": "news", "RolloutPercentage": 100}])]},
        {"client_filters": [targeting_filter(DefaultRolloutPercentage=100, Exclusion={"Groups": ["news"]})]},
        {"client_filters": [targeting_filter(Exclusion={"Groups": ["news", "kids"], "Users": ["ann"]})]},
        {"requirement_type": "Any", "client_filters": [{"name": "Microsoft.TimeWindow"}, targeting_filter()]},
    ],
)
@pytest.mark.parametrize("state", ["on", "off"])
async def test_switch_for_a_tenant_equals_that_of_the_app(cloud: Cloud, conditions: Any, state: str):
    flag = {"id": "f", "enabled": True, **({"conditions": conditions} if conditions else {})}
    cloud.flags["f"] = json.loads(json.dumps(flag))
    assert await cloud.run("switch", "f", state, "news", APP_CLIENT_ID="", APP_ID="", PACKAGES_URL="") == 0

    document = {"feature_management": {"feature_flags": [flag]}}
    (wanted,) = switched(document, "f", state == "on", "news")["feature_management"]["feature_flags"]
    assert cloud.flags["f"] == {"conditions": {"client_filters": []}, **wanted} or cloud.flags["f"] == wanted


async def test_switch_for_a_tenant_leaves_unknown_conditions_unchanged(cloud: Cloud, capfd: pytest.CaptureFixture[str]):
    cloud.flags["f"] = {"id": "f", "enabled": True, "conditions": {"client_filters": ["odd"]}}
    assert await cloud.run("switch", "f", "off", "news") == 1
    assert "cannot be read" in capfd.readouterr().out
    assert cloud.flags["f"]["conditions"] == {"client_filters": ["odd"]}


async def test_operations_job_prints_no_personal_data(cloud: Cloud, capfd: pytest.CaptureFixture[str]):
    assert await cloud.run("run", "commands.replay_dead_letters", "show", "signals", "--content") == 1
    assert "run this from the peered network" in capfd.readouterr().out
