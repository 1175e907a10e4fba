"""Every path has the policy it needs, and each rule about policies finds its planted mistake."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.infra import rules_firewall as rules
from tests.infra.compiler import Compiled
from tests.infra.firewall import GATEWAY, Firewall, fits
from tests.infra.snapshot import FIREWALL, Snapshot
from tests.infra.test_bicep import GONE, planted, routes_by_function

OVERRIDES = "properties.managedRules.managedRuleSets"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_deployed_firewall_policies_obey_every_rule(compiled: Compiled, environment: str):
    assert rules.every_rule(Snapshot.of(environment, compiled.snapshots[environment])) == []


def test_new_environment_starts_in_detection_and_production_prevents(dev: Snapshot, prod: Snapshot):
    assert {policy.setting("mode") for policy in Firewall.of(dev).policies.values()} == {"Detection"}
    assert {policy.setting("mode") for policy in Firewall.of(prod).policies.values()} == {"Prevention"}


MISTAKES: dict[str, tuple[str, str, str, Any, str]] = {
    "a path without a policy": (
        GATEWAY,
        "",
        "properties.urlPathMaps.0.properties.pathRules.0.properties.firewallPolicy",
        GONE,
        "imports: no policy of the firewall",
    ),
    "no policy for the rest": (GATEWAY, "", "properties.firewallPolicy", GONE, "every other path: no policy"),
    "a policy for nothing": (GATEWAY, "", "properties.firewallPolicy.id", "/elsewhere", "no path has this policy"),
    "a policy that only logs": (FIREWALL, "-cms", "properties.policySettings.mode", "Detection", "refuses nothing"),
    "a policy that is off": (FIREWALL, "-feed", "properties.policySettings.state", "Disabled", "refuses nothing"),
    "a policy without our rules": (FIREWALL, "-events", "properties.customRules", [], "it must have the rules"),
    "one rule that differs": (
        FIREWALL,
        "-cms",
        "properties.customRules.3.rateLimitThreshold",
        7,
        "do not have the same custom rules",
    ),
    "an override of no rule": (
        FIREWALL,
        "-cms",
        f"{OVERRIDES}.0.ruleGroupOverrides.0.rules.0.ruleId",
        "942999",
        "no rule 942999 in",
    ),
    "compressed batches refused": (
        FIREWALL,
        "-events",
        "properties.policySettings.requestBodyCheck",
        True,
        "/v1/events/batch: a compressed body is refused",
    ),
    "a header refused": (
        FIREWALL,
        "-events",
        f"{OVERRIDES}.0.ruleGroupOverrides",
        [],
        "/v1/events/batch: a compressed body is refused for its Content-Encoding",
    ),
    "half a body": (FIREWALL, "-cms", "properties.policySettings.requestBodyInspectLimitInKB", 128, "is cut before"),
    "a limit of its own": (
        FIREWALL,
        "-imports",
        "properties.policySettings.requestBodyEnforcement",
        True,
        "which the endpoint decides",
    ),
    "a header in the log": (
        FIREWALL,
        "",
        "properties.policySettings.logScrubbing.scrubbingRules.1.selector",
        "X-User",
        "x-user reaches the log",
    ),
    "a line a request": (
        FIREWALL,
        "",
        f"{OVERRIDES}.1.ruleGroupOverrides",
        [],
        "rule 300700 logs nearly every request",
    ),
}


@pytest.mark.parametrize(("type_name", "named", "path", "value", "finding"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_planted_mistake_is_found(prod: Snapshot, type_name: str, named: str, path: str, value: Any, finding: str):
    found = rules.every_rule(planted(prod, type_name, named, path, value))
    assert any(finding in each for each in found), found


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("/v1/feed?limit=20", "feed"),
        ("/v1/config", "feed"),
        ("/v1/videos/vid_1", "feed"),
        ("/v1/videos?ids=vid_1,vid_2", "feed"),
        ("/v1/privacy/erase", "feed"),
        ("/health", "feed"),
        ("/v1/events/batch", "events"),
        ("/V1/Events/Batch", "events"),
        ("/v1/cms/videos/vid_1", "cms"),
        ("/v1/cms/imports", "imports"),
        ("/v1/cms/imports/job_1", "imports"),
        ("/v1/cms/importsx", "cms"),
        ("/v1/cms/history", "imports"),
        ("/v1/cms/history/job_1", "imports"),
        ("/v1/stories", "stories"),
        ("/v1/stories?limit=20", "stories"),
        ("/v1/stories/01KB8ZKQ3V5WJ4Y8N2T6R1C9XD-2/report", "stories"),
        ("/v1/storiesx", "feed"),
        ("/v1/search?q=lake", "search"),
        ("/v1/searches", "feed"),
        ("/v1/me/events", "feed"),
        ("/v1/uploads", "feed"),
        ("/studio", "cms"),
        ("/studio/app.js", "cms"),
        ("/studiox", "feed"),
    ],
)
def test_each_path_gets_its_policy(prod: Snapshot, path: str, policy: str):
    assert Firewall.of(prod).policy_of(path).name == policy


def test_search_words_are_excluded_only_in_the_search_policy(prod: Snapshot) -> None:
    firewall = Firewall.of(prod)
    free = {
        policy.name
        for policy in firewall.policies.values()
        if {"matchVariable": "RequestArgNames", "selectorMatchOperator": "Equals", "selector": "q"} in policy.exclusions
    }
    assert free == {"search"}
    assert firewall.policy_of("/v1/search").silent() == firewall.policy_of("/v1/feed").silent()


def test_every_pattern_leads_to_an_endpoint(prod: Snapshot):
    routes = [f"/{route}" for route in routes_by_function().values() if route]
    for rule in Firewall.of(prod).path_rules:
        for pattern in rule.patterns:
            assert any(fits(pattern, route) for route in routes), pattern


def test_the_firewall_blocks_debug_and_lets_the_api_through(prod: Snapshot):
    by_name = {rule["name"]: rule for rule in Firewall.of(prod).policy_of("/").custom_rules}

    def matches(name: str, uri: str) -> bool:
        return re.search(by_name[name]["matchConditions"][0]["matchValues"][0], uri.lower()) is not None

    def passes(uri: str) -> bool:
        return not matches("BlockDebugAndHost", uri) and matches("BlockUnknownPaths", uri)

    for route in filter(None, routes_by_function().values()):
        assert passes(f"/{route}") is not route.startswith("v1/debug"), route
    for uri in ("/v1/feed?limit=20&country=DE", "/v1/feed?cursor=a/debug/b", "/v1/cms/videos/abc", "/studio/app.js"):
        assert passes(uri), uri
    for uri in ("/V1/Debug/user-signals", "/v1//debug/x", "/v1/./debug", "/v1/x/../debug/y", "/admin/host/keys", "/"):
        assert not passes(uri), uri
