"""Tenants, API keys and public keys: what is sent, what is stored, what is answered."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import AfterValidator, Field

from cms.access.app_lines import PLACEHOLDER_KEY, app_curl, app_page
from cms.configuration.models import Configuration, configuration_fields
from cms.forms import Distinct, Form, comes_back_in, fault, text_like
from cms.spellings import Instant
from cms.videos.models import Rating
from cms.views import Etag, KeyName, one_of
from shared.adapters.documents.port import Json
from shared.adapters.tenant_directory import KEY_PREFIX, ONBOARDING_ID, SCOPES, ApiKey
from shared.domain.formats import KEY_NAME, MIN_RSA_BITS, TENANT_ID, TOKEN_KEY_ID, iso_time_or_none
from shared.domain.keys import Identity
from shared.domain.records import Tenant
from shared.web.responses import Time, View

KEY_MARK = "vf_"
MAX_OVERLAP_HOURS = 168
DEFAULT_OVERLAP_HOURS = 24
PUBLIC_KEY_PREFIX = "user-token-key:"
MAX_KEYS = 100
MAX_PUBLIC_KEYS = 10

GivenName = Annotated[str, Field(min_length=1, max_length=64), text_like(KEY_NAME)]


class NewTenantForm(Form):
    """A tenant. It begins with the mildest rating unless told otherwise."""

    tenant_id: Annotated[str, text_like(TENANT_ID)]
    maturity_policy: Rating = "G"
    name: Annotated[str, Field(max_length=100)] = ""
    key_name: GivenName = "content team"
    app_key_name: GivenName = "app"


class RemovalForm(Form):
    """The tenant's id once more, so that nobody removes another one by mistake."""

    confirm: str
    reason: Annotated[str, Field(max_length=300)] = ""


class NewKeyForm(Form):
    """A key. The audit shows its name."""

    name: GivenName
    scopes: Annotated[list[Literal["sdk", "cms", "privacy", "ops"]], Field(min_length=1), Distinct]
    expires_at: Instant | None = None


class KeyNameForm(Form):
    """Another name for a key."""

    name: GivenName


class RotationForm(Form):
    """How long the old key works beside the new one."""

    overlap_hours: Annotated[float, Field(ge=0, le=MAX_OVERLAP_HOURS)] = DEFAULT_OVERLAP_HOURS


def _checked_public_key(text: str) -> str:
    if "PRIVATE" in text:
        raise fault(
            "publicKey",
            "private_key",
            "publicKey holds a private key, which is now exposed. Create a new key pair and send its public key.",
        )
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise fault("publicKey", "invalid_public_key", "publicKey must be a public key in PEM.") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise fault("publicKey", "weak_key", f"An RSA key must have at least {MIN_RSA_BITS} bits.")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name != "secp256r1":
            raise fault("publicKey", "invalid_public_key", "An elliptic-curve key must be on P-256.")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise fault("publicKey", "invalid_public_key", "publicKey must be RSA, P-256 or Ed25519.")
    return text


class UserTokenKeyForm(Form):
    """A public key that verifies user tokens; `key_id` is the `kid` of those tokens."""

    key_id: Annotated[str, text_like(TOKEN_KEY_ID)]
    public_key: Annotated[str, Field(max_length=4_000), AfterValidator(_checked_public_key)]


Scope = Annotated[str, Field(json_schema_extra=one_of(*SCOPES))]
Secret = Annotated[str, Field(description="The key itself, which no other response shows: keep it now.")]


class StoredKey(View):
    """A key, without its secret."""

    id: str
    name: Annotated[str, Field(description="Whose it is, as the history shows it.")]
    scopes: list[Scope]
    state: Annotated[str, Field(json_schema_extra=one_of("active", "expired"))]
    created_at: Time | None
    created_by: KeyName
    expires_at: Annotated[Time | None, Field(description="null: it does not.")]


class ListedKey(StoredKey):
    """A key of a list."""

    etag: Etag


class Keys(View):
    """A tenant's keys, by name."""

    keys: list[ListedKey]


class NewKey(StoredKey):
    """A key that was just issued."""

    key: Secret


class RotatedKey(NewKey):
    """The successor of a key."""

    old_key_ends_at: Time


class Tenants(View):
    """Every tenant, by id."""

    tenants: list[Configuration]


class AppLines(View):
    """What the tenant's developers need. Where the key is not shown any more, it is `YOUR_APP_KEY`."""

    base_url: Annotated[str, Field(description="Where the service was reached by this call.")]
    page: Annotated[str, Field(description="A swiping feed with the TypeScript SDK; save it beside the SDK's folder.")]
    curl: Annotated[str, Field(description="A feed and an event, in a shell.")]


class NewTenant(Configuration):
    """A tenant that was just created, with its first keys."""

    name: str
    key: Secret
    key_info: Annotated[StoredKey, Field(description="The content team's, of scope `cms`.")]
    app_key: Secret
    app_key_info: Annotated[StoredKey, Field(description="The app's, of scope `sdk`.")]
    app: AppLines


class Onboarding(View):
    """How far a new tenant has come."""

    tenant_id: str
    name: str
    created_at: Annotated[Time | None, Field(description="null: older than this record, which then knows no times.")]
    created_by: KeyName
    first_feed_at: Annotated[Time | None, Field(description="When its app was first served a feed. null: not yet.")]
    first_event_at: Annotated[Time | None, Field(description="When its app's first event was accepted. null: not yet.")]
    keys: list[StoredKey]
    app: AppLines


@comes_back_in(UserTokenKeyForm)
class PublicKey(View):
    """A public key that verifies user tokens."""

    key_id: Annotated[str, Field(description="The `kid` of tokens signed with it.")]
    public_key: Annotated[str, Field(description="PEM.")]
    added_at: Time | None
    added_by: KeyName


@comes_back_in(UserTokenKeyForm)
class ListedPublicKey(PublicKey):
    """A public key of a list."""

    etag: Etag


class PublicKeys(View):
    """A tenant's public keys."""

    keys: list[ListedPublicKey]


def new_key() -> str:
    """256 random bits, with a prefix that people and secret scanners recognize."""
    return KEY_MARK + secrets.token_urlsafe(32)


def new_key_id() -> str:
    """The id of a key's document. It reveals nothing about the key."""
    return f"{KEY_PREFIX}{secrets.token_hex(8)}"


def tenant_document(tenant: Tenant) -> Json:
    """A tenant's configuration as it is read back."""
    return tenant.to_document() | {"tenantId": tenant.id}


class TenantRemoval(View):
    """How far the removal of a tenant is; once it is done, the receipt."""

    tenant_id: str
    state: Annotated[str, Field(json_schema_extra=one_of("stopping", "removing", "done"))]
    requested_at: Time
    requested_by: KeyName
    done_at: Annotated[
        Time | None,
        Field(description="What was accepted until then is dropped wherever it still arrives. null: not yet."),
    ]
    removed: Annotated[
        dict[str, int],
        Field(
            description="Documents by container, blobs by container, and deadLetters. After a crash of a worker "
            "the last page of it may not be counted."
        ),
    ]


def removal_view(tenant_id: str, stored: Json) -> TenantRemoval:
    """A stored removal as it is answered."""
    return TenantRemoval.unchecked(
        tenant_id=tenant_id,
        state=stored.get("state"),
        requested_at=iso_time_or_none(stored.get("requestedAt")),
        requested_by=stored.get("requestedBy"),
        done_at=iso_time_or_none(stored.get("doneAt")),
        removed=stored.get("removed") or {},
    )


IssuedKey = tuple[str, ApiKey]
"""A key that was just made, and the record of it, which is stored."""


def issue(
    identity: Identity, name: str, scopes: Iterable[str], expires_at: float | None, at: float, who: str
) -> IssuedKey:
    """A new key. `at`, in seconds since the epoch, and `who`: when it is issued and by whom."""
    key = new_key()
    hashed = identity.api_key_hash(key)
    return key, ApiKey(new_key_id(), name, hashed, frozenset(scopes), expires_at, at, who)


def app_lines(base_url: str, tenant_id: str, app_key: str = PLACEHOLDER_KEY) -> AppLines:
    """What a tenant's developers need."""
    return AppLines(
        base_url=base_url,
        page=app_page(base_url, tenant_id, app_key),
        curl=app_curl(base_url, tenant_id, app_key),
    )


def new_tenant_view(
    tenant: Tenant, name: str, editors: IssuedKey, app: IssuedKey, base_url: str, now: float
) -> NewTenant:
    """A new tenant as it is answered."""
    return NewTenant.unchecked(
        **configuration_fields(tenant_document(tenant)),
        name=name,
        key=editors[0],
        key_info=StoredKey.unchecked(**key_fields(editors[1], now)),
        app_key=app[0],
        app_key_info=StoredKey.unchecked(**key_fields(app[1], now)),
        app=app_lines(base_url, tenant.id, app[0]),
    )


def onboarding_document(name: str, request: str, at: float, who: str) -> Json:
    """What is kept of a tenant's creation. `request` names the call that created it, empty without a key of its own."""
    return {
        "id": ONBOARDING_ID,
        "kind": ONBOARDING_ID,
        "name": name,
        "request": request,
        "createdAt": at,
        "createdBy": who,
        "firstFeedAt": None,
        "firstEventAt": None,
    }


def onboarding_view(tenant_id: str, stored: Json, keys: Iterable[ApiKey], base_url: str, now: float) -> Onboarding:
    """How far a tenant has come. `stored` is {} for one that is older than its document."""
    return Onboarding.unchecked(
        tenant_id=tenant_id,
        name=stored.get("name", ""),
        created_at=iso_time_or_none(stored.get("createdAt")),
        created_by=stored.get("createdBy"),
        first_feed_at=iso_time_or_none(stored.get("firstFeedAt")),
        first_event_at=iso_time_or_none(stored.get("firstEventAt")),
        keys=[StoredKey.unchecked(**key_fields(key, now)) for key in sorted(keys, key=lambda each: each.name)],
        app=app_lines(base_url, tenant_id),
    )


def key_fields(key: ApiKey, now: float) -> dict[str, Any]:
    """A stored key as a view's fields: never the key, never its hash."""
    return {
        "id": key.id.removeprefix(KEY_PREFIX),
        "name": key.name,
        "scopes": sorted(key.scopes),
        "state": "active" if key.active(now) else "expired",
        "created_at": iso_time_or_none(key.created_at) if key.created_at else None,
        "created_by": key.created_by or None,
        "expires_at": iso_time_or_none(key.expires_at),
    }


def public_key_document(form: UserTokenKeyForm, now: float, who: str) -> Json:
    """A public key as it is stored."""
    return {
        "id": f"{PUBLIC_KEY_PREFIX}{form.key_id}",
        "kind": "user-token-key",
        "keyId": form.key_id,
        "publicKey": form.public_key,
        "updatedAt": now,
        "updatedBy": who,
    }


def public_key_view(document: Json) -> PublicKey:
    """A stored public key as it is answered."""
    return PublicKey.unchecked(**public_key_fields(document))


def public_key_fields(document: Json) -> dict[str, Any]:
    """A stored public key as a view's fields."""
    return {
        "key_id": document["keyId"],
        "public_key": document["publicKey"],
        "added_at": iso_time_or_none(document.get("updatedAt")),
        "added_by": document.get("updatedBy"),
    }
