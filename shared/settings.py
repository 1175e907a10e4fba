"""Reads every setting of the app from the environment into one typed table.

`Settings.from_environment` is the only reader. A missing or contradictory setting stops the start with a sentence that
names it and says what to do. `python -m shared.settings` prints the table of docs/settings.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


class BadSetting(ValueError):
    """A setting is missing, malformed or contradicts another; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Environment variable of one field of `Settings`: its name, description and limits."""

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

    document_store: str = _setting(
        "DOCUMENT_STORE",
        "sqlite",
        "Store of documents (videos, signals, statistics, tenants): SQLite on this machine, or Cosmos DB.",
        choices=("sqlite", "cosmos"),
    )
    bus: str = _setting(
        "BUS",
        "sqlite",
        "Message bus that carries accepted events to their consumers: SQLite on this machine, or Service Bus.",
        choices=("sqlite", "servicebus"),
    )
    blobs: str = _setting(
        "BLOBS",
        "folder",
        "Store of files (event archive, samples, tables of the ranking): a folder on this machine, or Blob Storage.",
        choices=("folder", "azure"),
    )
    flags: str = _setting(
        "FLAGS",
        "file",
        "Source of feature flags: a JSON file on this machine, or App Configuration.",
        choices=("file", "appconfig"),
    )

    data_folder: str = _setting(
        "DATA_FOLDER", ".data", "Folder of the embedded stores, the flags file and the generated secrets."
    )
    flags_file: str = _setting(
        "FLAGS_FILE",
        "",
        "JSON file of the feature flags, in Microsoft's schema. Used with `FLAGS=file`. Empty: `flags.json` in the "
        "data folder.",
    )

    cosmos_endpoint: str = _setting(
        "COSMOS_ENDPOINT",
        "",
        "Endpoint of the Cosmos DB account, used with the managed identity. Example: "
        "https://x.documents.azure.com:443/",
    )
    cosmos_connection_string: str = _setting(
        "COSMOS_CONNECTION_STRING",
        "",
        "Connection string of a Cosmos DB emulator, instead of COSMOS_ENDPOINT.",
        secret=True,
    )
    cosmos_database: str = _setting("COSMOS_DATABASE", "feed", "Cosmos DB database that holds the containers.")

    cosmos_regions: str = _setting(
        "COSMOS_REGIONS",
        "",
        "Regions for reads without the SDK (flag `lean-reads`), nearest first, separated by commas. The next region "
        "is used while one fails. Empty: the account's own endpoint. Example: West Europe,North Europe",
    )
    servicebus_namespace: str = _setting(
        "ServiceBusConnection__fullyQualifiedNamespace",
        "",
        "Host name of the Service Bus namespace, used with the managed identity by the sender and by the trigger.",
    )
    servicebus_connection_string: str = _setting(
        "ServiceBusConnection",
        "",
        "Connection string of a Service Bus emulator, instead of the namespace.",
        secret=True,
    )

    blob_endpoint: str = _setting(
        "BLOB_ENDPOINT",
        "",
        "Endpoint of the Blob Storage account, used with the managed identity. Example: "
        "https://x.blob.core.windows.net/",
    )
    blob_connection_string: str = _setting(
        "BLOB_CONNECTION_STRING",
        "",
        "Connection string of a Blob Storage emulator, instead of BLOB_ENDPOINT.",
        secret=True,
    )

    media_endpoint: str = _setting(
        "MEDIA_ENDPOINT",
        "",
        "Blob endpoint of the account that stores uploaded media, used with the managed identity. Empty: uploads "
        "are off.",
    )
    media_connection_string: str = _setting(
        "MEDIA_CONNECTION_STRING",
        "",
        "Connection string of a Blob Storage emulator for uploaded media, instead of MEDIA_ENDPOINT.",
        secret=True,
    )
    web_pubsub_endpoint: str = _setting(
        "WEB_PUBSUB_ENDPOINT",
        "",
        "Endpoint of Azure Web PubSub, which notifies story authors at once; used with the managed identity. Empty: "
        "no live notifications.",
    )
    web_pubsub_connection_string: str = _setting(
        "WEB_PUBSUB_CONNECTION_STRING",
        "",
        "Connection string of a Web PubSub emulator, instead of WEB_PUBSUB_ENDPOINT.",
        secret=True,
    )

    app_configuration_endpoint: str = _setting(
        "APP_CONFIGURATION_ENDPOINT",
        "",
        "Endpoint of the App Configuration store that holds the feature flags, used with the managed identity.",
    )
    app_configuration_connection_string: str = _setting(
        "APP_CONFIGURATION_CONNECTION_STRING",
        "",
        "Connection string of an App Configuration emulator, instead of APP_CONFIGURATION_ENDPOINT.",
        secret=True,
    )

    signing_keys: str = _setting(
        "SIGNING_KEYS",
        "",
        "Keys that protect cursors and feed request ids, as `id:base64,id:base64`, 32 bytes each. The first one "
        "writes, all of them read: to rotate, put a new key in front. Embedded mode generates its own.",
        secret=True,
    )
    identity_secret: str = _setting(
        "IDENTITY_SECRET",
        "",
        "Base64 of 32 bytes. Stored user keys, hashes of API keys and pseudonyms are derived from it. Never change "
        "it: every user and every API key would be lost. Embedded mode generates its own.",
        secret=True,
    )

    cors_origins: str = _setting(
        "CORS_ORIGINS",
        "",
        "Origins whose web pages can call the service from a browser, separated by commas. Empty: none. Example: "
        "https://app.example,capacitor://localhost",
    )

    flags_refresh_seconds: float = _setting(
        "FLAGS_REFRESH_SECONDS",
        20.0,
        "Seconds between two reads of the feature flags. Raise it when the alert `flags-quota` fires.",
        minimum=0.1,
        maximum=30.0,
    )
    content_refresh_seconds: float = _setting(
        "CONTENT_REFRESH_SECONDS",
        5.0,
        "Seconds between two pulls of changed videos, statistics, tenants and stories. Lower: changes show sooner, "
        "for more reads of the document store.",
        minimum=0.1,
        maximum=30.0,
    )
    signals_budget_ms: float = _setting(
        "SIGNALS_BUDGET_MS",
        80.0,
        "Longest wait for a user's signals, in ms; then the feed is the popular one (reason `signals_unavailable`). "
        "Also the wait for a refresh of content that is too old, and for the viewer's circle in a row of stories.",
        minimum=1.0,
        maximum=250.0,
    )
    signals_cache_seconds: float = _setting(
        "SIGNALS_CACHE_SECONDS",
        2.0,
        "Seconds that a user's signals stay in memory after a read. 0: every page reads them again.",
        minimum=0.0,
        maximum=10.0,
    )
    catalog_budget_ms: float = _setting(
        "CATALOG_BUDGET_MS",
        5_000.0,
        "Longest wait for the first load of a tenant's videos or stories, in ms; then the answer is 503 and the "
        "load goes on.",
        minimum=10.0,
        maximum=30_000.0,
    )
    videos_in_memory: float = _setting(
        "VIDEOS_IN_MEMORY",
        400_000.0,
        "Videos that one process keeps in memory, of all tenants (1.3 kB each). Above it, the tenants that were "
        "idle longest are evicted; raise it while `catalogs_evicted` grows.",
        minimum=1_000.0,
        maximum=10_000_000.0,
    )
    max_in_flight: float = _setting(
        "MAX_IN_FLIGHT",
        64.0,
        "Requests of users (feeds, events, privacy, stories, uploads) that one process serves at a time; above it "
        "they get 429 `overloaded`. While other tenants are served too, one tenant gets half of them.",
        minimum=1.0,
        maximum=10_000.0,
    )
    shed_delay_ms: float = _setting(
        "SHED_DELAY_MS",
        100.0,
        "Delay of the event loop, in ms, from which feeds get the ready fallback page (reason `overloaded`). "
        "Metric: `loop_delay_ms`.",
        minimum=1.0,
        maximum=60_000.0,
    )
    refuse_delay_ms: float = _setting(
        "REFUSE_DELAY_MS",
        400.0,
        "Delay of the event loop, in ms, from which requests are refused with 429. Never less than SHED_DELAY_MS.",
        minimum=1.0,
        maximum=60_000.0,
    )
    user_requests_per_second: float = _setting(
        "USER_REQUESTS_PER_SECOND",
        10.0,
        "Requests a second that one user can send to one process, counted for each kind alone: feeds, events, "
        "privacy, stories, uploads. A burst can hold those of five seconds. Above it: 429 `rate_limited`.",
        minimum=0.1,
        maximum=1_000_000.0,
    )
    publish_budget_ms: float = _setting(
        "PUBLISH_BUDGET_MS",
        2_000.0,
        "Longest wait for the bus to confirm a batch of events, in ms; then the answer is 503 and the client sends "
        "the batch again.",
        minimum=10.0,
        maximum=30_000.0,
    )
    pack_linger_ms: float = _setting(
        "PACK_LINGER_MS",
        30.0,
        "Longest wait of an accepted batch for others that share its message to the fold, in ms. A batch after a "
        "pause does not wait. Needs messages of version 2. 0: one message for each batch.",
        minimum=0.0,
        maximum=500.0,
    )
    hand_on_linger_ms: float = _setting(
        "HAND_ON_LINGER_MS",
        300.0,
        "Longest wait of a folded batch for others of its tenant that share its message to the roll-up, in ms. "
        "Needs messages of version 2. 0: one message for each batch.",
        minimum=0.0,
        maximum=5_000.0,
    )
    fold_patience_seconds: float = _setting(
        "FOLD_PATIENCE_SECONDS",
        480.0,
        "Seconds that a message retries while the document store is down, before it goes back to the bus. Keep it "
        "below `functionTimeout` of host.json.",
        minimum=0.0,
        maximum=540.0,
    )
    rollup_seconds: float = _setting(
        "ROLLUP_SECONDS",
        240.0,
        "Seconds for which one run of the roll-up takes new sessions. It ends earlier when no message waits; the "
        "next run begins within 30 s.",
        minimum=0.1,
        maximum=300.0,
    )
    rollup_sessions: float = _setting(
        "ROLLUP_SESSIONS",
        4.0,
        "Sessions (a tenant, or a shard of one) that one drainer of the roll-up works on at a time.",
        minimum=1.0,
        maximum=32.0,
    )
    rollup_drainers: float = _setting(
        "ROLLUP_DRAINERS",
        1.0,
        "Number of functions that drain the roll-up side by side, each on its own instance: `roll_up`, `roll_up_2` "
        "and so on. Raise it when the alert `rollup-late` fires for many tenants.",
        minimum=1.0,
        maximum=16.0,
    )
    write_signals_version: str = _setting(
        "WRITE_SIGNALS_VERSION",
        "3",
        "Version in which users' signals are written; both are read. Version 3 is smaller. Use 2 while an instance "
        "runs that cannot read 3.",
        choices=("2", "3"),
    )
    write_receipt_version: str = _setting(
        "WRITE_RECEIPT_VERSION",
        "2",
        "Version in which receipts (`feedRequestId`) are written; both are read. Version 2 knows the videos of its "
        "page. Use 1 while an instance runs that cannot read 2.",
        choices=("1", "2"),
    )
    write_message_version: str = _setting(
        "WRITE_MESSAGE_VERSION",
        "2",
        "Version in which bus messages are written; both are read. Version 2 is compressed, packs several batches "
        "and carries app sessions. Use 1 while an instance runs that cannot read 2.",
        choices=("1", "2"),
    )
    write_cursor_version: str = _setting(
        "WRITE_CURSOR_VERSION",
        "2",
        "Version in which feed cursors are written; both are read. Web firewalls rarely mistake version 2 for SQL. "
        "Use 1 while an instance runs that cannot read 2.",
        choices=("1", "2"),
    )
    usual_peak_floor: float = _setting(
        "USUAL_PEAK_FLOOR",
        1_500.0,
        "Lowest usual peak of a tenant, in events a minute. Statistics count up to four times the usual peak; "
        "events above it are archived, not counted (`events_over_peak`). Raise it before a launch.",
        minimum=1.0,
        maximum=1e9,
    )

    story_picture_bytes: float = _setting(
        "STORY_PICTURE_BYTES",
        10_000_000.0,
        "Largest picture of a story, in bytes.",
        minimum=1_000.0,
        maximum=100_000_000.0,
    )
    story_clip_bytes: float = _setting(
        "STORY_CLIP_BYTES",
        100_000_000.0,
        "Largest clip of a story, in bytes.",
        minimum=1_000.0,
        maximum=1_000_000_000.0,
    )

    otlp_endpoint: str = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "Collector that receives metrics and sampled spans over OTLP/HTTP. Empty: no export. Example: "
        "http://localhost:4318",
    )
    insights_connection_string: str = _setting(
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "",
        "Azure Monitor resource that receives metrics and sampled spans, with the managed identity. Empty: no "
        "export. Not a secret: without that identity it gives no access.",
    )
    telemetry_export_seconds: float = _setting(
        "TELEMETRY_EXPORT_SECONDS",
        60.0,
        "Seconds between two exports of metrics. Lower: newer figures, for more rows in Azure Monitor.",
        minimum=0.1,
        maximum=300.0,
    )
    trace_sample_ratio: float = _setting(
        "TRACE_SAMPLE_RATIO",
        0.001,
        "Share of traces whose spans are exported, chosen by trace id. 0: no spans.",
        minimum=0.0,
        maximum=1.0,
    )
    log_format: str = _setting(
        "LOG_FORMAT",
        "json",
        "Format of log lines: JSON objects, or plain text for a terminal.",
        choices=("json", "text"),
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
        """Read one whole number before the app is built. An unreadable value gives the default here; later,
        `from_environment` raises for it."""
        (each,) = (found for found in fields(cls) if found.name == field_name)
        setting: Setting = each.metadata["setting"]
        try:
            return int(_parse(setting, environment.get(setting.name, "").strip() or str(each.default), each.default))
        except BadSetting:
            return int(float(str(each.default)))

    @property
    def embedded(self) -> bool:
        """Whether every store is on this machine."""
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
                        f"{SETTINGS[name].name} is missing. Set it: outside embedded mode every instance needs "
                        "the same value."
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
"""`Setting` by field of `Settings`. Tests hold the documentation and the infrastructure to this table."""


def as_markdown() -> str:
    """Return the text of `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "For operators: every setting, its default and what it sets. The app reads the environment once, at its start.",
        "Generated by `python -m shared.settings > docs/settings.md`.",
        "",
        "| setting | default | what it sets |",
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
