"""Authentication while the tenants are known and while they are not."""

from __future__ import annotations

import base64
import secrets

import pytest

from shared.adapters.documents.port import StoreUnavailable
from shared.adapters.tenant_directory import TenantDirectory, save_key, save_tenant
from shared.domain.keys import Identity
from shared.domain.records import Tenant
from shared.web.authentication import Authenticator
from shared.web.problems import Problem
from tests.faulty_documents import FaultyDocuments, Trouble
from tests.memory_documents import MemoryDocuments

KEY = secrets.token_urlsafe(24)
HEADERS = {"x-tenant-id": "tenant", "x-api-key": KEY}


async def test_a_caller_is_asked_to_come_back_before_the_tenants_were_ever_read() -> None:
    documents = FaultyDocuments(MemoryDocuments())
    identity = Identity(base64.b64encode(bytes(32)).decode())
    await save_tenant(documents, Tenant("tenant"))
    await save_key(documents, identity, "tenant", "app", KEY, frozenset({"sdk"}))
    tenants = TenantDirectory(documents)
    authenticator = Authenticator(tenants, identity)

    with documents.in_trouble(Trouble(reads_fail=True)), pytest.raises(StoreUnavailable):
        await tenants.refresh()
    with pytest.raises(Problem) as refused:
        authenticator.authenticate(HEADERS, 0.0)
    assert (refused.value.status, refused.value.code) == (503, "unavailable")
    assert refused.value.retry_after_seconds

    await tenants.refresh()
    assert authenticator.authenticate(HEADERS, 0.0).tenant.id == "tenant"
    with pytest.raises(Problem) as refused:
        authenticator.authenticate({**HEADERS, "x-tenant-id": "nobody"}, 0.0)
    assert refused.value.status == 401
