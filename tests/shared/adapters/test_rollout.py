"""Rollout by percentage, and the table of flags."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest

from commands.seed_flags import first_flags
from shared.adapters.flags.evaluation import (
    ARCHIVE,
    DARK_LAUNCH,
    EXPLORATION,
    FLAGS,
    PERSONALIZED_FEED,
    Flags,
    Verdict,
    as_markdown,
    wrong_tenant_flags,
)
from shared.adapters.flags.switching import switched
from shared.domain.keys import Identity
from tests.served_app import ROOT, new_user

TENANT = "tenant_1"
USERS = 10_000


class Held:
    """A flag source with given flags."""

    def __init__(self, *flags: dict[str, Any]) -> None:
        self.flags = list(flags)

    async def load(self) -> dict[str, Any]:
        return {"feature_management": {"feature_flags": self.flags}}

    async def close(self) -> None:
        pass


async def flags(*given: dict[str, Any]) -> Flags:
    flags = Flags(Held(*given))
    await flags.refresh(0.0)
    return flags


def rollout(percent: float, name: str = PERSONALIZED_FEED, **audience: Any) -> dict[str, Any]:
    parameters = {"Audience": {"DefaultRolloutPercentage": percent, **audience}}
    filters = [{"name": "Microsoft.Targeting", "parameters": parameters}]
    return {"id": name, "enabled": True, "conditions": {"client_filters": filters}}


@pytest.fixture(scope="module")
def users() -> list[str]:
    identity = Identity(base64.b64encode(bytes(32)).decode())
    return [identity.user_key(TENANT, new_user()) for _ in range(USERS)]


async def those_in(percent: float, users: list[str], name: str = PERSONALIZED_FEED) -> set[str]:
    asked = await flags(rollout(percent, name))
    return {user for user in users if asked.ask(name, TENANT, user) is Verdict.ON}


def interval(percent: float) -> tuple[float, float]:
    """Return the range that a binomial count leaves only once in a million times."""
    share = percent / 100
    spread = 4.9 * math.sqrt(USERS * share * (1 - share))
    return USERS * share - spread, USERS * share + spread


async def test_raising_a_rollout_from_10_to_50_percent_keeps_everyone_included(users: list[str]) -> None:
    before, after = await those_in(10, users), await those_in(50, users)
    assert before < after


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
async def test_rollout_share_of_ten_thousand_users_is_within_its_interval(users: list[str], percent: int) -> None:
    low, high = interval(percent)
    assert low <= len(await those_in(percent, users)) <= high


async def test_nobody_is_included_at_0_and_everybody_at_100_percent(users: list[str]) -> None:
    assert await those_in(0, users[:500]) == set()
    assert await those_in(100, users[:500]) == set(users[:500])


async def test_two_flags_sample_users_independently(users: list[str]) -> None:
    one, other = await those_in(50, users), await those_in(50, users, DARK_LAUNCH)
    low, high = interval(25)
    assert low <= len(one & other) <= high


async def test_whole_tenant_can_be_included_and_a_single_one_excluded(users: list[str]) -> None:
    group = {"Groups": [{"Name": "tenant_2", "RolloutPercentage": 100}]}
    asked = await flags(rollout(0, **group))
    assert asked.ask(PERSONALIZED_FEED, "tenant_2", users[0]) is Verdict.ON
    assert asked.ask(PERSONALIZED_FEED, TENANT, users[0]) is Verdict.NOT_TARGETED
    document = switched(
        {"feature_management": {"feature_flags": [rollout(0, **group)]}}, PERSONALIZED_FEED, False, "tenant_2"
    )
    asked = await flags(*document["feature_management"]["feature_flags"])
    assert asked.ask(PERSONALIZED_FEED, "tenant_2", users[0]) is Verdict.SWITCHED_OFF


async def test_undefined_flag_has_its_default_before_and_after_the_first_read() -> None:
    for asked in (Flags(Held()), await flags()):
        assert {name for name in FLAGS if asked.on(name, TENANT, "user")} == {
            name for name, flag in FLAGS.items() if flag.default
        }
        assert asked.ask(PERSONALIZED_FEED, TENANT, "user") is Verdict.UNKNOWN


async def test_a_tenants_own_flag_switches_off_but_never_on() -> None:
    asked = await flags({"id": EXPLORATION, "enabled": True}, {"id": ARCHIVE, "enabled": False})
    assert asked.on(EXPLORATION, TENANT, own={})
    assert not asked.on(EXPLORATION, TENANT, own={EXPLORATION: False})
    assert not asked.on(ARCHIVE, TENANT, own={ARCHIVE: True})


async def test_tenant_cannot_change_an_operators_flag() -> None:
    asked = await flags({"id": DARK_LAUNCH, "enabled": True})
    assert asked.on(DARK_LAUNCH, TENANT, "user", {DARK_LAUNCH: False})


def test_tenant_flags_are_checked_against_the_table() -> None:
    assert wrong_tenant_flags({"use-new-diversifier": False, "exploration": True}) == {}
    wrong = wrong_tenant_flags({"use-newest-diversifier": True, "dark-launch": True, "archive": "no"})
    assert wrong.keys() == {"use-newest-diversifier", "dark-launch", "archive"}
    assert "use-new-diversifier" in wrong["use-newest-diversifier"]


def test_seeding_uses_defaults_and_personalization_only_when_asked() -> None:
    begin = {flag["id"]: flag["enabled"] for flag in first_flags(personalized=False)}
    assert begin == {name: flag.default for name, flag in FLAGS.items()}
    assert begin | {PERSONALIZED_FEED: True} == {flag["id"]: flag["enabled"] for flag in first_flags(personalized=True)}


def test_flags_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "flags.md").read_text() == as_markdown()
