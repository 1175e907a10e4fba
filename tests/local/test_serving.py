"""What the local host says when it stands on Azure adapters."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest

from local.serving import running
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


async def test_flags_that_were_never_seeded_are_said_with_what_to_do(
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
            assert "python -m shared.flags.seed --on" in caplog.text
        assert not (tmp_path / "flags.json").exists()
        caplog.clear()
        server.put_flag({"id": "personalized-feed", "enabled": True})
        async with running(settings, port=0, demo=False, grace_seconds=0.1):
            assert "shared.flags.seed" not in caplog.text
