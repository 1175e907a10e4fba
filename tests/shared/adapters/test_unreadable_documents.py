"""A damaged document of a tenant affects no other tenant and grants no access."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import math
import secrets
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.tenant_models import served_models
from ranking.model import InvalidModel
from shared.adapters.documents.port import TENANTS, Upsert
from shared.adapters.tenant_directory import CREDENTIALS, KINDS, SCOPES, ApiKey, TenantDirectory
from shared.domain.keys import Identity
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from shared.web.authentication import Authenticator, Caller
from shared.web.problems import Problem
from tests.memory_documents import MemoryDocuments

NOW = 1_800_000_000.0
IDENTITY = Identity(base64.b64encode(bytes(32)).decode())
KEY = "a-key-that-somebody-has"
HEADERS = {"x-tenant-id": "tenant", "x-api-key": KEY}

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = """
    kind deleted name hash scopes expiresAt createdAt createdBy maturityPolicy weights featureFlags defaultLimit
    modelVersion modelHistory rateLimits rollupShards action match audience positions priority startsAt multiplier
    videoIds playlistId version type experimentId arms status salt keyId publicKey state tenantId
    feedId base fallbackOrder maturityCeiling diversity streakCap enabled
""".split()  # noqa: SIM905
bodies = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), values, max_size=8)
ids = st.sampled_from([f"{kind}:x" for kind in KINDS] + ["configuration", "draft:x", "~audit:x", "x", "key:", ":"])
kinds = st.sampled_from(KINDS)


def stored_key(**fields: Any) -> dict[str, Any]:
    key = ApiKey("key:app", "app", IDENTITY.api_key_hash(KEY), frozenset({"sdk", "cms"}), NOW + 60, NOW, "ops")
    return {**key.to_document(), **fields}


class Directory:
    """The tenants of a store in memory."""

    def __init__(self) -> None:
        self.documents = MemoryDocuments()
        self.telemetry = Telemetry()
        self.tenants = TenantDirectory(self.documents, self.telemetry)
        self.authenticator = Authenticator(self.tenants, IDENTITY)

    async def write(self, *bodies: dict[str, Any], tenant_id: str = "tenant") -> None:
        await self.documents.write(TENANTS, tenant_id, [Upsert(body) for body in bodies])
        await self.tenants.refresh()

    def caller(self) -> Caller | None:
        try:
            return self.authenticator.authenticate(HEADERS, NOW)
        except Problem:
            return None

    def unreadable(self, kind: str) -> float:
        return self.telemetry.counters["unreadable_documents", (kind,)]


@given(damaged=st.lists(st.tuples(ids, st.one_of(st.none(), kinds), bodies), max_size=6))
def test_no_stored_body_stops_the_refresh_or_grants_access(
    damaged: list[tuple[str, str | None, dict[str, Any]]],
) -> None:
    async def attempt() -> None:
        directory = Directory()
        for id, kind, body in damaged:
            await directory.write({**body, **({} if kind is None else {"kind": kind}), "id": id})
        await directory.write(Tenant("other").to_document(), stored_key(), tenant_id="other")
        tenants = directory.tenants
        assert tenants.loaded
        assert directory.authenticator.authenticate({**HEADERS, "x-tenant-id": "other"}, NOW).tenant.id == "other"
        assert directory.caller() is None
        tenant = tenants.get("tenant")
        assert tenant is None or tenant.id == "tenant"
        tenants.experiment("tenant")
        tenants.editorial("tenant")
        assert all(isinstance(pem, str) for pem in tenants.user_token_keys("tenant").values())
        if tenant is not None:
            with contextlib.suppress(InvalidModel):
                served_models(tenant, tenants.auto_model("tenant"), partial(tenants.model, "tenant"))

    asyncio.run(attempt())


@given(name=st.sampled_from(["kind", "hash", "scopes", "expiresAt", "name", "createdAt", "deleted"]), value=values)
def test_damaged_key_grants_no_more_than_it_states(name: str, value: Any) -> None:
    async def attempt() -> None:
        directory = Directory()
        await directory.write(Tenant("tenant").to_document(), stored_key())
        assert directory.caller()
        await directory.write(stored_key(**{name: value}))
        found = directory.caller()
        if found is None:
            return
        assert name not in ("kind", "hash")
        if name == "scopes":
            assert isinstance(value, list)
            assert found.scopes <= set(SCOPES) & {each for each in value if isinstance(each, str)}
        if name == "expiresAt":
            assert value is None or (not isinstance(value, bool) and math.isfinite(value) and value > NOW)
        if name == "deleted":
            assert not value

    asyncio.run(attempt())


@pytest.mark.parametrize(
    ("field", "value"),
    [("scopes", 7), ("scopes", "sdk"), ("scopes", {"ops": 1}), ("expiresAt", "x"), ("expiresAt", True), ("hash", "ü")],
)
async def test_unreadable_key_revokes_only_its_own_access(field: str, value: Any) -> None:
    directory = Directory()
    other = secrets.token_urlsafe(24)
    await directory.write(
        Tenant("tenant").to_document(),
        stored_key(),
        {**stored_key(), "id": "key:other", "hash": IDENTITY.api_key_hash(other)},
    )
    await directory.write(stored_key(**{field: value}))
    assert directory.caller() is None
    assert directory.authenticator.authenticate({**HEADERS, "x-api-key": other}, NOW).key_name == "app"
    assert directory.unreadable("key") == 1
    await directory.write(stored_key())
    assert directory.caller()


async def test_unreadable_public_key_verifies_nothing() -> None:
    directory = Directory()
    key = {"id": "user-token-key:a", "kind": "user-token-key", "keyId": "a", "publicKey": "-----BEGIN"}
    await directory.write(Tenant("tenant").to_document(), key)
    assert directory.tenants.user_token_keys("tenant") == {"a": "-----BEGIN"}
    await directory.write({**key, "publicKey": ["-----BEGIN"]})
    assert directory.tenants.user_token_keys("tenant") == {}


async def test_unreadable_feed_settings_keep_their_last_good_version() -> None:
    directory = Directory()
    arms = [{"name": "a", "percent": 50}, {"name": "b", "percent": 50}]
    good = [
        Tenant("tenant", "PG13").to_document(),
        {"id": "rule:x", "kind": "rule", "ruleId": "x", "action": "exclude", "match": {"tags": ["a"]}},
        {"id": "experiment:x", "kind": "experiment", "experimentId": "x", "status": "running", "arms": arms},
    ]
    await directory.write(*good)
    before = directory.tenants.get("tenant"), directory.tenants.experiment("tenant")
    await directory.write(
        {**good[0], "kind": "rule"}, {**good[1], "positions": 7}, {**good[2], "arms": [{"weights": [1]}]}
    )
    assert (directory.tenants.get("tenant"), directory.tenants.experiment("tenant")) == before
    assert [rule.id for rule in directory.tenants.editorial("tenant").rules] == ["x"]
    assert [directory.unreadable(kind) for kind in ("configuration", "rule", "experiment")] == [1, 1, 1]


async def test_a_tenant_whose_configuration_was_never_readable_is_unknown() -> None:
    directory = Directory()
    await directory.write({**Tenant("tenant").to_document(), "kind": 7}, stored_key())
    assert directory.tenants.get("tenant") is None
    assert directory.caller() is None


async def test_log_names_only_the_kind_of_an_unreadable_document(
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory = Directory()
    with caplog.at_level(logging.INFO, "feed.documents"):
        await directory.write(stored_key(scopes=9))
    [record] = caplog.records
    assert (record.getMessage(), record.fields) == ("document_unreadable", {"kind": "key"})
    assert record.exc_info is None


def test_credential_kinds_are_among_the_cached_kinds() -> None:
    assert set(CREDENTIALS) < set(KINDS)
