"""Azure credentials (managed identity); used when no connection string is set.

`DefaultAzureCredential` reads AZURE_CLIENT_ID (which user-assigned identity) and AZURE_TOKEN_CREDENTIALS (set it to
ManagedIdentityCredential in Azure, so that nothing else is tried) from the environment by itself. On an operator's
machine it finds `az login`. Nothing connects before the first token is needed; the import alone takes a fifth of a
second, so it happens here and not at start.

A token endpoint that hangs must not hold up what needs the token beyond the budget of its own: the SDK's defaults are
waits of 300 s and five repeats. Tokens are renewed long before they end, so one that could not be had now is asked
for again by the next call.
"""

from __future__ import annotations

from typing import Any

_BOUNDS: dict[str, Any] = {"connection_timeout": 2, "read_timeout": 3, "retry_total": 1, "retry_backoff_max": 1}


def azure_credential() -> Any:
    """An asynchronous token credential; whoever asks for it closes it."""
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(**_BOUNDS)


def blocking_azure_credential() -> Any:
    """A token credential for clients that work on a thread; whoever asks for it closes it."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(**_BOUNDS)
