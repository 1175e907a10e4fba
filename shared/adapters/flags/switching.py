"""Switches a flag in a feature-flag document, for everyone or for one tenant. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from shared.adapters.flags.definition import TARGETING, read_flag


def switched(document: dict[str, Any], name: str, on: bool, tenant_id: str | None = None) -> dict[str, Any]:
    """Return the document with the flag switched; a missing flag is added.

    Without a tenant, this sets the flag's own switch, which beats every filter. With one, it adds or removes the
    tenant's group as an exclusion of the targeting; others are not affected. Raises `ValueError` when the flag's
    conditions cannot be read, so that nothing of them is lost.
    """
    changed = deepcopy(document)
    flags = changed.setdefault("feature_management", {}).setdefault("feature_flags", [])
    flag = next((flag for flag in flags if isinstance(flag, dict) and flag.get("id") == name), None)
    if flag is None:
        flag = {"id": name, "enabled": tenant_id is not None}
        flags.append(flag)
    if tenant_id is None:
        flag["enabled"] = on
    else:
        try:
            _switch_tenant(flag, tenant_id, on)
        except (AttributeError, TypeError):
            raise ValueError(f"the conditions of the flag {name} cannot be read: repair them first") from None
    return changed


def holds_off(record: Any, name: str, tenant_id: str | None = None) -> bool:
    """Whether this record alone keeps the flag `name` off: for everyone, or for one tenant."""
    found = read_flag(record, (name,))
    return found.name == name and (found.off or found.odd is not None or tenant_id in found.excluded)


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
