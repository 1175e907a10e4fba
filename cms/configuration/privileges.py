"""Fields of the configuration that only keys of scope `ops` change: they protect users, statistics, other tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cms.configuration.models import editable
from shared.adapters.documents.port import Json
from shared.web.authentication import Caller
from shared.web.problems import Problem

OPS_ONLY = ("requireUserToken", "countAnonymousEvents", "rateLimits", "rollupShards")
"""Who can act for a user, whose events count in statistics, and how much of the shared capacity a tenant can take."""


def protected_fields(document: Json) -> Json:
    """Those fields of a stored configuration: what a body that does not name them leaves as it is."""
    whole = editable(document)
    return {name: whole[name] for name in OPS_ONLY}


def require_may_change(caller: Caller, after: Mapping[str, Any], *before: Json) -> None:
    """Raise a 403 `Problem` that names the fields when `after` gives one a value that it has in none of `before`.

    `before` are configurations as they are stored, or as drafts hold them. A value that is sent back unchanged passes.
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
