from __future__ import annotations

from typing import Any

import pytest

from shared.adapters.flags.evaluation import PERSONALIZED_FEED, Flags, Verdict
from shared.adapters.flags.port import FlagsUnavailable


class Source:
    """A flag source controlled by the test: a list of flags, None for no change, or an error."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def load(self) -> dict[str, Any] | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return None if self.answer is None else {"feature_management": {"feature_flags": self.answer}}

    async def close(self) -> None:
        pass


def flag(enabled: bool = True, **audience: Any) -> dict[str, Any]:
    filters = [{"name": "Microsoft.Targeting", "parameters": {"Audience": audience}}] if audience else []
    return {"id": PERSONALIZED_FEED, "enabled": enabled, "conditions": {"client_filters": filters}}


async def verdict(flags: Flags, tenant: str = "tenant_1", user: str = "user") -> Verdict:
    return flags.ask(PERSONALIZED_FEED, tenant, user)


async def test_flags_are_unknown_before_the_first_read() -> None:
    flags = Flags(Source([flag()]))
    assert await verdict(flags) is Verdict.UNKNOWN
    assert flags.loaded_at is None


async def test_the_last_known_flags_stay_in_force_while_the_source_is_down() -> None:
    source = Source([flag()])
    flags = Flags(source)
    await flags.refresh(1.0)
    source.answer = FlagsUnavailable("down")
    with pytest.raises(FlagsUnavailable):
        await flags.refresh(2.0)
    assert await verdict(flags) is Verdict.ON
    assert flags.loaded_at == 1.0


async def test_unchanged_answer_confirms_known_flags_and_is_refused_before_the_first() -> None:
    source = Source(None)
    flags = Flags(source)
    with pytest.raises(FlagsUnavailable):
        await flags.refresh(1.0)
    source.answer = [flag(False)]
    await flags.refresh(2.0)
    source.answer = None
    await flags.refresh(3.0)
    assert flags.loaded_at == 3.0
    assert await verdict(flags) is Verdict.SWITCHED_OFF


async def test_disabled_flag_overrides_targeting_and_an_undefined_flag_is_not_on() -> None:
    flags = Flags(Source([flag(False, DefaultRolloutPercentage=100)]))
    await flags.refresh(1.0)
    assert await verdict(flags) is Verdict.SWITCHED_OFF
    assert flags.ask("another-flag", "tenant_1", "user") is Verdict.UNKNOWN


async def test_tenant_is_targeted_as_a_group_and_a_user_share_is_stable() -> None:
    groups = [{"Name": "tenant_1", "RolloutPercentage": 100}]
    flags = Flags(Source([flag(Groups=groups, DefaultRolloutPercentage=0)]))
    await flags.refresh(1.0)
    assert await verdict(flags) is Verdict.ON
    assert await verdict(flags, tenant="tenant_2") is Verdict.NOT_TARGETED
    half = Flags(Source([flag(DefaultRolloutPercentage=50)]))
    await half.refresh(1.0)
    users = [f"user-{n}" for n in range(400)]
    first = [await verdict(half, user=user) for user in users]
    assert first == [await verdict(half, user=user) for user in users]
    assert 140 < first.count(Verdict.ON) < 260
    wider = Flags(Source([flag(DefaultRolloutPercentage=80)]))
    await wider.refresh(1.0)
    second = [await verdict(wider, user=user) for user in users]
    taken_out = [pair for pair in zip(first, second, strict=True) if pair == (Verdict.ON, Verdict.NOT_TARGETED)]
    assert taken_out == [], "widening a roll-out takes nobody out"
