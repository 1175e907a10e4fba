"""Switches a flag in a feature-flag document, for everyone or for one tenant. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

TARGETING = "Microsoft.Targeting"


def switched(document: dict[str, Any], name: str, on: bool, tenant_id: str | None = None) -> dict[str, Any]:
    """The document with the flag switched; a flag that is not there yet is added.

    Without a tenant it is the flag's own switch, which beats every filter. With one it is the exclusion of the
    tenant's group from the flag's targeting: everybody else keeps what they have.
    """
    changed = deepcopy(document)
    flags = changed.setdefault("feature_management", {}).setdefault("feature_flags", [])
    flag = next((flag for flag in flags if flag.get("id") == name), None)
    if flag is None:
        flag = {"id": name, "enabled": tenant_id is not None}
        flags.append(flag)
    if tenant_id is None:
        flag["enabled"] = on
    else:
        _switch_tenant(flag, tenant_id, on)
    return changed


def excluded_groups(flag: dict[str, Any]) -> frozenset[str]:
    """The groups (tenants) a flag is switched off for."""
    groups: set[str] = set()
    for filter_ in (flag.get("conditions") or {}).get("client_filters") or ():
        if filter_.get("name") == TARGETING:
            audience = (filter_.get("parameters") or {}).get("Audience") or {}
            groups.update((audience.get("Exclusion") or {}).get("Groups") or ())
    return frozenset(groups)


def _switch_tenant(flag: dict[str, Any], tenant_id: str, on: bool) -> None:
    conditions = flag.get("conditions") or {}
    filters = conditions.get("client_filters") or []
    targeting = next((filter_ for filter_ in filters if filter_.get("name") == TARGETING), None)
    if targeting is None:
        if on:
            return
        targeting = {"name": TARGETING, "parameters": {"Audience": {"DefaultRolloutPercentage": 100}}}
        filters = [*filters, targeting]
    audience = targeting.setdefault("parameters", {}).setdefault("Audience", {})
    exclusion = audience.get("Exclusion") or {}
    groups = [group for group in exclusion.get("Groups") or () if group != tenant_id]
    if not on:
        groups.append(tenant_id)
    exclusion = {**exclusion, "Groups": groups}
    if groups or exclusion.get("Users"):
        audience["Exclusion"] = exclusion
    else:
        audience.pop("Exclusion", None)
    if audience == {"DefaultRolloutPercentage": 100}:
        filters = [filter_ for filter_ in filters if filter_ is not targeting]
    flag["conditions"] = {**conditions, "client_filters": filters}
