"""`/health` fails when a process can serve no request, so the gateway sends it none."""

from __future__ import annotations

import base64
import logging

import azure.functions as func
import pytest

import bootstrap
import function_app
from shared.domain.keys import Identity, KeyRing
from shared.settings import BadSetting
from shared.web.status import DocumentApi

KEY = base64.b64encode(b"k" * 32).decode()
REFERENCE = "@Microsoft.KeyVault(SecretUri=https://kva.vault.azure.net/secrets/signing-keys)"
DEPLOYED = {
    "DOCUMENT_STORE": "cosmos",
    "COSMOS_ENDPOINT": "https://cosmos.example",
    "SIGNING_KEYS": f"one:{KEY}",
    "IDENTITY_SECRET": KEY,
}


async def health(monkeypatch: pytest.MonkeyPatch, **settings: str) -> int:
    """Return the status of `/health` in a process with these settings, as its first request."""
    bootstrap.use(None)
    for name, value in {**DEPLOYED, **settings}.items():
        monkeypatch.setenv(name, value)
    api: DocumentApi = await function_app.documentation()
    response: func.HttpResponse = await api.get_health(func.HttpRequest("GET", "/health", body=b""))
    return int(response.status_code)


async def test_a_process_with_all_it_needs_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await health(monkeypatch) == 200


@pytest.mark.parametrize("name", ["SIGNING_KEYS", "IDENTITY_SECRET"])
@pytest.mark.parametrize("value", [REFERENCE, "", "odd"])
async def test_a_process_without_its_secrets_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    with caplog.at_level(logging.ERROR):
        assert await health(monkeypatch, **{name: value}) == 503
    assert name in caplog.text
    assert "vault.azure.net" not in caplog.text


async def test_a_process_with_a_wrong_setting_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await health(monkeypatch, FLAGS_REFRESH_SECONDS="often") == 503


def test_unresolved_reference_is_distinguished_from_a_wrong_key() -> None:
    for name, part in (("SIGNING_KEYS", KeyRing), ("IDENTITY_SECRET", Identity)):
        with pytest.raises(BadSetting, match=f"{name} is a Key Vault reference"):
            part(REFERENCE)
