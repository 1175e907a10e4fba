"""Translates a snapshot's policies to a configuration of ModSecurity."""

from __future__ import annotations

import pytest

from feed.narrowing import FILTERS
from tests.firewall.configuration import directives, public_rules, rule_files, switched_off
from tests.firewall.guarded import deployed
from tests.firewall.server import how_to_get_them, missing_packages
from tests.skip_reasons import leave_out


@pytest.fixture(scope="module")
def public() -> list[str]:
    if missing_packages():
        leave_out(how_to_get_them(), unless="CI")
    return public_rules(rule_files())


def test_rule_missing_from_the_rule_set_is_off(public: list[str]) -> None:
    assert len(public) > 150
    off = switched_off(deployed().policy_of("/v1/feed"), public)
    assert "932200" in off
    assert "942100" not in off


def test_replaced_rule_is_off_when_both_are(public: list[str]) -> None:
    firewall = deployed()
    feed, cms = (switched_off(firewall.policy_of(path), public) for path in ("/v1/feed", "/v1/cms/videos"))
    assert "942440" not in feed
    assert "942440" in cms, "942440 and 99031002 both only log there"


def test_configuration_contains_what_the_policies_specify(public: list[str]) -> None:
    firewall = deployed()
    feed, events = (list(directives(firewall.policy_of(path), public)) for path in ("/v1/feed", "/v1/events/batch"))
    assert "SecRequestBodyAccess On" in feed
    assert "SecRequestBodyAccess Off" in events
    assert "SecRequestBodyLimit 2048000" in feed
    assert "SecRuleRemoveById 920300" in feed
    assert "SecRuleRemoveById 920450" in events
    assert any("ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS:cursor" in line for line in feed)
    assert any("/(debug|admin|runtime)" in line and "deny" in line for line in events)
    assert "SecRuleEngine DetectionOnly" in directives(deployed("dev").policy_of("/v1/feed"), public)


def test_no_rule_inspects_both_feed_filters_and_all_other_parameters() -> None:
    """Each filter of the feed, by its name: a filter added later must be excluded here first."""
    left_out = {each["selector"] for each in deployed().policy_of("/v1/feed").exclusions if "ArgNames" in str(each)}
    assert left_out == {"cursor", *FILTERS}
