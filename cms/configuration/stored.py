"""Reads a tenant's configuration as it is stored now."""

from __future__ import annotations

from cms.documents import DocumentFlow
from shared.adapters.documents.port import Document
from shared.adapters.tenant_directory import CONFIGURATION_ID

CONFIGURATION = "configuration"
"""The kind of a configuration, and its name in the audit."""


async def stored_configuration(flow: DocumentFlow, tenant_id: str) -> Document:
    """The live configuration. Raises a 404 `Problem` when the tenant has none."""
    return await flow.require(tenant_id, CONFIGURATION_ID, CONFIGURATION)
