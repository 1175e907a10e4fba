"""Contract of every flag source."""

from __future__ import annotations

from typing import Any

import pytest
from featuremanagement import FeatureManager, TargetingContext

from shared.adapters.flags.port import FlagsUnavailable
from tests.contracts.backends import FlagsRig

ON: dict[str, Any] = {"id": "personalized-feed", "enabled": True}
OFF: dict[str, Any] = {"id": "personalized-feed", "enabled": False}
FOR_TENANT_1: dict[str, Any] = {
    "id": "personalized-feed",
    "enabled": True,
    "conditions": {
        "client_filters": [
            {
                "name": "Microsoft.Targeting",
                "parameters": {
                    "Audience": {
                        "Users": [],
                        "Groups": [{"Name": "tenant_1", "RolloutPercentage": 100}],
                        "DefaultRolloutPercentage": 0,
                    }
                },
            }
        ]
    },
}


def switches(loaded: dict[str, Any] | None) -> dict[str, bool]:
    assert loaded is not None
    return {flag["id"]: flag["enabled"] for flag in loaded["feature_management"]["feature_flags"]}


async def test_first_load_returns_every_flag(flags: FlagsRig) -> None:
    await flags.put([ON, {"id": "other", "enabled": False}])

    assert switches(await flags.port.load()) == {"personalized-feed": True, "other": False}


async def test_load_without_a_change_returns_none(flags: FlagsRig) -> None:
    await flags.put([ON])
    await flags.port.load()

    assert await flags.port.load() is None
    assert await flags.port.load() is None


async def test_change_returns_the_whole_set_once(flags: FlagsRig) -> None:
    await flags.put([ON, {"id": "other", "enabled": True}])
    await flags.port.load()

    await flags.put([OFF, {"id": "other", "enabled": True}])

    assert switches(await flags.port.load()) == {"personalized-feed": False, "other": True}
    assert await flags.port.load() is None


async def test_every_flip_is_seen_however_quickly_it_follows_the_last(flags: FlagsRig) -> None:
    for flag in [ON, OFF, ON, OFF]:
        await flags.put([flag])
        assert switches(await flags.port.load()) == {"personalized-feed": flag["enabled"]}


async def test_added_and_removed_flags_are_changes(flags: FlagsRig) -> None:
    await flags.put([ON])
    await flags.port.load()

    await flags.put([ON, {"id": "other", "enabled": True}])
    assert switches(await flags.port.load()) == {"personalized-feed": True, "other": True}
    await flags.put([{"id": "other", "enabled": True}])
    assert switches(await flags.port.load()) == {"other": True}


async def test_loaded_flags_are_what_the_feature_manager_evaluates(flags: FlagsRig) -> None:
    await flags.put([FOR_TENANT_1])
    loaded = await flags.port.load()
    assert loaded is not None

    manager = FeatureManager(loaded)

    assert manager.is_enabled("personalized-feed", TargetingContext(user_id="u", groups=["tenant_1"]))
    assert not manager.is_enabled("personalized-feed", TargetingContext(user_id="u", groups=["tenant_2"]))


async def test_invalid_source_is_unavailable_on_every_load(flags: FlagsRig) -> None:
    await flags.put([ON])
    await flags.port.load()
    await flags.break_it()

    for _ in range(3):
        with pytest.raises(FlagsUnavailable):
            await flags.port.load()


async def test_recovered_source_returns_what_changed_meanwhile(flags: FlagsRig) -> None:
    await flags.put([ON])
    await flags.port.load()
    await flags.break_it()
    with pytest.raises(FlagsUnavailable):
        await flags.port.load()

    await flags.put([OFF])

    assert switches(await flags.port.load()) == {"personalized-feed": False}


async def test_source_broken_at_first_works_once_repaired(flags: FlagsRig) -> None:
    await flags.break_it()
    with pytest.raises(FlagsUnavailable):
        await flags.port.load()

    await flags.put([ON])

    assert switches(await flags.port.load()) == {"personalized-feed": True}


async def test_close_can_be_called_twice(flags: FlagsRig) -> None:
    await flags.put([ON])
    await flags.port.load()
    await flags.port.close()
    await flags.port.close()
