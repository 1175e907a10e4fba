"""Evaluates feature flags with Microsoft's `featuremanagement`, from whatever source holds them.

A flag that is switched off beats every filter; a flag nobody defined has its default from `FLAGS`. The last known
flags stay in force when the source cannot be read; before the first successful read the state of the kill switch is
not known, and nothing is personalized.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from featuremanagement import FeatureManager, TargetingContext

from shared.adapters.flags.port import FlagSource, FlagsUnavailable
from shared.adapters.flags.switching import excluded_groups
from shared.observability.metrics import Telemetry

PERSONALIZED_FEED = "personalized-feed"
DARK_LAUNCH = "dark-launch"
EXPLORATION = "exploration"
CO_WATCH = "co-watch"
NEW_DIVERSIFIER = "use-new-diversifier"
ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Flag:
    """What a flag does. `default` holds while nobody has defined it, or its source was never read.

    `tenants` may set it in their own `featureFlags`, where they can only switch off what is on for them.
    """

    help: str
    default: bool
    tenants: bool = False


FLAGS: dict[str, Flag] = {
    PERSONALIZED_FEED: Flag(
        "The kill switch. Off: every feed is the plain popular one, for everyone. "
        "With `Microsoft.Targeting`: on for some tenants (groups) or a sticky share of users.",
        default=False,
        tenants=True,
    ),
    DARK_LAUNCH: Flag(
        "For the users it targets both feeds are computed, the popular one is served (reason `dark_launch`), and how "
        "the two differ is recorded beside the request. Reaches users outside the roll-out and holds back users "
        "inside it, so target a small share.",
        default=False,
    ),
    EXPLORATION: Flag(
        "One place of a personalized page for a video that few have seen yet, with a known propensity.",
        default=True,
        tenants=True,
    ),
    CO_WATCH: Flag(
        "Videos watched by the same people count in the ranking. Off: the model ranks without them.",
        default=True,
        tenants=True,
    ),
    NEW_DIVERSIFIER: Flag(
        "A page avoids videos that are alike, not just runs of one category. Off: the cap on runs alone.",
        default=True,
        tenants=True,
    ),
    ARCHIVE: Flag(
        "Accepted events are written to the archive. Off: they count in signals and statistics only, and are in no "
        "evaluation and no experiment's report.",
        default=True,
        tenants=True,
    ),
}
"""Every flag the code asks for. A tenant's own feature flags are checked against the same table."""


def wrong_tenant_flags(flags: Mapping[str, object]) -> dict[str, str]:
    """What is wrong with a tenant's feature flags, by name, as the end of a sentence; empty when nothing is."""
    known = ", ".join(name for name, flag in FLAGS.items() if flag.tenants)
    wrong = {}
    for name, value in flags.items():
        if not isinstance(value, bool):
            wrong[name] = "must be true or false."
        elif name not in FLAGS:
            wrong[name] = f"is not a flag. A tenant may set: {known}."
        elif not FLAGS[name].tenants:
            wrong[name] = f"is switched by operators only. A tenant may set: {known}."
    return wrong


class Verdict(StrEnum):
    """What a flag says for one tenant and user."""

    ON = "on"
    SWITCHED_OFF = "switched_off"
    NOT_TARGETED = "not_targeted"
    UNKNOWN = "unknown"


class Flags:
    """The flags in force. `loaded_at` is when they were last confirmed (seconds since the epoch), None before that."""

    def __init__(self, source: FlagSource, telemetry: Telemetry | None = None) -> None:
        self._source = source
        self._telemetry = telemetry or Telemetry()
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
        for name in FLAGS.keys() & self._enabled.keys():
            self._telemetry.gauge("flags_on", float(self._enabled[name]), name)

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

    def on(self, flag: str, tenant_id: str, user_key: str = "", own: Mapping[str, bool] | None = None) -> bool:
        """Whether `flag` is on: as its definition says, else as its default does; `own` are the tenant's feature
        flags, which can switch off only.
        """
        verdict = self.ask(flag, tenant_id, user_key)
        on = FLAGS[flag].default if verdict is Verdict.UNKNOWN else verdict is Verdict.ON
        return on and not (own is not None and FLAGS[flag].tenants and own.get(flag) is False)

    def state(self) -> dict[str, bool]:
        """Every flag's own switch, for the operators' eyes."""
        return dict(self._enabled)

    async def close(self) -> None:
        await self._source.close()


def as_markdown() -> str:
    """The table as documentation; `docs/flags.md` is this text."""
    lines = [
        "# Feature flags",
        "",
        "In App Configuration, or in a JSON file of the same schema. Read again every 20 s at the latest, beside the",
        "requests; the last known state is kept when that fails. One is switched with",
        "`make switch FLAG=… TO=on|off [TENANT=…]`.",
        "Generated by `python -m shared.adapters.flags.evaluation > docs/flags.md`.",
        "",
        "| flag | default | a tenant may switch it off | what it does |",
        "|---|---|---|---|",
    ]
    for name, flag in FLAGS.items():
        default, tenants = ("on" if flag.default else "off"), ("yes" if flag.tenants else "no")
        lines.append(f"| `{name}` | {default} | {tenants} | {flag.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
