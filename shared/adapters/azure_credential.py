"""Azure credentials (managed identity); used when no connection string is set.

`DefaultAzureCredential` reads two variables of the environment: AZURE_CLIENT_ID, the user-assigned identity, and
AZURE_TOKEN_CREDENTIALS. In Azure, set that to ManagedIdentityCredential, so that nothing else is tried. On an
operator's machine the credential finds `az login`. It connects when the first token is needed. The import takes a fifth
of a second, so it happens here and not at start.

A token endpoint that hangs must not delay a call beyond the call's own budget. The SDK's defaults, waits of 300 s and
five retries, are therefore lowered. Tokens are renewed long before they end, so a failed renewal is left to the next
call.
"""

from __future__ import annotations

from typing import Any

_BOUNDS: dict[str, Any] = {"connection_timeout": 2, "read_timeout": 3, "retry_total": 1, "retry_backoff_max": 1}


def azure_credential() -> Any:
    """Return an asynchronous token credential. The caller closes it."""
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(**_BOUNDS)


def blocking_azure_credential() -> Any:
    """Return a token credential for clients on a thread. The caller closes it."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(**_BOUNDS)
