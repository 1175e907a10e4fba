"""Reads one feature flag in Microsoft's schema. A fault ("odd" flag) never affects other flags. Pure.

Stricter than Microsoft's library, which silently reads some mistakes as "off" and raises for others at evaluation:
https://github.com/microsoft/FeatureManagement/blob/main/Schema/FeatureFlag.v2.0.0.schema.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from featuremanagement import FeatureManager, TargetingContext, TimeWindowFilter

from shared.adapters.flags.port import UnreadableFlag

TARGETING, TIME_WINDOW = "Microsoft.Targeting", "Microsoft.TimeWindow"
Judge = Callable[[str, str], bool]
"""`judge(tenant_id, user_key)`: whether the flag is on. Can raise any error for values that the library cannot read."""
JUDGED_BY = ("conditions", "variants", "allocation")

REASONS: dict[str, str] = {
    "not_json": "The value is not JSON.",
    "not_an_object": "The value is null, a list, a number or text.",
    "content_type": "The content type is not a feature flag's.",
    "no_id": "The flag has no id.",
    "enabled": "`enabled` is not true or false.",
    "conditions": "`conditions` or `client_filters` have the wrong shape.",
    "unknown_filter": "A filter is neither Microsoft.Targeting nor Microsoft.TimeWindow.",
    "targeting": "The parameters of Microsoft.Targeting have the wrong shape.",
    "time_window": "The times of Microsoft.TimeWindow are not in the form of RFC 1123.",
    "variants": "`variants` or `allocation` have the wrong shape.",
    "duplicate_id": "Several records have this id.",
}
"""Meaning of each reason for which a flag is odd."""


class OddFlag(ValueError):
    """A flag cannot be read; its text is a key of `REASONS`."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One record of a flag.

    `off`: its own switch is off. `excluded`: groups (tenants) that its targeting excludes. `judge` decides for each
    user; None when the switch alone decides. `odd`: why it cannot be read (then `enabled` is unknown), or, with
    `enabled`, why its filters or variants cannot be read.
    """

    name: str
    enabled: bool = False
    off: bool = False
    excluded: frozenset[str] = frozenset()
    judge: Judge | None = None
    odd: str | None = None


def read_flag(record: Any, ours: Iterable[str]) -> Definition:
    """Read one record of a source. Never raises. `ours`: names of flags that must not use unknown filters."""
    if isinstance(record, UnreadableFlag):
        return Definition(record.name, odd=record.reason)
    if not isinstance(record, dict):
        return Definition("", odd="not_an_object")
    name, enabled = record.get("id"), record.get("enabled", False)
    if not isinstance(name, str) or not name:
        return Definition("", odd="no_id")
    if enabled is False:
        return Definition(name, off=True)
    if enabled is not True:
        return Definition(name, odd="enabled")
    try:
        return _judged(name, record, strict=name in ours)
    except OddFlag as odd:
        return Definition(name, enabled=True, odd=str(odd))


def _judged(name: str, record: dict[str, Any], *, strict: bool) -> Definition:
    given = _without_nulls({part: record.get(part) for part in JUDGED_BY})
    filters = _filters(given.get("conditions", {}))
    for each in filters:
        _check_filter(each, strict)
    if not filters and not given.get("variants"):
        return Definition(name, enabled=True)
    if filters:
        given["conditions"] = {
            "requirement_type": given["conditions"].get("requirement_type", "Any"),
            "client_filters": [{"parameters": {}, **each} for each in filters],
        }
    manager = FeatureManager({"feature_management": {"feature_flags": [{"id": name, "enabled": True, **given}]}})

    def judge(tenant_id: str, user_key: str) -> bool:
        context = TargetingContext(user_id=user_key, groups=[tenant_id])
        return bool(manager.is_enabled(name, context))  # type: ignore[call-overload]

    try:
        if strict or all(each["name"] in (TARGETING, TIME_WINDOW) for each in filters):
            judge("-", "-")
    except Exception:  # for values that it cannot read, the library raises many errors
        raise OddFlag("variants" if given.get("variants") else "conditions") from None
    return Definition(name, enabled=True, excluded=_excluded(filters), judge=judge)


def _without_nulls(value: Any) -> Any:
    """Remove null fields, which some writers of flags add and the library does not read as absent."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _filters(conditions: Any) -> list[dict[str, Any]]:
    _expect(isinstance(conditions, dict), "conditions")
    _expect(conditions.get("requirement_type", "Any") in ("Any", "All"), "conditions")
    filters = conditions.get("client_filters", [])
    _expect(isinstance(filters, list), "conditions")
    for each in filters:
        _expect(isinstance(each, dict) and isinstance(each.get("name"), str), "conditions")
        _expect(isinstance(each.get("parameters", {}), dict), "conditions")
    found: list[dict[str, Any]] = filters
    return found


def _excluded(filters: list[dict[str, Any]]) -> frozenset[str]:
    """Return the groups that the targeting excludes."""
    audiences = [each["parameters"]["Audience"] for each in filters if each["name"] == TARGETING]
    return frozenset(group for each in audiences for group in each.get("Exclusion", {}).get("Groups", []))


def _check_filter(each: dict[str, Any], strict: bool) -> None:
    parameters = each.get("parameters", {})
    if each["name"] == TARGETING:
        _check_targeting(parameters.get("Audience"))
    elif each["name"] == TIME_WINDOW:
        _expect(bool(parameters.get("Start") or parameters.get("End")), "time_window")
        try:
            TimeWindowFilter().evaluate({"parameters": parameters})
        except Exception:
            raise OddFlag("time_window") from None
    elif strict:
        raise OddFlag("unknown_filter")


def _check_targeting(audience: Any) -> None:
    _expect(isinstance(audience, dict) and bool(audience), "targeting")
    _expect(_share(audience.get("DefaultRolloutPercentage", 0)), "targeting")
    exclusion = audience.get("Exclusion", {})
    _expect(isinstance(exclusion, dict), "targeting")
    for names in (audience.get("Users", []), exclusion.get("Users", []), exclusion.get("Groups", [])):
        _expect(isinstance(names, list) and all(isinstance(name, str) for name in names), "targeting")
    groups = audience.get("Groups", [])
    _expect(isinstance(groups, list), "targeting")
    for group in groups:
        _expect(isinstance(group, dict) and isinstance(group.get("Name"), str), "targeting")
        _expect(_share(group.get("RolloutPercentage", 0)), "targeting")


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100


def _expect(holds: bool, reason: str) -> None:
    if not holds:
        raise OddFlag(reason)
