"""The firewall of a snapshot: the policy of each path, and the request limits of each policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.infra.snapshot import FIREWALL, Resource, Snapshot, last

GATEWAY = "Microsoft.Network/applicationGateways"


@dataclass(frozen=True)
class Override:
    """A policy's override of one managed rule. `counts`: a match still adds to the score that refuses a request."""

    rule_set: str
    group: str
    rule: str
    counts: bool


@dataclass(frozen=True)
class Policy:
    """One policy with its name in the table of paths, such as `events`."""

    name: str
    resource: Resource

    @property
    def refuses(self) -> bool:
        """Whether it refuses at all, or only logs."""
        return self.setting("state") == "Enabled" and self.setting("mode") == "Prevention"

    def setting(self, name: str) -> Any:
        return self.resource.at(f"properties.policySettings.{name}")

    @property
    def custom_rules(self) -> list[dict[str, Any]]:
        return list(self.resource.at("properties.customRules"))

    @property
    def exclusions(self) -> list[dict[str, str]]:
        return list(self.resource.at("properties.managedRules.exclusions"))

    def overrides(self) -> Iterator[Override]:
        for rules in self.resource.at("properties.managedRules.managedRuleSets"):
            for group in rules.get("ruleGroupOverrides", []):
                for rule in group["rules"]:
                    counts = rule["state"] == "Enabled" and rule.get("action", "AnomalyScoring") != "Log"
                    yield Override(rules["ruleSetType"], group["ruleGroupName"], rule["ruleId"], counts)

    def silent(self) -> set[str]:
        """Rules whose match refuses nothing: they are off, or only log."""
        return {each.rule for each in self.overrides() if not each.counts}


@dataclass(frozen=True)
class PathRule:
    """Patterns of the gateway's path map, and the id of their policy, if they have one."""

    name: str
    patterns: tuple[str, ...]
    policy_id: str | None


@dataclass(frozen=True)
class Firewall:
    """Policies by id, the path rules in order, and the id of the policy of every other path."""

    policies: dict[str, Policy]
    path_rules: tuple[PathRule, ...]
    default_id: str | None

    @classmethod
    def of(cls, made: Snapshot) -> Firewall:
        """Read the firewall. Raises ValueError when there is not exactly one gateway with exactly one path map."""
        gateway = made.one(GATEWAY)
        policies = {each["id"]: Policy(last(each["id"]).rsplit("-", 1)[-1], each) for each in made.all(FIREWALL)}
        (path_map,) = gateway.at("properties.urlPathMaps")
        rules = tuple(
            PathRule(each["name"], tuple(each["properties"]["paths"]), _policy_id(each["properties"]))
            for each in path_map["properties"]["pathRules"]
        )
        return cls(policies, rules, _policy_id(gateway["properties"]))

    def policy_of(self, path: str) -> Policy:
        """Return the policy of a request to this path: that of the first rule with a matching pattern."""
        for rule in self.path_rules:
            if any(fits(pattern, path) for pattern in rule.patterns):
                return self.policies[str(rule.policy_id)]
        return self.policies[str(self.default_id)]


def fits(pattern: str, path: str) -> bool:
    """Return whether the gateway matches a path to a pattern: case-insensitive; `*` at the end matches any rest."""
    pattern, path = pattern.lower(), path.partition("?")[0].lower()
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _policy_id(properties: dict[str, Any]) -> str | None:
    return (properties.get("firewallPolicy") or {}).get("id")
