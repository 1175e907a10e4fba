"""Configuration fields that only keys of scope `ops` can change, to protect users, statistics and other tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cms.configuration.models import editable
from shared.adapters.documents.port import Json
from shared.web.authentication import Caller
from shared.web.problems import Problem

OPS_ONLY = ("requireUserToken", "countAnonymousEvents", "rateLimits", "rollupShards")
"""Proof of the user, counting of anonymous events, and the tenant's share of capacity (rates and shards)."""


def protected_fields(document: Json) -> Json:
    """Return the protected fields of a stored configuration. A body without them leaves them unchanged."""
    whole = editable(document)
    return {name: whole[name] for name in OPS_ONLY}


def require_may_change(caller: Caller, after: Mapping[str, Any], *before: Json) -> None:
    """Raise a 403 `Problem` if `after` changes a protected field and the caller lacks scope `ops`.

    `before`: stored or drafted configurations. A value that one of them has already is allowed.
    """
    if "ops" in caller.scopes:
        return
    known = [protected_fields(each) for each in before]
    given = [name for name in OPS_ONLY if all(after.get(name) != each[name] for each in known)]
    if given:
        what = f"{', '.join(given)}: only a key of scope ops can change this."
        errors = [
            {"field": name, "code": "ops_only", "message": f"Only a key of scope ops can change {name}."}
            for name in given
        ]
        raise Problem(403, "ops_only", what, errors=errors)
