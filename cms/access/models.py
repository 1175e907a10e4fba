"""Forms, stored documents and views of tenants, API keys and public keys."""

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
    """A tenant to create. Its default rating is the mildest."""

    tenant_id: Annotated[str, text_like(TENANT_ID)]
    maturity_policy: Rating = "G"
    name: Annotated[str, Field(max_length=100)] = ""
    key_name: GivenName = "content team"
    app_key_name: GivenName = "app"


class RemovalForm(Form):
    """Confirms a removal: `confirm` repeats the tenant's id, to prevent removing the wrong tenant."""

    confirm: str
    reason: Annotated[str, Field(max_length=300)] = ""


class NewKeyForm(Form):
    """A key to issue. The audit shows its name."""

    name: GivenName
    scopes: Annotated[list[Literal["sdk", "cms", "privacy", "ops"]], Field(min_length=1), Distinct]
    expires_at: Instant | None = None


class KeyNameForm(Form):
    """A new name for a key."""

    name: GivenName


class RotationForm(Form):
    """How long the old key works in parallel with the new one."""

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
    """A public key to add. It verifies user tokens whose `kid` is `key_id`."""

    key_id: Annotated[str, text_like(TOKEN_KEY_ID)]
    public_key: Annotated[str, Field(max_length=4_000), AfterValidator(_checked_public_key)]


Scope = Annotated[str, Field(json_schema_extra=one_of(*SCOPES))]
Secret = Annotated[str, Field(description="The key itself. No other response shows it, so store it now.")]


class StoredKey(View):
    """A key, without its secret."""

    id: str
    name: Annotated[str, Field(description="The key's holder; the audit shows this name.")]
    scopes: list[Scope]
    state: Annotated[str, Field(json_schema_extra=one_of("active", "expired"))]
    created_at: Time | None
    created_by: KeyName
    expires_at: Annotated[Time | None, Field(description="null: the key does not expire.")]


class ListedKey(StoredKey):
    """A key in a list."""

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
    """Code samples for the tenant's developers. `YOUR_APP_KEY` stands for a key that is no longer shown."""

    base_url: Annotated[str, Field(description="The URL at which this call reached the service.")]
    page: Annotated[
        str, Field(description="HTML page with a feed to swipe, using the TypeScript SDK in the folder `dist`.")
    ]
    curl: Annotated[str, Field(description="Shell commands that get a feed and send an event.")]


class NewTenant(Configuration):
    """A tenant that was just created, with its first keys."""

    name: str
    key: Secret
    key_info: Annotated[StoredKey, Field(description="The content team's key, of scope `cms`.")]
    app_key: Secret
    app_key_info: Annotated[StoredKey, Field(description="The app's key, of scope `sdk`.")]
    app: AppLines


class Onboarding(View):
    """A new tenant's progress: first feed, first event, keys, and code samples."""

    tenant_id: str
    name: str
    created_at: Annotated[
        Time | None, Field(description="null: the tenant was created before such times were recorded.")
    ]
    created_by: KeyName
    first_feed_at: Annotated[Time | None, Field(description="When its app first got a feed; null: not yet.")]
    first_event_at: Annotated[Time | None, Field(description="When its app's first event was accepted; null: not yet.")]
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
    """A public key in a list."""

    etag: Etag


class PublicKeys(View):
    """A tenant's public keys."""

    keys: list[ListedPublicKey]


def new_key() -> str:
    """Generate a key: 256 random bits, with a prefix that people and secret scanners recognize."""
    return KEY_MARK + secrets.token_urlsafe(32)


def new_key_id() -> str:
    """Generate the id of a key's document. It reveals nothing about the key."""
    return f"{KEY_PREFIX}{secrets.token_hex(8)}"


def tenant_document(tenant: Tenant) -> Json:
    """Build a tenant's configuration document, with its id."""
    return tenant.to_document() | {"tenantId": tenant.id}


class TenantRemoval(View):
    """Progress of a tenant's removal; its receipt once it is done."""

    tenant_id: str
    state: Annotated[str, Field(json_schema_extra=one_of("stopping", "removing", "done"))]
    requested_at: Time
    requested_by: KeyName
    done_at: Annotated[
        Time | None,
        Field(description="Data accepted before this time is dropped wherever it still arrives. null: not done yet."),
    ]
    removed: Annotated[
        dict[str, int],
        Field(
            description="Deleted documents and blobs by container, and deadLetters. After a crash of a worker, its "
            "last page of deletions can be missing in the count."
        ),
    ]


def removal_view(tenant_id: str, stored: Json) -> TenantRemoval:
    """Build the view of a stored removal."""
    return TenantRemoval.unchecked(
        tenant_id=tenant_id,
        state=stored.get("state"),
        requested_at=iso_time_or_none(stored.get("requestedAt")),
        requested_by=stored.get("requestedBy"),
        done_at=iso_time_or_none(stored.get("doneAt")),
        removed=stored.get("removed") or {},
    )


IssuedKey = tuple[str, ApiKey]
"""A new key, and its record to store."""


def issue(
    identity: Identity, name: str, scopes: Iterable[str], expires_at: float | None, at: float, who: str
) -> IssuedKey:
    """Create a key. `at`: time of issue in seconds since the epoch; `who`: name of the issuer's key."""
    key = new_key()
    hashed = identity.api_key_hash(key)
    return key, ApiKey(new_key_id(), name, hashed, frozenset(scopes), expires_at, at, who)


def app_lines(base_url: str, tenant_id: str, app_key: str = PLACEHOLDER_KEY) -> AppLines:
    """Build the code samples for a tenant's developers."""
    return AppLines(
        base_url=base_url,
        page=app_page(base_url, tenant_id, app_key),
        curl=app_curl(base_url, tenant_id, app_key),
    )


def new_tenant_view(
    tenant: Tenant, name: str, editors: IssuedKey, app: IssuedKey, base_url: str, now: float
) -> NewTenant:
    """Build the view of a new tenant."""
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
    """Build the stored record of a tenant's creation.

    `request`: hash of the creating call, empty if it had no Idempotency-Key.
    """
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
    """Build the view of a tenant's progress. `stored` is {} for a tenant created before such records existed."""
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
    """Return a stored key as the fields of a view, without the key and its hash."""
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
    """Build the document of a public key."""
    return {
        "id": f"{PUBLIC_KEY_PREFIX}{form.key_id}",
        "kind": "user-token-key",
        "keyId": form.key_id,
        "publicKey": form.public_key,
        "updatedAt": now,
        "updatedBy": who,
    }


def public_key_view(document: Json) -> PublicKey:
    """Build the view of a stored public key."""
    return PublicKey.unchecked(**public_key_fields(document))


def public_key_fields(document: Json) -> dict[str, Any]:
    """Return a stored public key as the fields of a view."""
    return {
        "key_id": document["keyId"],
        "public_key": document["publicKey"],
        "added_at": iso_time_or_none(document.get("updatedAt")),
        "added_by": document.get("updatedBy"),
    }
