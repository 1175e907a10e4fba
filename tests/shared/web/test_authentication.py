"""Authentication before and after the tenants were read."""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace

import pytest

from shared.adapters.documents.port import TENANTS, Operation, StoreUnavailable, Upsert
from shared.adapters.tenant_directory import ApiKey, TenantDirectory, save_key, save_tenant
from shared.domain.keys import Identity
from shared.domain.records import Tenant
from shared.web.authentication import Authenticator
from shared.web.problems import Problem
from tests.faulty_documents import FaultyDocuments, Trouble
from tests.memory_documents import MemoryDocuments

KEY = secrets.token_urlsafe(24)
HEADERS = {"x-tenant-id": "tenant", "x-api-key": KEY}


async def test_cached_caller_is_dropped_with_its_key_scope_or_tenant() -> None:
    documents = MemoryDocuments()
    identity = Identity(base64.b64encode(bytes(32)).decode())
    tenants = TenantDirectory(documents)
    authenticator = Authenticator(tenants, identity)

    async def changed(*operations: Operation) -> None:
        await documents.write(TENANTS, "tenant", list(operations))
        await tenants.refresh()

    def refused() -> int:
        with pytest.raises(Problem) as problem:
            authenticator.authenticate(HEADERS, 100.0)
        return problem.value.status

    key = ApiKey("key:app", "app", identity.api_key_hash(KEY), frozenset({"sdk"}))
    await changed(Upsert(Tenant("tenant").to_document()), Upsert(key.to_document()))
    known = authenticator.authenticate(HEADERS, 100.0)
    assert authenticator.authenticate(HEADERS, 100.0) is known

    await changed(Upsert(replace(key, scopes=frozenset({"cms"})).to_document()))
    assert authenticator.authenticate(HEADERS, 100.0).scopes == {"cms"}
    await changed(Upsert(Tenant("tenant", "R").to_document()))
    assert authenticator.authenticate(HEADERS, 100.0).tenant.maturity_policy == "R"
    await changed(Upsert(replace(key, expires_at=200.0).to_document()))
    assert authenticator.authenticate(HEADERS, 100.0)
    with pytest.raises(Problem):
        authenticator.authenticate(HEADERS, 200.0)
    await changed(Upsert({"id": key.id, "kind": "key", "deleted": True}))
    assert refused() == 401


async def test_neither_a_key_nor_a_failed_caller_is_cached() -> None:
    documents = MemoryDocuments()
    identity = Identity(base64.b64encode(bytes(32)).decode())
    await save_tenant(documents, Tenant("tenant"))
    await save_key(documents, identity, "tenant", "app", KEY, frozenset({"sdk"}))
    tenants = TenantDirectory(documents)
    await tenants.refresh()
    authenticator = Authenticator(tenants, identity)
    authenticator.authenticate(HEADERS, 0.0)
    for number in range(100):
        with pytest.raises(Problem):
            authenticator.authenticate({**HEADERS, "x-api-key": f"wrong-key-{number}"}, 0.0)
    assert len(authenticator._known) == 1
    assert KEY not in repr(authenticator._known)


async def test_caller_gets_a_503_before_the_tenants_were_first_read() -> None:
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
