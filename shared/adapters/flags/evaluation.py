"""Evaluates feature flags for a tenant and a user, and lists every flag of the app (`FLAGS`).

- Off beats every filter. A flag that is not defined has its default.
- When the source cannot be read, the last known flags stay in force.
- Nothing is personalized while the kill switch `personalized-feed` is unknown: before the first successful read, and
  while its record is missing or unreadable.
- Each record is read alone (`definition.py`). An unreadable ("odd") one is skipped, logged once, and changes no other.
- Where several records have one id, the flag is on only where all of them say so.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.adapters.flags.definition import REASONS, Definition, Judge, read_flag
from shared.adapters.flags.port import FlagSource, FlagsUnavailable
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.flags")

PERSONALIZED_FEED = "personalized-feed"
DARK_LAUNCH = "dark-launch"
EXPLORATION = "exploration"
CO_WATCH = "co-watch"
NEW_DIVERSIFIER = "use-new-diversifier"
ARCHIVE = "archive"
LEAN_READS = "lean-reads"
AUTO_MODELS = "auto-models"
LEAN_WRITES = "lean-writes"
STORIES = "stories"
STORY_LIVE = "story-live"
STORY_RANKED = "story-ranked"
LIVE_FRAMES_FULL = "live-frames-full"


@dataclass(frozen=True, slots=True)
class Flag:
    """Description of a flag. `default` holds while the flag is not defined, or its source was never read.

    `tenants`: whether tenants can set it in their own `featureFlags`. They can only switch it off.
    """

    help: str
    default: bool
    tenants: bool = False


FLAGS: dict[str, Flag] = {
    PERSONALIZED_FEED: Flag(
        "The kill switch. On: feeds are personalized. Off: everyone gets the popular feed. With "
        "`Microsoft.Targeting`: on for some tenants (groups) or for a sticky share of users.",
        default=False,
        tenants=True,
    ),
    DARK_LAUNCH: Flag(
        "Compares both feeds for the users it targets: they get the popular one (reason `dark_launch`), the "
        "personalized one is computed too, and metrics record the difference. It also applies to users outside the "
        "roll-out, and users inside it lose their personalized feed: target a small share.",
        default=False,
    ),
    EXPLORATION: Flag(
        "Gives one place of a personalized page to a video that few people have seen, with a known propensity. Off: "
        "the ranking alone fills the page.",
        default=True,
        tenants=True,
    ),
    CO_WATCH: Flag(
        "Ranks with co-watch scores: videos watched by the same people. Off: the model ranks without them.",
        default=True,
        tenants=True,
    ),
    NEW_DIVERSIFIER: Flag(
        "Avoids similar videos on a page, besides long runs of one category. Off: only the runs are limited.",
        default=True,
        tenants=True,
    ),
    ARCHIVE: Flag(
        "Writes accepted events to the archive. Off: they count in signals and statistics only; evaluations, the "
        "nightly learning and experiment reports never see them.",
        default=True,
        tenants=True,
    ),
    AUTO_MODELS: Flag(
        "Promotes models that a tenant's nightly learning finds better. Off: nothing new is promoted. A model in "
        "service stays, and is still withdrawn when its users watch less than the holdout.",
        default=True,
    ),
    LEAN_READS: Flag(
        "Reads documents by id without the SDK of Cosmos DB, which takes most of a read's CPU. After an unusual "
        "answer the SDK reads again. Off: the SDK does every read. Needs COSMOS_ENDPOINT.",
        default=False,
    ),
    LEAN_WRITES: Flag(
        "Writes batches of one partition without the SDK of Cosmos DB, which takes most of a write's CPU. The SDK "
        "sends a batch again only if the service has certainly not begun with it. Off: the SDK does every write. "
        "Needs COSMOS_ENDPOINT.",
        default=False,
    ),
    STORIES: Flag(
        "Switches on people, follows, stories and uploads. Off: their routes answer 404 and nothing of them is "
        "loaded. Target tenants, not users.",
        default=False,
        tenants=True,
    ),
    STORY_LIVE: Flag(
        "Notifies authors at once of views of their stories and of reactions. Off: apps ask `GET /v1/me/events`. "
        "Target tenants, not users.",
        default=False,
        tenants=True,
    ),
    STORY_RANKED: Flag(
        "Ranks the stories row for `GET /v1/stories?order=ranked`. Off: newest first, whatever order is asked for. "
        "While `personalized-feed` is off, nothing is ranked either. Target tenants, not users.",
        default=False,
        tenants=True,
    ),
    LIVE_FRAMES_FULL: Flag(
        "Sends live notifications with full content: who did what. Ids of viewers then pass through Web PubSub, "
        'which is outside the network. Off: each frame is only `{"type": "new"}`. Target tenants, not users.',
        default=False,
        tenants=True,
    ),
}
"""Every flag the code evaluates, by name. The feature flags of a tenant are checked against it too."""


def wrong_tenant_flags(flags: Mapping[str, object]) -> dict[str, str]:
    """Return the faults of a tenant's feature flags: by name, the end of a sentence. Empty when all are valid."""
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
    """Verdict of a flag for one tenant and user."""

    ON = "on"
    SWITCHED_OFF = "switched_off"
    NOT_TARGETED = "not_targeted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class _Known:
    """All records of one flag together: off in one of them is off."""

    off: bool
    unknown: bool
    nobody: bool
    excluded: frozenset[str]
    judges: tuple[Judge, ...]

    @classmethod
    def of(cls, records: Iterable[Definition]) -> _Known:
        records = tuple(records)
        return cls(
            off=any(each.off for each in records),
            unknown=any(each.odd is not None and not each.enabled for each in records),
            nobody=any(each.odd is not None and each.enabled for each in records),
            excluded=frozenset().union(*(each.excluded for each in records)),
            judges=tuple(each.judge for each in records if each.judge is not None),
        )


@dataclass(frozen=True, slots=True)
class _State:
    """Every flag of one read. `odd`: (name, reason) of each odd record; the name is empty where the record has none."""

    known: Mapping[str, _Known]
    odd: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, records: Iterable[Any]) -> _State:
        by_name: dict[str, list[Definition]] = {}
        odd: set[tuple[str, str]] = set()
        for definition in (read_flag(record, FLAGS) for record in records):
            if definition.odd is not None:
                odd.add((definition.name, definition.odd))
            if definition.name:
                by_name.setdefault(definition.name, []).append(definition)
        odd |= {(name, "duplicate_id") for name, found in by_name.items() if len(found) > 1}
        return cls({name: _Known.of(found) for name, found in by_name.items()}, frozenset(odd))


class Flags:
    """The flags in force. `loaded_at`: the `now` of the last successful `refresh`; None before it."""

    def __init__(self, source: FlagSource, telemetry: Telemetry | None = None) -> None:
        self._source = source
        self._telemetry = telemetry or Telemetry()
        self._state: _State | None = None
        self._pending: dict[str, Any] | None = None
        self._failed: set[str] = set()
        self.loaded_at: float | None = None

    async def refresh(self, now: float) -> None:
        """Read the source again. Raises `FlagsUnavailable`; the flags known before stay in force."""
        loaded = await self._source.load()
        if loaded is not None:
            self._pending = loaded  # kept until in force: a later "nothing changed" must not confirm unapplied flags
        if self._pending is not None:
            self._install(_State.of(self._pending["feature_management"]["feature_flags"]))
            self._pending = None
        elif self._state is None:
            raise FlagsUnavailable("the source has not answered with flags yet")
        self.loaded_at = now

    def _install(self, state: _State) -> None:
        before = self._state.odd if self._state is not None else frozenset()
        self._state = state
        self._failed.clear()
        for name, reason in sorted(state.odd - before):
            log_event(log, logging.WARNING, "flag_odd", flag=_shown(name), reason=reason)
        for name, reason in sorted(before - state.odd):
            log_event(log, logging.INFO, "flag_repaired", flag=_shown(name), reason=reason)
        counted = Counter(reason for _, reason in state.odd)
        for reason in REASONS:
            self._telemetry.gauge("flags_odd", float(counted[reason]), reason)
        for name, flag in FLAGS.items():
            known = state.known.get(name)
            on = flag.default if known is None or known.unknown else True
            self._telemetry.gauge("flags_on", float(on and not (known is not None and known.off)), name)

    def ask(self, flag: str, tenant_id: str, user_key: str) -> Verdict:
        """Evaluate `flag` for this user of this tenant. Targeting sees the tenant as a group.

        A tenant that the targeting excludes by name gets SWITCHED_OFF. A flag with an unknown filter or odd parameters
        is on for nobody: NOT_TARGETED. Reads memory only, and never raises.
        """
        known = self._state.known.get(flag) if self._state is not None else None
        if known is None:
            return Verdict.UNKNOWN
        if known.off or tenant_id in known.excluded:
            return Verdict.SWITCHED_OFF
        if known.unknown:
            return Verdict.UNKNOWN
        if known.nobody:
            return Verdict.NOT_TARGETED
        if not known.judges:
            return Verdict.ON
        try:
            on = all(judge(tenant_id, user_key) for judge in known.judges)
        except Exception as error:  # for values that it cannot read, the library raises many errors
            self._report_failure(flag, error)
            return Verdict.NOT_TARGETED
        return Verdict.ON if on else Verdict.NOT_TARGETED

    def _report_failure(self, flag: str, error: Exception) -> None:
        self._telemetry.count("flag_failures", flag)
        if flag not in self._failed:
            self._failed.add(flag)
            log_event(log, logging.WARNING, "flag_failed", flag=_shown(flag), error=type(error).__name__)

    def on(self, flag: str, tenant_id: str, user_key: str = "", own: Mapping[str, bool] | None = None) -> bool:
        """Return whether `flag` is on by its definition, else by its default. `own`: the tenant's feature flags,
        which can only switch off.
        """
        verdict = self.ask(flag, tenant_id, user_key)
        on = FLAGS[flag].default if verdict is Verdict.UNKNOWN else verdict is Verdict.ON
        return on and not (own is not None and FLAGS[flag].tenants and own.get(flag) is False)

    def state(self) -> dict[str, bool]:
        """Return the own switch of every flag that can be read, for operators."""
        known = self._state.known if self._state is not None else {}
        return {name: not each.off for name, each in known.items() if each.off or not each.unknown}

    async def close(self) -> None:
        await self._source.close()


WHAT_IS_READ = """\
- In App Configuration: the key-values `.appconfig.featureflag/*` without a label. Each record is read alone. An
  unreadable ("odd") one is skipped and changes no other. The log has one line `flag_odd`; the metric `flags_odd` counts
  the record until it is repaired (`flag_repaired`).
- `"enabled": false` is off, whatever the rest of the record looks like.
- A flag is *unknown* before the first read, while it is not defined (also when all were deleted), and while its record
  cannot be read. Its default holds; for `personalized-feed` that is the popular feed, with the reason
  `flags_unavailable`.
- A flag that is enabled, but has unreadable filters or variants, is on for nobody.
- Microsoft's `featuremanagement` evaluates filters and variants: `Microsoft.Targeting` with numbers,
  `Microsoft.TimeWindow` with times as in RFC 1123 (`Wed, 01 Jan 2025 00:00:00 GMT`), no other filter.
- Several records with one id: the flag is on only where all of them say so. When you switch it on, the tool names the
  records that keep it off and ends with exit code 1.
""".splitlines()


def _shown(name: str) -> str:
    """A flag's name for the log; `?` for an unusual one, since other apps can write any text there."""
    return name if re.fullmatch(r"[\w.:-]{1,80}", name) else "?"


def as_markdown() -> str:
    """Return the text of `docs/flags.md`."""
    lines = [
        "# Feature flags",
        "",
        "For operators: every feature flag, its default, and how to switch it.",
        "",
        "Flags live in App Configuration, or in a JSON file of the same schema. The app reads them at least every 20 s",
        "and keeps the last known state when that fails. Switch one with",
        "`make switch FLAG=… TO=on|off [TENANT=…]`, which keeps tags and everything else of the record.",
        "Generated by `python -m shared.adapters.flags.evaluation > docs/flags.md`.",
        "",
        "| flag | default | a tenant may switch it off | what it does |",
        "|---|---|---|---|",
    ]
    for name, flag in FLAGS.items():
        default, tenants = ("on" if flag.default else "off"), ("yes" if flag.tenants else "no")
        lines.append(f"| `{name}` | {default} | {tenants} | {flag.help} |")
    lines += [
        "",
        "## What is read",
        "",
        *WHAT_IS_READ,
        "",
        "| `reason` of an odd flag | |",
        "|---|---|",
        *(f"| `{reason}` | {meaning} |" for reason, meaning in REASONS.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
