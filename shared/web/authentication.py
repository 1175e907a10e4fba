"""Authentication: who calls, by `X-Tenant-Id` and `X-Api-Key`, and which user a request is about."""

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
    """An authenticated caller: the tenant it acts for, and what its key may do.

    `operator` is True for a key of the platform's own, which is valid for every tenant.
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
"""Pairs of tenant and key that are remembered: an operator's key is valid for every tenant."""


class Authenticator:
    """Checks API keys against the tenant directory.

    Callers are remembered under the hash of their key, until anything changes in the directory. Nobody can steer that
    hash without the secret, so how long it takes to find one tells nothing. A wrong key leaves nothing behind.
    """

    def __init__(self, tenants: TenantDirectory, identity: Identity) -> None:
        self._tenants = tenants
        self._identity = identity
        self._nobody = ApiKey("", "", identity.api_key_hash(secrets.token_hex(16)), frozenset())
        self._known: dict[tuple[str, str], tuple[Caller, ApiKey]] = {}
        self._known_as_of = tenants.version

    def authenticate(self, headers: Mapping[str, str], now: float) -> Caller:
        """The caller, by `X-Tenant-Id` and `X-Api-Key`.

        Raises a `Problem`: 400 for a missing or malformed header, 401 (one and the same) for an unknown tenant or a
        wrong key, 503 while the tenants have never been read: nobody is refused for good because a store is down.
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
            raise unauthorized() if tenants.loaded else unavailable("The tenants are not known yet. Try again.")
        caller = Caller(tenant, found.scopes, found.name, operator=matched is None)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[tenant_id, presented] = (caller, found)
        return caller

    def authenticate_operator(self, headers: Mapping[str, str], now: float) -> Caller:
        """The platform's own key that calls, for what concerns no single tenant.

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
        """Compares with every key in constant time, and with one that nobody has, so that timing tells nothing."""
        found = None
        for key in (*keys.values(), self._nobody):
            same = hmac.compare_digest(key.hash, presented)
            if same and key.active(now) and key is not self._nobody:
                found = key
        return found


def required_header(headers: Mapping[str, str], name: str, form: Format, code: str) -> str:
    """A header that must be there once and well formed. Raises a 400 `Problem`, which never holds its value."""
    value = headers.get(name)
    if value and form.matches(value):
        return value
    label = "-".join(part.capitalize() for part in name.split("-"))
    if not value:
        raise bad_request(f"missing_{code}", f"The header {label} is missing.")
    raise bad_request(f"invalid_{code}", f"The header {label} is malformed or given twice.")


def user_hash(headers: Mapping[str, str]) -> str:
    """`X-User`: 64 lower-case hex digits. Anything else (an e-mail, a phone number, a raw id) is refused, unlogged."""
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
    """`X-Personalization`: False when the user opted out. Raises a 400 `Problem` for what is neither `on` nor `off`."""
    sent = headers.get("x-personalization")
    if not sent:
        return True
    value = sent.strip().lower()
    if value not in ("", "on", "off"):
        raise bad_request("invalid_personalization", "X-Personalization must be given once, as on or off.")
    return value != "off"
