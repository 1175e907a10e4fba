"""The composition root: builds every backend from the settings, once per process. Nothing connects at import.

Every part can be replaced by an argument, which is how tests and the local host use it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from events.video_facts import VideoFacts
from shared.adapters.blobs.port import Blobs
from shared.adapters.bus.port import Bus
from shared.adapters.documents.port import DocumentStore
from shared.adapters.flags.evaluation import FLAGS, Flags
from shared.adapters.flags.port import FlagSource
from shared.adapters.refresh import Refresher
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.keys import Identity, KeyRing
from shared.observability import logs
from shared.observability.export import TelemetryExport, build_export
from shared.observability.metrics import Telemetry
from shared.observability.tracing import Stages, current_trace
from shared.settings import BadSetting, Settings
from shared.web.admission import Limits
from shared.web.cors import Cors
from shared.web.user_tokens import UserTokens

Room = TypeVar("Room")
Clock = Callable[[], float]
START_BUDGET_SECONDS = 5.0


@dataclass
class Services:
    """What the rooms work with. `clock` gives seconds since the epoch; `local` is True in the local host only."""

    settings: Settings
    clock: Clock
    documents: DocumentStore
    bus: Bus
    blobs: Blobs
    flags: Flags
    keys: KeyRing
    identity: Identity
    telemetry: Telemetry
    tenants: TenantDirectory
    user_tokens: UserTokens
    limits: Limits
    cors: Cors
    video_facts: VideoFacts
    flags_refresher: Refresher
    tenants_refresher: Refresher
    export: TelemetryExport | None = None
    local: bool = False
    _rooms: dict[Any, Any] = field(default_factory=dict)
    _started: asyncio.Task[None] | None = None
    _end_logs: Callable[[], None] = lambda: None

    def room(self, build: Callable[[Services], Room]) -> Room:
        """The one instance of a room in this process: built on first use, kept with the services it stands on."""
        found = self._rooms.get(build)
        if found is None:
            found = self._rooms[build] = build(self)
        return found  # type: ignore[no-any-return]

    async def start(self) -> None:
        """Open what the first request needs, side by side, and begin the refresh loops. Later calls return at once.

        A dependency that is down does not stop the start: each has its fallback, and the loops keep trying.
        """
        if self._started is None:
            self._started = asyncio.create_task(self._start())
        await asyncio.shield(self._started)

    def spans(self, name: str, stages: Stages, **attributes: str) -> None:
        """Export the stages of the request or message at hand as spans, when its trace is sampled."""
        if self.export is not None:
            self.export.spans(name, current_trace.get(), stages, attributes)

    async def _start(self) -> None:
        self._end_logs = logs.install(self.telemetry, structured=self.settings.log_format == "json")
        if self.export is not None:
            self.export.start()
        self.limits.delay.start()
        for refresher in (self.flags_refresher, self.tenants_refresher):
            refresher.start()
        await asyncio.wait(
            [
                asyncio.create_task(self._within_budget(step))
                for step in (self.flags_refresher.refresh, self._open_documents, self.bus.ready)
            ]
        )

    async def _open_documents(self) -> None:
        await self.documents.ready()
        await self.tenants_refresher.refresh()

    async def _within_budget(self, step: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(START_BUDGET_SECONDS):
                await step()
        except Exception as error:  # whatever is down now is retried by its own loop or first use
            self.telemetry.count("refresh_failures", f"start_{type(error).__name__}")

    async def close(self) -> None:
        """Stop the loops and let go of every connection."""
        await self.limits.delay.stop()
        for refresher in (self.flags_refresher, self.tenants_refresher):
            await refresher.stop()
        for room in self._rooms.values():
            if hasattr(room, "close"):
                await room.close()
        for part in (self.flags, self.bus, self.blobs, self.documents):
            await part.close()
        if self.export is not None:
            await self.export.stop()
        self._end_logs()


def build(
    settings: Settings,
    *,
    clock: Clock = time.time,
    documents: DocumentStore | None = None,
    bus: Bus | None = None,
    blobs: Blobs | None = None,
    flag_source: FlagSource | None = None,
    telemetry: Telemetry | None = None,
    local: bool = False,
) -> Services:
    """Everything, unconnected. Raises `BadSetting` with one sentence when the settings do not work."""
    if settings.embedded:
        settings = with_embedded_secrets(settings)
    telemetry = telemetry or Telemetry()
    documents = documents or documents_from(settings, clock, telemetry)
    identity = Identity(settings.identity_secret)
    flags = Flags(flag_source or _flag_source(settings))
    tenants = TenantDirectory(documents, identity, telemetry)

    async def refresh_flags() -> None:
        await flags.refresh(clock())
        for name, on in flags.state().items():
            if name in FLAGS:
                telemetry.gauge("flags_on", float(on), name)

    return Services(
        settings=settings,
        clock=clock,
        documents=documents,
        bus=bus or bus_from(settings, clock),
        blobs=blobs or blobs_from(settings, clock),
        flags=flags,
        keys=KeyRing(settings.signing_keys),
        identity=identity,
        telemetry=telemetry,
        tenants=tenants,
        user_tokens=UserTokens(tenants),
        limits=Limits(settings, telemetry),
        cors=Cors(settings.cors_origins),
        video_facts=VideoFacts(documents, clock),
        flags_refresher=Refresher("flags", refresh_flags, settings.flags_refresh_seconds, clock, telemetry),
        tenants_refresher=Refresher("tenants", tenants.refresh, settings.content_refresh_seconds, clock, telemetry),
        export=build_export(settings, telemetry),
        local=local,
    )


_current: Services | None = None


def use(services: Services | None) -> None:
    """Make these the process's services, as tests and the local host do."""
    global _current
    _current = services


async def get() -> Services:
    """The process's services, built from the environment on first use and started."""
    global _current
    if _current is None:
        _current = build(Settings.from_environment(os.environ))
    if _current._started is None or not _current._started.done():
        await _current.start()
    return _current


# Each backend is imported only when it is chosen: the Azure SDKs cost hundreds of milliseconds to import.


def documents_from(settings: Settings, clock: Clock, telemetry: Telemetry) -> DocumentStore:
    """The document store the settings name, unconnected; `telemetry` counts its calls."""
    from shared.adapters.documents.metered import MeteredDocuments, count_cosmos_calls

    if settings.document_store == "cosmos":
        from shared.adapters.documents.cosmos import CosmosStore

        return CosmosStore.from_settings(settings, count_cosmos_calls(telemetry))
    from shared.adapters.documents.sqlite import SqliteStore

    return MeteredDocuments(SqliteStore(data_folder(settings) / "documents.db", clock), telemetry)


def bus_from(settings: Settings, clock: Clock) -> Bus:
    """The bus the settings name, unconnected."""
    if settings.bus == "servicebus":
        from shared.adapters.bus.servicebus import ServiceBusBus

        return ServiceBusBus.from_settings(settings)
    from shared.adapters.bus.sqlite import SqliteBus

    return SqliteBus(data_folder(settings) / "bus.db", clock)


def blobs_from(settings: Settings, clock: Clock) -> Blobs:
    """The blob store the settings name, unconnected."""
    if settings.blobs == "azure":
        from shared.adapters.blobs.azure import AzureBlobs

        return AzureBlobs.from_settings(settings)
    from shared.adapters.blobs.folder import FolderBlobs

    return FolderBlobs(data_folder(settings) / "blobs")


def _flag_source(settings: Settings) -> FlagSource:
    if settings.flags == "appconfig":
        from shared.adapters.flags.app_configuration import AppConfigurationFlags

        return AppConfigurationFlags.from_settings(settings)
    from shared.adapters.flags.file import FileFlags

    return FileFlags(flags_file(settings))


def flags_file(settings: Settings) -> Path:
    """Where the file source reads flags."""
    return Path(settings.flags_file) if settings.flags_file else Path(settings.data_folder) / "flags.json"


def data_folder(settings: Settings) -> Path:
    """The folder of the embedded stores, made where it is missing. Raises `BadSetting` when it cannot be written."""
    folder = Path(settings.data_folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise BadSetting(
            f"DATA_FOLDER {str(folder.absolute())!r} is not writable ({error.strerror}): "
            "choose another folder or change its permissions."
        ) from None
    return folder


def with_embedded_secrets(settings: Settings) -> Settings:
    """Settings with the secrets that embedded mode makes for itself and keeps, readable by the owner only."""
    if settings.signing_keys and settings.identity_secret:
        return settings
    path = data_folder(settings) / "secrets.json"
    if not path.exists():
        made = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in ("signing", "identity")}
        temporary = path.with_name(f".secrets-{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump(made, file)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # the first of several processes wins
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    kept = json.loads(path.read_text())
    return replace(
        settings,
        signing_keys=settings.signing_keys or f"local:{kept['signing']}",
        identity_secret=settings.identity_secret or kept["identity"],
    )
