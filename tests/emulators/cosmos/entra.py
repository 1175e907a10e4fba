"""Entra ID tokens for the Cosmos DB test server: valid if issued by `Entra` and not revoked."""

from __future__ import annotations

import time
from itertools import count
from typing import Self

from azure.core.credentials import AccessToken

KNOWN_TOKEN = "the token that programs beside the test servers use"


class Entra:
    """Issues tokens and remembers which are valid. `lives_seconds` is the lifetime that a token states."""

    def __init__(self, lives_seconds: float = 3_600.0) -> None:
        self.lives_seconds = lives_seconds
        self.valid = {KNOWN_TOKEN}
        self.down = False
        self.scopes: list[str] = []
        self._numbers = count(1)

    def credential(self) -> Credential:
        """A new token credential."""
        return Credential(self)

    def give(self, scope: str) -> AccessToken:
        """Issue a token. Raises `OSError` while it is down."""
        self.scopes.append(scope)
        if self.down:
            raise OSError("the token endpoint does not answer")
        token = f"token {next(self._numbers)}/+="  # with characters that a header must escape
        self.valid.add(token)
        return AccessToken(token, int(time.time() + self.lives_seconds))


class KnownToken:
    """The credential of a program beside the servers: it always returns the one token they know."""

    async def get_token(self, *_: str, **__: object) -> AccessToken:
        return AccessToken(KNOWN_TOKEN, int(time.time() + 3_600))

    async def close(self) -> None: ...


class Credential:
    """An asynchronous token credential, as the SDKs and our adapters use it."""

    def __init__(self, entra: Entra) -> None:
        self._entra = entra
        self.closed = False

    async def get_token(self, *scopes: str, **_: object) -> AccessToken:
        (scope,) = scopes
        return self._entra.give(scope)

    async def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
