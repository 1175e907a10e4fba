"""Evaluates feature flags, from whatever source holds them.

A flag that is switched off beats every filter; a flag nobody defined has its default from `FLAGS`. The last known
flags stay in force when the source cannot be read; before the first successful read, and while its record is missing
or cannot be read, the state of the kill switch is not known, and nothing is personalized.

Each record is read alone (`definition.py`). An odd one is passed over, reported once, and changes no other. Where
several records have one id, the flag is on only where all of them say so.
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
    """A flag and what it does. `default` holds while nobody has defined it, or its source was never read.

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
    AUTO_MODELS: Flag(
        "What a tenant's own learning finds better is promoted by the nightly job. Off: nothing new is promoted; what "
        "is served stays, and is still taken back when its users watch less than the holdout.",
        default=True,
    ),
    LEAN_READS: Flag(
        "Documents are read by id without the SDK of Cosmos DB, which takes most of a read's CPU. What is not plainly "
        "an answer is asked again through the SDK. Off: every read goes through the SDK.",
        default=False,
    ),
    LEAN_WRITES: Flag(
        "Batches of one partition are written without the SDK of Cosmos DB, which takes most of a write's CPU. Only "
        "what the service has certainly not begun with is sent again, through the SDK. Off: every write goes through "
        "the SDK.",
        default=False,
    ),
    STORIES: Flag(
        "People, follows and stories. Off: no route of theirs answers, as if there were none, and nothing of them is "
        "loaded. Target tenants, not users.",
        default=False,
        tenants=True,
    ),
    STORY_LIVE: Flag(
        "Authors are told at once who looked at their stories and who reacted. Off: they find it when they ask. Target "
        "tenants, not users.",
        default=False,
        tenants=True,
    ),
    STORY_RANKED: Flag(
        "`GET /v1/stories?order=ranked` is in the order of the ranking. Off: the newest first, whatever is asked for. "
        "`personalized-feed` stands above it. Target tenants, not users.",
        default=False,
        tenants=True,
    ),
    LIVE_FRAMES_FULL: Flag(
        "What authors are told at once says who did what, over Web PubSub too, which lies outside the network: ids of "
        'viewers then pass through it. Off: a frame is `{"type": "new"}` and no more. Target tenants, not users.',
        default=False,
        tenants=True,
    ),
}
"""Every flag the code asks for. A tenant's own feature flags are checked against the same table."""


def wrong_tenant_flags(flags: Mapping[str, object]) -> dict[str, str]:
    """Faults of a tenant's feature flags, by name, as the end of a sentence; empty when nothing is."""
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
    """All records of one flag taken together: what switches off in any of them wins."""

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
    """Every flag of one read. `odd` holds (name, reason) of each odd record, the name empty where there is none."""

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
    """The flags in force. `loaded_at` is when they were last confirmed (as `refresh` was told), None before that."""

    def __init__(self, source: FlagSource, telemetry: Telemetry | None = None) -> None:
        self._source = source
        self._telemetry = telemetry or Telemetry()
        self._state: _State | None = None
        self._pending: dict[str, Any] | None = None
        self._failed: set[str] = set()
        self.loaded_at: float | None = None

    async def refresh(self, now: float) -> None:
        """Read the source again. Raises `FlagsUnavailable`; the flags held so far stay in force."""
        loaded = await self._source.load()
        if loaded is not None:
            self._pending = loaded  # until it is in force: "nothing changed" must never confirm what is not
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
        """Whether `flag` is on for this user of this tenant: targeting sees the tenant as a group.

        A tenant that the targeting excludes by name is switched off, as by a kill switch of its own. Where nobody can
        tell whom a flag is on for (an unknown filter, odd parameters), it is on for nobody: NOT_TARGETED.

        Reads memory only, and never raises.
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
        except Exception as error:  # the library raises many kinds for what it cannot read
            self._report_failure(flag, error)
            return Verdict.NOT_TARGETED
        return Verdict.ON if on else Verdict.NOT_TARGETED

    def _report_failure(self, flag: str, error: Exception) -> None:
        self._telemetry.count("flag_failures", flag)
        if flag not in self._failed:
            self._failed.add(flag)
            log_event(log, logging.WARNING, "flag_failed", flag=_shown(flag), error=type(error).__name__)

    def on(self, flag: str, tenant_id: str, user_key: str = "", own: Mapping[str, bool] | None = None) -> bool:
        """Whether `flag` is on: as its definition says, else as its default does; `own` are the tenant's feature
        flags, which can switch off only.
        """
        verdict = self.ask(flag, tenant_id, user_key)
        on = FLAGS[flag].default if verdict is Verdict.UNKNOWN else verdict is Verdict.ON
        return on and not (own is not None and FLAGS[flag].tenants and own.get(flag) is False)

    def state(self) -> dict[str, bool]:
        """Every flag's own switch as far as it can be read, for the operators' eyes."""
        known = self._state.known if self._state is not None else {}
        return {name: not each.off for name, each in known.items() if each.off or not each.unknown}

    async def close(self) -> None:
        await self._source.close()


WHAT_IS_READ = """\
- In App Configuration: the key-values `.appconfig.featureflag/*` without a label. Each record is read alone. An odd
  one is passed over and changes no other; the log says `flag_odd` once, and `flags_odd` counts it until it is
  repaired (`flag_repaired`).
- `"enabled": false` is off, whatever the rest of the record looks like.
- A flag is *unknown*, as before the first read, while nobody has defined it (also when all were deleted) and while
  its record cannot be read. Its default holds; for `personalized-feed` that is the popular feed, with the reason
  `flags_unavailable`.
- A flag that is enabled, with filters or variants nobody can read, is on for nobody.
- Flags with filters or variants are judged by Microsoft's `featuremanagement`: `Microsoft.Targeting` with numbers,
  `Microsoft.TimeWindow` with times as in RFC 1123 (`Wed, 01 Jan 2025 00:00:00 GMT`), no other filter.
- Several records with one id: the flag is on only where all of them say so. Switching it on, the tool names the
  records that still hold it off, and ends with exit code 1.
""".splitlines()


def _shown(name: str) -> str:
    """A flag's name for the log: other apps may have put anything there."""
    return name if re.fullmatch(r"[\w.:-]{1,80}", name) else "?"


def as_markdown() -> str:
    """The table as documentation; `docs/flags.md` is this text."""
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
