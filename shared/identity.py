"""Who the app is towards Azure when no connection string is given: its managed identity, never a key."""

from __future__ import annotations

import os
from typing import Any


def azure_credential(client_id: str | None = None) -> Any:
    """An asynchronous token credential; whoever asks for it closes it.

    Inside Azure this is the user-assigned managed identity `client_id` (or the system-assigned one). Elsewhere,
    for operators, it is whatever `DefaultAzureCredential` finds, `az login` among others. Nothing connects before
    the first token is needed; the import alone takes a fifth of a second, so it happens here and not at start.
    """
    if "IDENTITY_ENDPOINT" in os.environ:
        from azure.identity.aio import ManagedIdentityCredential

        return ManagedIdentityCredential(client_id=client_id) if client_id else ManagedIdentityCredential()
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=client_id)
