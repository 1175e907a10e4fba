"""The whole app in the local host: its functions, and its reports on Azure adapters."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest
from aiohttp import ClientSession

import function_app
from local.demo import OPS_KEY
from local.invocation import load_functions
from local.serving import _build, running
from shared.adapters.bus.port import SIGNALS, OutgoingMessage
from shared.settings import BadSetting, Settings
from tests.emulators.appconfig import AppConfigurationServer

SECRET = base64.b64encode(bytes(32)).decode()
SECRETS = {"SIGNING_KEYS": f"k:{SECRET}", "IDENTITY_SECRET": SECRET}


async def test_the_demo_with_its_public_keys_is_never_written_to_a_real_account() -> None:
    settings = Settings.from_environment(
        {**SECRETS, "DOCUMENT_STORE": "cosmos", "COSMOS_ENDPOINT": "https://x.documents.azure.com:443/"}
    )
    with pytest.raises(BadSetting, match="--no-demo"):
        async with running(settings, port=0):
            pass


async def test_the_local_host_serves_metrics_and_runs_timers_on_request(tmp_path: Path) -> None:
    settings = Settings.from_environment({**SECRETS, "DATA_FOLDER": str(tmp_path)})
    operator = {"X-Api-Key": OPS_KEY}
    async with running(settings, port=0, grace_seconds=0.1) as app, ClientSession(app.url, headers=operator) as http:
        async with http.get("/metrics") as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")
            assert "flags_on" in await answer.text()
        for name, status in (("roll_up", 202), ("purge_expired", 202), ("get_feed", 404), ("nothing", 404)):
            async with http.post(f"/admin/functions/{name}") as answer:
                assert answer.status == status, name
    assert not any("admin" in function.trigger.get("route", "") for function in load_functions(function_app.app))


async def test_embedded_bus_creates_its_folder_beside_stores_in_azure(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    settings = Settings.from_environment(
        {
            **SECRETS,
            "DATA_FOLDER": str(folder),
            "DOCUMENT_STORE": "cosmos",
            "COSMOS_CONNECTION_STRING": f"AccountEndpoint=https://127.0.0.1:1/;AccountKey={SECRET};",
            "BLOBS": "azure",
            "BLOB_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={SECRET};"
            "BlobEndpoint=http://127.0.0.1:1/a;",
            "FLAGS": "appconfig",
            "APP_CONFIGURATION_CONNECTION_STRING": f"Endpoint=http://127.0.0.1:1;Id=a;Secret={SECRET}",
        }
    )
    services = _build(settings, lock_seconds=1.0, faults=None)
    await services.bus.publish(OutgoingMessage("m", "tenant", b"{}", SIGNALS))
    assert (folder / "bus.db").exists()
    await services.close()


async def test_missing_flags_are_reported_with_the_seeding_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "local.serving")
    async with AppConfigurationServer() as server:
        settings = Settings.from_environment(
            {
                **SECRETS,
                "DATA_FOLDER": str(tmp_path),
                "FLAGS": "appconfig",
                "APP_CONFIGURATION_CONNECTION_STRING": server.connection_string,
            }
        )
        async with running(settings, port=0, demo=False, grace_seconds=0.1):
            assert "python -m commands.seed_flags --on" in caplog.text
        assert not (tmp_path / "flags.json").exists()
        caplog.clear()
        server.put_flag({"id": "personalized-feed", "enabled": True})
        async with running(settings, port=0, demo=False, grace_seconds=0.1):
            assert "commands.seed_flags" not in caplog.text
