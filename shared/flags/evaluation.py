"""Evaluates feature flags with Microsoft's `featuremanagement`, from whatever source holds them.

A flag that is switched off beats every filter; a flag nobody defined is off. The last known flags stay in force when
the source cannot be read; before the first successful read every flag is off, which is the safe answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from featuremanagement import FeatureManager, TargetingContext

from shared.flags.port import FlagSource, FlagsUnavailable
from shared.flags.switching import excluded_groups

PERSONALIZED_FEED = "personalized-feed"

FLAGS: dict[str, str] = {
    PERSONALIZED_FEED: "The kill switch. Off: every feed is the plain popular one, for everyone. "
    "With `Microsoft.Targeting`: on for some tenants (groups) or a sticky share of users.",
}
"""Every flag the code asks for, and what it does."""


class Verdict(StrEnum):
    """What a flag says for one tenant and user."""

    ON = "on"
    SWITCHED_OFF = "switched_off"
    NOT_TARGETED = "not_targeted"
    UNKNOWN = "unknown"


class Flags:
    """The flags in force. `loaded_at` is when they were last confirmed (seconds since the epoch), None before that."""

    def __init__(self, source: FlagSource) -> None:
        self._source = source
        self._manager: FeatureManager | None = None
        self._enabled: dict[str, bool] = {}
        self._filtered: set[str] = set()
        self._excluded: dict[str, frozenset[str]] = {}
        self.loaded_at: float | None = None

    async def refresh(self, now: float) -> None:
        """Read the source again. Raises `FlagsUnavailable`; the flags held so far stay in force."""
        loaded = await self._source.load()
        if loaded is not None:
            self._install(loaded)
        elif self._manager is None:
            raise FlagsUnavailable("the source has not answered with flags yet")
        self.loaded_at = now

    def _install(self, loaded: dict[str, Any]) -> None:
        flags = loaded["feature_management"]["feature_flags"]
        self._enabled = {flag["id"]: flag.get("enabled") is True for flag in flags}
        self._filtered = {flag["id"] for flag in flags if (flag.get("conditions") or {}).get("client_filters")}
        self._excluded = {flag["id"]: excluded_groups(flag) for flag in flags}
        self._manager = FeatureManager(loaded)

    def ask(self, flag: str, tenant_id: str, user_key: str) -> Verdict:
        """Whether `flag` is on for this user of this tenant: targeting sees the tenant as a group.

        A tenant that the targeting excludes by name is switched off, as by a kill switch of its own.

        Reads memory only. A filter that raises (an unknown kind, odd parameters) answers NOT_TARGETED.
        """
        enabled = self._enabled.get(flag)
        if enabled is None or self._manager is None:
            return Verdict.UNKNOWN
        if not enabled or tenant_id in self._excluded[flag]:
            return Verdict.SWITCHED_OFF
        if flag not in self._filtered:
            return Verdict.ON
        try:
            context = TargetingContext(user_id=user_key, groups=[tenant_id])
            on = self._manager.is_enabled(flag, context)  # type: ignore[call-overload]
        except Exception:  # the library raises many kinds for a filter it does not know
            return Verdict.NOT_TARGETED
        return Verdict.ON if on else Verdict.NOT_TARGETED

    def state(self) -> dict[str, bool]:
        """Every flag's own switch, for the operators' eyes."""
        return dict(self._enabled)

    async def close(self) -> None:
        await self._source.close()
