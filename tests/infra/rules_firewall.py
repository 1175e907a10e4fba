"""Rules of the firewall's policies: functions from a snapshot to findings."""

from __future__ import annotations

from tests.infra.default_rule_set import RULE_SET, has
from tests.infra.firewall import Firewall
from tests.infra.snapshot import Snapshot

CUSTOM_RULES = ["BlockDebugAndHost", "BlockUnknownPaths", "LimitCmsAndPrivacy", "LimitEverything"]
COMPRESSED = ("/v1/events/batch", "/v1/cms/imports", "/v1/cms/history")
"""Paths that accept compressed bodies, which the firewall cannot read and refuses where it inspects bodies."""
OF_THE_HEADER = "920450"
"""The rule that refuses headers, `Content-Encoding` among them."""
LOUD_RULES = {"300300", "300700", "920300", "920320"}
"""Rules that match nearly every request of a phone."""
SENSITIVE_HEADERS = ("X-User", "X-User-Token", "X-Api-Key")
LARGEST_INSPECTED_KB = 1_024


def every_rule(made: Snapshot) -> list[str]:
    """Findings of every rule of this module."""
    firewall = Firewall.of(made)
    if found := policies(firewall):
        return found
    rules = (custom_rules, overrides, bodies, logs, *((mode,) if made.environment == "prod" else ()))
    return [finding for rule in rules for finding in rule(firewall)]


def policies(firewall: Firewall) -> list[str]:
    """Every path has a policy defined here, and every policy a path."""
    used = {rule.name: rule.policy_id for rule in firewall.path_rules} | {"every other path": firewall.default_id}
    found = [f"{path}: no policy of the firewall" for path, id in used.items() if id not in firewall.policies]
    return found + [f"{id}: no path has this policy" for id in firewall.policies if id not in used.values()]


def custom_rules(firewall: Firewall) -> list[str]:
    """No policy lacks a custom rule: the policy of a path replaces that of the gateway, with its rules."""
    names = {id: [rule["name"] for rule in policy.custom_rules] for id, policy in firewall.policies.items()}
    found = [f"{id}: it must have the rules {CUSTOM_RULES}" for id, each in names.items() if each != CUSTOM_RULES]
    same = {str(policy.custom_rules) for policy in firewall.policies.values()}
    return found if found or len(same) == 1 else ["the policies do not have the same custom rules"]


def mode(firewall: Firewall) -> list[str]:
    """Production refuses."""
    return [f"{id}: it refuses nothing" for id, policy in firewall.policies.items() if not policy.refuses]


def overrides(firewall: Firewall) -> list[str]:
    """Every override names a rule of the set: Azure refuses any other."""
    return [
        f"{policy.resource}: the rule set has no rule {each.rule} in {each.group}"
        for policy in firewall.policies.values()
        for each in policy.overrides()
        if each.rule_set == RULE_SET[0] and not has(each.group, each.rule)
    ]


def bodies(firewall: Firewall) -> list[str]:
    """Bodies that can be compressed are not inspected; others are, up to their size limit."""
    found = []
    for path in COMPRESSED:
        policy = firewall.policy_of(path)
        if policy.setting("requestBodyCheck") is not False:
            found.append(f"{path}: a compressed body is refused as one that cannot be read")
        if OF_THE_HEADER not in policy.silent():
            found.append(f"{path}: a compressed body is refused for its Content-Encoding")
    for policy in firewall.policies.values():
        limit = policy.setting("requestBodyInspectLimitInKB")
        if policy.setting("requestBodyCheck") and (limit or 0) < LARGEST_INSPECTED_KB:
            found.append(f"{policy.resource}: a body is cut before it is inspected, which may count as an error")
        if policy.setting("requestBodyEnforcement") is not False:
            found.append(f"{policy.resource}: it says how large a body may be, which the endpoint decides")
    return found


def logs(firewall: Firewall) -> list[str]:
    """Headers that identify a user or grant access are scrubbed in either case, and no rule logs every request."""
    found = []
    for policy in firewall.policies.values():
        scrubbed = {each.get("selector") for each in policy.setting("logScrubbing")["scrubbingRules"]}
        for name in SENSITIVE_HEADERS:
            missing = [each for each in (name, name.lower()) if each not in scrubbed]
            found += [f"{policy.resource}: {each} reaches the log" for each in missing]
        loud = sorted(LOUD_RULES - policy.silent())
        found += [f"{policy.resource}: rule {rule} logs nearly every request" for rule in loud]
    return found
