"""The live port on Azure Web PubSub, through its official SDK.

- Clients only listen: their token has no role, so they cannot send or join groups.
- The service is outside the network, so it gets neither tenant nor person: its user id is a keyed hash of both.
- A send is tried once, within two seconds. A late notification is no better than a lost one.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar

from azure.core.exceptions import AzureError
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from shared.adapters.azure_credential import azure_credential
from shared.adapters.live.port import ADDRESS_SECONDS, Address, Frame, LiveUnavailable
from shared.domain.base64url import to_text
from shared.settings import Settings

HUB = "stories"
CALL_SECONDS = 2.0
T = TypeVar("T")


class WebPubSub:
    """`Live`. Needs either `connection_string` (an emulator) or `endpoint` with `credential`, which makes a token
    credential (production)."""

    inside = False

    def __init__(
        self,
        key: bytes,
        *,
        connection_string: str | None = None,
        endpoint: str | None = None,
        credential: Callable[[], Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if (connection_string is None) == (endpoint is None):
            raise ValueError("give either a connection string or an endpoint")
        self._key = key
        self._connection_string, self._endpoint, self._make_credential = connection_string, endpoint, credential
        self._options = dict(options or {})
        self._client: WebPubSubServiceClient | None = None
        self._credential: Any = None

    @classmethod
    def from_settings(cls, settings: Settings, key: bytes) -> WebPubSub:
        """Build from the settings; nothing connects yet."""
        return cls(
            key,
            connection_string=settings.web_pubsub_connection_string or None,
            endpoint=settings.web_pubsub_endpoint or None,
            credential=azure_credential,
        )

    async def address(self, who: str, now: float) -> Address:
        minutes = int(ADDRESS_SECONDS // 60)
        call = self._open().get_client_access_token(
            user_id=self._alias(who), minutes_to_expire=minutes, roles=[], **self._options
        )
        answer = await _answered(call)
        url = answer.get("url")
        if not isinstance(url, str):
            raise LiveUnavailable("Web PubSub gave no address")
        return Address(url, now + minutes * 60)

    async def send(self, who: str, frames: Sequence[Frame]) -> None:
        client, alias = self._open(), self._alias(who)
        for frame in frames:
            await _answered(client.send_to_user(alias, dict(frame), content_type="application/json", **self._options))

    async def close(self) -> None:
        client, self._client = self._client, None
        credential, self._credential = self._credential, None
        if client is not None:
            await client.close()
        if credential is not None:
            await credential.close()

    def _alias(self, who: str) -> str:
        return to_text(hmac.new(self._key, who.encode(), sha256).digest()[:16])

    def _open(self) -> WebPubSubServiceClient:
        if self._client is None:
            options: dict[str, Any] = {"retry_total": 0, "permit_redirects": False}
            if self._connection_string is not None:
                self._client = WebPubSubServiceClient.from_connection_string(self._connection_string, HUB, **options)
            else:
                assert self._make_credential is not None
                self._credential = self._make_credential()
                self._client = WebPubSubServiceClient(self._endpoint or "", HUB, self._credential, **options)
        return self._client


async def _answered(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(CALL_SECONDS):
            return await call
    except AzureError as error:
        status = getattr(error, "status_code", None)
        raise LiveUnavailable(f"Web PubSub answered {status or type(error).__name__}") from None
    except Exception as error:  # for a cut connection or a foreign body the SDK raises many errors
        raise LiveUnavailable(f"Web PubSub cannot be reached ({type(error).__name__})") from None
