"""Every setting there is, as one typed table read from the environment.

`Settings.from_environment` is the only place that reads it. A missing or contradictory setting stops the start
with one sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


class BadSetting(ValueError):
    """A setting is missing, malformed or contradicts another; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How one field of `Settings` is read: the environment's name for it, and what the documentation says."""

    name: str
    help: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    secret: bool = False


def _setting(name: str, default: Any, help: str, **limits: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(name, help, **limits)})


@dataclass(frozen=True, slots=True)
class Settings:
    """Typed values of the settings. Durations carry their unit in their name."""

    document_store: str = _setting("DOCUMENT_STORE", "sqlite", "Where documents live.", choices=("sqlite", "cosmos"))
    bus: str = _setting("BUS", "sqlite", "What carries events.", choices=("sqlite", "servicebus"))
    blobs: str = _setting("BLOBS", "folder", "Where whole files live.", choices=("folder", "azure"))
    flags: str = _setting("FLAGS", "file", "Where feature flags come from.", choices=("file", "appconfig"))

    data_folder: str = _setting(
        "DATA_FOLDER", ".data", "Folder of the embedded stores, the flags file and the generated secrets."
    )
    flags_file: str = _setting(
        "FLAGS_FILE", "", "Feature flags in Microsoft's schema; empty means `flags.json` in the data folder."
    )

    cosmos_endpoint: str = _setting(
        "COSMOS_ENDPOINT",
        "",
        "Account endpoint, used with the managed identity. Example: https://x.documents.azure.com:443/",
    )
    cosmos_connection_string: str = _setting(
        "COSMOS_CONNECTION_STRING", "", "For emulators only, instead of COSMOS_ENDPOINT.", secret=True
    )
    cosmos_database: str = _setting("COSMOS_DATABASE", "feed", "Database that holds the containers.")

    cosmos_regions: str = _setting(
        "COSMOS_REGIONS",
        "",
        "Regions that reads without the SDK (flag `lean-reads`) ask, nearest first, separated by commas; empty: the "
        "account's own endpoint. Example: West Europe,North Europe",
    )
    servicebus_namespace: str = _setting(
        "ServiceBusConnection__fullyQualifiedNamespace",
        "",
        "Service Bus host name, used with the managed identity by the sender and by the trigger.",
    )
    servicebus_connection_string: str = _setting(
        "ServiceBusConnection", "", "For emulators only, instead of the namespace.", secret=True
    )

    blob_endpoint: str = _setting(
        "BLOB_ENDPOINT", "", "Blob endpoint, used with the managed identity. Example: https://x.blob.core.windows.net/"
    )
    blob_connection_string: str = _setting(
        "BLOB_CONNECTION_STRING", "", "For emulators only, instead of BLOB_ENDPOINT.", secret=True
    )

    media_endpoint: str = _setting(
        "MEDIA_ENDPOINT",
        "",
        "Blob endpoint of the account of uploaded media, used with the managed identity; empty: nothing is uploaded.",
    )
    media_connection_string: str = _setting(
        "MEDIA_CONNECTION_STRING", "", "For emulators only, instead of MEDIA_ENDPOINT.", secret=True
    )
    web_pubsub_endpoint: str = _setting(
        "WEB_PUBSUB_ENDPOINT",
        "",
        "Endpoint of Azure Web PubSub, used with the managed identity; empty: nobody is nudged.",
    )
    web_pubsub_connection_string: str = _setting(
        "WEB_PUBSUB_CONNECTION_STRING", "", "For emulators only, instead of WEB_PUBSUB_ENDPOINT.", secret=True
    )

    app_configuration_endpoint: str = _setting(
        "APP_CONFIGURATION_ENDPOINT", "", "Store of the feature flags, used with the managed identity."
    )
    app_configuration_connection_string: str = _setting(
        "APP_CONFIGURATION_CONNECTION_STRING", "", "For emulators only, instead of the endpoint.", secret=True
    )

    signing_keys: str = _setting(
        "SIGNING_KEYS",
        "",
        "Keys for cursors and feed request ids as `id:base64,id:base64`, the current one first, 32 bytes each. "
        "Embedded mode makes its own.",
        secret=True,
    )
    identity_secret: str = _setting(
        "IDENTITY_SECRET",
        "",
        "Base64 of 32 bytes from which stored user keys, key hashes and pseudonyms are derived. Never rotates: "
        "changing it forgets every user and key. Embedded mode makes its own.",
        secret=True,
    )

    cors_origins: str = _setting(
        "CORS_ORIGINS",
        "",
        "Origins whose web pages may call the service from a browser, separated by commas; empty means none. "
        "Example: https://app.example,capacitor://localhost",
    )

    flags_refresh_seconds: float = _setting(
        "FLAGS_REFRESH_SECONDS", 20.0, "How often flags are read again.", minimum=0.1, maximum=30.0
    )
    content_refresh_seconds: float = _setting(
        "CONTENT_REFRESH_SECONDS",
        5.0,
        "How often changes of videos, statistics and tenants are pulled.",
        minimum=0.1,
        maximum=30.0,
    )
    signals_budget_ms: float = _setting(
        "SIGNALS_BUDGET_MS",
        80.0,
        "Longest wait for a user's signals before the feed falls back.",
        minimum=1.0,
        maximum=250.0,
    )
    signals_cache_seconds: float = _setting(
        "SIGNALS_CACHE_SECONDS",
        2.0,
        "How long a user's signals are kept in memory between two pages.",
        minimum=0.0,
        maximum=10.0,
    )
    catalog_budget_ms: float = _setting(
        "CATALOG_BUDGET_MS",
        5_000.0,
        "Longest wait for a tenant's first load of its catalog.",
        minimum=10.0,
        maximum=30_000.0,
    )
    videos_in_memory: float = _setting(
        "VIDEOS_IN_MEMORY",
        400_000.0,
        "How many videos one process holds, of all tenants, before it lets go of idle tenants (1.3 kB each).",
        minimum=1_000.0,
        maximum=10_000_000.0,
    )
    max_in_flight: float = _setting(
        "MAX_IN_FLIGHT",
        64.0,
        "How many feed, event and privacy requests one process works on at a time; one tenant gets half of them while "
        "others are served too.",
        minimum=1.0,
        maximum=10_000.0,
    )
    shed_delay_ms: float = _setting(
        "SHED_DELAY_MS",
        100.0,
        "How late the event loop may be before feeds get the ready fallback page (reason `overloaded`).",
        minimum=1.0,
        maximum=60_000.0,
    )
    refuse_delay_ms: float = _setting(
        "REFUSE_DELAY_MS",
        400.0,
        "How late the event loop may be before requests are refused with 429.",
        minimum=1.0,
        maximum=60_000.0,
    )
    user_requests_per_second: float = _setting(
        "USER_REQUESTS_PER_SECOND",
        10.0,
        "How many feeds, and as many event batches, one user may ask for in each process; five seconds' worth may come "
        "at once.",
        minimum=0.1,
        maximum=1_000_000.0,
    )
    publish_budget_ms: float = _setting(
        "PUBLISH_BUDGET_MS",
        2_000.0,
        "Longest wait for the bus to confirm a batch before the answer is 503.",
        minimum=10.0,
        maximum=30_000.0,
    )
    pack_linger_ms: float = _setting(
        "PACK_LINGER_MS",
        30.0,
        "How long an accepted batch waits at most for others that share its message to the fold, where messages of "
        "version 2 are written; after a pause it does not wait. 0: each has a message of its own.",
        minimum=0.0,
        maximum=500.0,
    )
    hand_on_linger_ms: float = _setting(
        "HAND_ON_LINGER_MS",
        300.0,
        "How long a folded batch waits at most for others of its tenant that share its message to the roll-up, where "
        "messages of version 2 are written. 0: each has a message of its own.",
        minimum=0.0,
        maximum=5_000.0,
    )
    fold_patience_seconds: float = _setting(
        "FOLD_PATIENCE_SECONDS",
        480.0,
        "How long one message waits for a store that is down before it goes back to the bus.",
        minimum=0.0,
        maximum=540.0,
    )
    rollup_seconds: float = _setting(
        "ROLLUP_SECONDS",
        240.0,
        "How long one run of the roll-up takes sessions while there are any; it ends when nothing waits, and the next "
        "begins within 30 s.",
        minimum=0.1,
        maximum=300.0,
    )
    rollup_sessions: float = _setting(
        "ROLLUP_SESSIONS",
        4.0,
        "How many sessions one drainer of the roll-up works on at a time.",
        minimum=1.0,
        maximum=32.0,
    )
    rollup_drainers: float = _setting(
        "ROLLUP_DRAINERS",
        1.0,
        "How many functions drain the roll-up side by side, each on an instance of its own: `roll_up`, `roll_up_2` and "
        "so on.",
        minimum=1.0,
        maximum=16.0,
    )
    write_signals_version: str = _setting(
        "WRITE_SIGNALS_VERSION",
        "3",
        "Version of the users' signals that are written; both are read. 3 is smaller. Write 2 while an instance runs "
        "that cannot read 3.",
        choices=("2", "3"),
    )
    write_receipt_version: str = _setting(
        "WRITE_RECEIPT_VERSION",
        "2",
        "Version of the receipts (`feedRequestId`) that are written; both are read. 2 knows which videos were on its "
        "page. Write 1 while an instance runs that cannot read 2.",
        choices=("1", "2"),
    )
    write_message_version: str = _setting(
        "WRITE_MESSAGE_VERSION",
        "2",
        "Version of the bus messages that are written; both are read. 2 is compressed and has several batches, and "
        "room for app sessions. Write 1 while an instance runs that cannot read 2.",
        choices=("1", "2"),
    )
    write_cursor_version: str = _setting(
        "WRITE_CURSOR_VERSION",
        "2",
        "Version of the feed's cursors that are written; both are read. Firewalls take hardly any of 2 for SQL. Write "
        "1 while an instance runs that cannot read 2.",
        choices=("1", "2"),
    )
    usual_peak_floor: float = _setting(
        "USUAL_PEAK_FLOOR",
        1_500.0,
        "Events a minute that every tenant may have as its usual peak, however small it is. Four times the usual peak "
        "count in statistics; what comes beyond is archived, not counted.",
        minimum=1.0,
        maximum=1e9,
    )

    story_picture_bytes: float = _setting(
        "STORY_PICTURE_BYTES",
        10_000_000.0,
        "Bytes of a story's picture at the most.",
        minimum=1_000.0,
        maximum=100_000_000.0,
    )
    story_clip_bytes: float = _setting(
        "STORY_CLIP_BYTES",
        100_000_000.0,
        "Bytes of a story's clip at the most.",
        minimum=1_000.0,
        maximum=1_000_000_000.0,
    )

    otlp_endpoint: str = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "Collector that metrics and sampled spans go to over OTLP/HTTP; empty exports none. "
        "Example: http://localhost:4318",
    )
    insights_connection_string: str = _setting(
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "",
        "Azure Monitor resource that metrics and sampled spans go to, with the managed identity; empty exports none. "
        "Not a secret: it opens nothing without that identity.",
    )
    telemetry_export_seconds: float = _setting(
        "TELEMETRY_EXPORT_SECONDS",
        60.0,
        "How often the sums are exported.",
        minimum=0.1,
        maximum=300.0,
    )
    trace_sample_ratio: float = _setting(
        "TRACE_SAMPLE_RATIO",
        0.001,
        "Share of traces whose spans are exported, decided by the trace id.",
        minimum=0.0,
        maximum=1.0,
    )
    log_format: str = _setting(
        "LOG_FORMAT", "json", "One JSON object a line, or plain text for a terminal.", choices=("json", "text")
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check every setting. Raises `BadSetting`."""
        values = {}
        for each in fields(cls):
            setting: Setting = each.metadata["setting"]
            text = environment.get(setting.name, "").strip()
            if text:
                values[each.name] = _parse(setting, text, each.default)
        settings = cls(**values)
        settings._check()
        return settings

    @classmethod
    def number_from(cls, environment: Mapping[str, str], field_name: str) -> int:
        """One whole number, for what is decided before the app is built; the default where it cannot be read, since
        `from_environment` says then what is wrong."""
        (each,) = (found for found in fields(cls) if found.name == field_name)
        setting: Setting = each.metadata["setting"]
        try:
            return int(_parse(setting, environment.get(setting.name, "").strip() or str(each.default), each.default))
        except BadSetting:
            return int(float(str(each.default)))

    @property
    def embedded(self) -> bool:
        """Whether everything runs on this machine."""
        return (self.document_store, self.bus, self.blobs, self.flags) == ("sqlite", "sqlite", "folder", "file")

    def _check(self) -> None:
        pairs = (
            (self.document_store == "cosmos", "DOCUMENT_STORE=cosmos", "cosmos_endpoint", "cosmos_connection_string"),
            (self.bus == "servicebus", "BUS=servicebus", "servicebus_namespace", "servicebus_connection_string"),
            (self.blobs == "azure", "BLOBS=azure", "blob_endpoint", "blob_connection_string"),
            (
                self.flags == "appconfig",
                "FLAGS=appconfig",
                "app_configuration_endpoint",
                "app_configuration_connection_string",
            ),
        )
        for chosen, choice, endpoint, connection in pairs:
            given = [SETTINGS[name].name for name in (endpoint, connection) if getattr(self, name)]
            wanted = f"{SETTINGS[endpoint].name} (managed identity) or {SETTINGS[connection].name} (emulator)"
            if chosen and not given:
                raise BadSetting(f"{choice} needs {wanted}: set one of them.")
            if len(given) == 2:
                raise BadSetting(f"Set either {wanted}, not both.")
        if not self.embedded:
            for name in ("signing_keys", "identity_secret"):
                if not getattr(self, name):
                    raise BadSetting(
                        f"{SETTINGS[name].name} is missing: outside embedded mode it must be given, "
                        "so that every instance shares it."
                    )


def _parse(setting: Setting, text: str, default: Any) -> Any:
    if setting.choices and text not in setting.choices:
        raise BadSetting(f"{setting.name} must be one of {', '.join(setting.choices)}, not {text!r}.")
    if not isinstance(default, float):
        return text
    try:
        number = float(text)
    except ValueError:
        raise BadSetting(f"{setting.name} must be a number, not {text!r}.") from None
    low, high = setting.minimum, setting.maximum
    if not (low is None or number >= low) or not (high is None or number <= high):
        raise BadSetting(f"{setting.name} must be between {low:g} and {high:g}, not {text}.")
    return number


SETTINGS: dict[str, Setting] = {each.name: each.metadata["setting"] for each in fields(Settings)}
"""Field of `Settings` → how it is read. The documentation and the infrastructure are tested against this table."""


def as_markdown() -> str:
    """The table as documentation; `docs/settings.md` is this text."""
    lines = [
        "# Settings",
        "",
        "For operators: every setting, its default and what it does. The app reads the environment once, at its start.",
        "Generated by `python -m shared.settings > docs/settings.md`.",
        "",
        "| setting | default | what it does |",
        "|---|---|---|",
    ]
    for each in fields(Settings):
        setting: Setting = each.metadata["setting"]
        limits = f" One of: {', '.join(f'`{choice}`' for choice in setting.choices)}." if setting.choices else ""
        if setting.minimum is not None:
            limits = f" From {setting.minimum:.15g} to {setting.maximum:.15g}."
        secret = " **Secret.**" if setting.secret else ""
        default = f"{each.default:.15g}" if isinstance(each.default, float) else each.default
        lines.append(f"| `{setting.name}` | {f'`{default}`' if default else '—'} | {setting.help}{limits}{secret} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
