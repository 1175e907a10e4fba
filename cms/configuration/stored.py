"""Reads a tenant's configuration from the store."""

from __future__ import annotations

from cms.documents import DocumentFlow
from shared.adapters.documents.port import Document
from shared.adapters.tenant_directory import CONFIGURATION_ID

CONFIGURATION = "configuration"
"""Kind and name of the configuration in the audit."""


async def stored_configuration(flow: DocumentFlow, tenant_id: str) -> Document:
    """Read the live configuration. Raises a 404 `Problem` if the tenant has none."""
    return await flow.require(tenant_id, CONFIGURATION_ID, CONFIGURATION)
