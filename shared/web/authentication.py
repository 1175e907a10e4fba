"""Authenticates callers by `X-Tenant-Id` and `X-Api-Key`, and reads the user of a request from `X-User`."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from shared.adapters.tenant_directory import PLATFORM, ApiKey, TenantDirectory
from shared.domain.formats import API_KEY, TENANT_ID, USER_HASH, Format
from shared.domain.keys import Identity
from shared.domain.records import Tenant
from shared.web.problems import Problem, bad_request, forbidden, unauthorized, unavailable


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller: its tenant and the scopes of its key.

    `operator` is True for a key of the platform itself, which is valid for every tenant.
    """

    tenant: Tenant
    scopes: frozenset[str]
    key_name: str
    operator: bool = False

    def require(self, *scopes: str) -> None:
        """Raise a 403 `Problem` unless the key has one of the scopes."""
        if not self.scopes.intersection(scopes):
            raise forbidden(scopes[0])


MAX_KNOWN = 10_000
"""Remembered pairs of tenant and key; an operator's key makes one for each tenant."""


class Authenticator:
    """Checks API keys against the tenant directory.

    Callers are remembered by the keyed hash of their API key, until the directory changes. Without the secret nobody
    can choose that hash, so the time of a look-up reveals nothing. A wrong key is not remembered.
    """

    def __init__(self, tenants: TenantDirectory, identity: Identity) -> None:
        self._tenants = tenants
        self._identity = identity
        self._nobody = ApiKey("", "", identity.api_key_hash(secrets.token_hex(16)), frozenset())
        self._known: dict[tuple[str, str], tuple[Caller, ApiKey]] = {}
        self._known_as_of = tenants.version

    def authenticate(self, headers: Mapping[str, str], now: float) -> Caller:
        """Return the caller of `X-Tenant-Id` and `X-Api-Key`.

        Raises a `Problem`: 400 for a missing or malformed header; the same 401 for an unknown tenant and for a wrong
        key; 503 before the tenants were first read, since a store that is down must not look like a wrong key.
        """
        tenant_id = required_header(headers, "x-tenant-id", TENANT_ID, "tenant")
        key = required_header(headers, "x-api-key", API_KEY, "api_key")
        presented = self._identity.api_key_hash(key)
        tenants = self._tenants
        if self._known_as_of != tenants.version:
            self._known.clear()
            self._known_as_of = tenants.version
        known = self._known.get((tenant_id, presented))
        if known is not None and known[1].active(now):
            return known[0]
        tenant = tenants.get(tenant_id)
        matched = self._match(tenants.keys(tenant_id), presented, now)
        operator = self._match(tenants.keys(PLATFORM), presented, now)
        found = matched or operator
        if found is None or tenant is None:
            raise (
                unauthorized()
                if tenants.loaded
                else unavailable(
                    "The service has not loaded the tenants yet. Wait the seconds in Retry-After, then try again."
                )
            )
        caller = Caller(tenant, found.scopes, found.name, operator=matched is None)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[tenant_id, presented] = (caller, found)
        return caller

    def authenticate_operator(self, headers: Mapping[str, str], now: float) -> Caller:
        """Return the platform's own key of a call that concerns no single tenant.

        Raises a `Problem`: 400 for a missing or malformed header, 401 for an unknown key, 403 without scope `ops`.
        """
        key = required_header(headers, "x-api-key", API_KEY, "api_key")
        found = self._match(self._tenants.keys(PLATFORM), self._identity.api_key_hash(key), now)
        if found is None:
            raise unauthorized()
        caller = Caller(Tenant(PLATFORM), found.scopes, found.name, operator=True)
        caller.require("ops")
        return caller

    def _match(self, keys: Mapping[str, ApiKey], presented: str, now: float) -> ApiKey | None:
        """Compare with every key, and with a dummy, in constant time, so that timing reveals nothing."""
        found = None
        for key in (*keys.values(), self._nobody):
            same = hmac.compare_digest(key.hash, presented)
            if same and key.active(now) and key is not self._nobody:
                found = key
        return found


def required_header(headers: Mapping[str, str], name: str, form: Format, code: str) -> str:
    """Return a header that must occur once and be well formed. Raises a 400 `Problem` that never quotes the value."""
    value = headers.get(name)
    if value and form.matches(value):
        return value
    label = "-".join(part.capitalize() for part in name.split("-"))
    if not value:
        raise bad_request(f"missing_{code}", f"The header {label} is missing.")
    raise bad_request(f"invalid_{code}", f"The header {label} is malformed or given twice.")


def user_hash(headers: Mapping[str, str]) -> str:
    """Return `X-User`: 64 lower-case hex digits. Raises a 400 `Problem` for anything else (an e-mail, a phone number,
    a raw id), which is never logged."""
    try:
        return required_header(headers, "x-user", USER_HASH, "user")
    except Problem as problem:
        if problem.code == "invalid_user":
            raise bad_request(
                "invalid_user",
                "X-User must be given once, as 64 lower-case hex digits: the HMAC-SHA-256 of your user id. "
                "Never send the id itself.",
            ) from None
        raise


def consented(headers: Mapping[str, str]) -> bool:
    """Return False when `X-Personalization` is `off`. Raises a 400 `Problem` for a value that is neither `on` nor
    `off`."""
    sent = headers.get("x-personalization")
    if not sent:
        return True
    value = sent.strip().lower()
    if value not in ("", "on", "off"):
        raise bad_request("invalid_personalization", "X-Personalization must be given once, as on or off.")
    return value != "off"
