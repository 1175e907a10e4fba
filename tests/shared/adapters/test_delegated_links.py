"""Media links by a user delegation key: signed as Azure specifies, for one blob, one operation and HTTPS only.

They were never tried on Azure. The signature is compared with the string-to-sign published under "Create a user
delegation SAS" (learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas), built here from the link
alone, as the service does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from azure.storage.blob import UserDelegationKey
from azure.storage.blob.aio import BlobServiceClient

from shared.adapters.blobs.azure import AzureBlobs
from shared.adapters.blobs.port import MEDIA, MEDIA_CONTAINERS, QUARANTINE

NOW = 1_800_000_000.0
KEY = base64.b64encode(b"k" * 32).decode()
SIGNED = ("sp", "st", "se", "resource", "skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid")
DELEGATED_USER = ("skdutid", "sduoid")
REST = ("sip", "spr", "sv", "sr", "snapshot", "ses")
OF_THE_REQUEST = ("srh", "srq")
HEADERS = ("rscc", "rscd", "rsce", "rscl", "rsct")


class Account:
    """The media account's client, with fixed keys instead of the service that issues them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.asked = NOW, 0

        async def key(client: Any, begins: datetime, ends: datetime) -> UserDelegationKey:
            self.asked += 1
            given = UserDelegationKey()  # type: ignore[no-untyped-call]
            given.signed_oid, given.signed_tid = (
                "5f0c2a9b-e1d4-4773-86a1-c20e9b3d5f64",
                "0f7f0b1e-1d52-4f4b-b5a0-6e8f3a1c2d3e",
            )
            given.signed_start, given.signed_expiry = (f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in (begins, ends))
            given.signed_service, given.signed_version, given.value = "b", "2025-07-05", KEY
            return given

        monkeypatch.setattr(BlobServiceClient, "get_user_delegation_key", key)
        self.blobs = AzureBlobs(
            endpoint="https://stmedia.blob.core.windows.net",
            credential=lambda: _Credential(),
            containers=MEDIA_CONTAINERS,
            clock=lambda: self.now,
        )


class _Credential:
    async def get_token(self, *scopes: str, **more: Any) -> Any:
        raise AssertionError("nothing may be asked of the network")

    async def close(self) -> None: ...


def said_by(url: str) -> dict[str, str]:
    """Return the fields of a link, and the blob it is for as the string-to-sign names it."""
    found = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return {**found, "resource": f"/blob/stmedia{unquote(urlsplit(url).path)}"}


def is_signed(url: str) -> bool:
    """Return whether the signature is that of the published string-to-sign, of the version that the link names."""
    said = said_by(url)
    names = [*SIGNED, *(DELEGATED_USER if said["sv"] >= "2025-07-05" else ()), *REST]
    names += [*(OF_THE_REQUEST if said["sv"] >= "2026-04-06" else ()), *HEADERS]
    text = "\n".join(said.get(name, "") for name in names)
    signed = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(signed).decode(), said["sig"])


async def test_upload_link_creates_one_blob_over_https_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(monkeypatch)
    link = await account.blobs.upload_url(QUARANTINE, "t1/up-1", "image/png", NOW + 900)
    said = said_by(link.url)
    assert is_signed(link.url)
    assert (said["sp"], said["sr"], said["spr"]) == ("c", "b", "https"), "it creates, and replaces nothing"
    assert datetime.fromisoformat(said["se"]) == datetime.fromtimestamp(NOW + 900, UTC)
    assert not is_signed(link.url.replace("up-1", "up-2"))
    assert not is_signed(link.url.replace("sp=c", "sp=w"))
    await account.blobs.close()


async def test_download_link_names_the_content_type(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(monkeypatch)
    url = await account.blobs.download_url(MEDIA, "t1/up-1.png", "image/png", NOW + 3_600)
    assert is_signed(url)
    assert (said_by(url)["sp"], said_by(url)["rsct"]) == ("r", "image/png")
    assert not is_signed(url.replace("image/png", "text/html").replace("image%2Fpng", "text%2Fhtml"))
    await account.blobs.close()


async def test_signing_key_lasts_an_hour_and_no_link_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(monkeypatch)
    for ahead in (0.0, 60.0, 3_000.0, 7_000.0, 7_100.0):
        account.now = NOW + ahead
        url = await account.blobs.download_url(MEDIA, "t1/up-1.png", "image/png", account.now + 3_600)
        assert said_by(url)["se"] <= said_by(url)["ske"]
    assert account.asked == 2
    with pytest.raises(ValueError, match="at most an hour"):
        await account.blobs.download_url(MEDIA, "t1/up-1.png", "image/png", account.now + 4_000)
    await account.blobs.close()
