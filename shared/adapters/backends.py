"""Chooses the backend of each port from the settings. Backends are loaded by name, and only when chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from shared.adapters.blobs.door_links import DoorLinks
from shared.adapters.blobs.port import MEDIA_CONTAINERS, Blobs, LinkedBlobs
from shared.adapters.bus.port import Bus
from shared.adapters.documents.metered import MeteredDocuments, count_cosmos_calls
from shared.adapters.documents.port import DocumentStore
from shared.adapters.flags.port import FlagSource
from shared.adapters.live.port import Live
from shared.observability.metrics import Telemetry
from shared.settings import BadSetting, Settings

Clock = Callable[[], float]
OnAnswer = Callable[[Mapping[str, str]], None]

BACKENDS = {
    ("documents", "cosmos"): ("shared.adapters.documents.cosmos", "CosmosStore"),
    ("documents", "sqlite"): ("shared.adapters.documents.sqlite", "SqliteStore"),
    ("bus", "servicebus"): ("shared.adapters.bus.servicebus", "ServiceBusBus"),
    ("bus", "sqlite"): ("shared.adapters.bus.sqlite", "SqliteBus"),
    ("blobs", "azure"): ("shared.adapters.blobs.azure", "AzureBlobs"),
    ("blobs", "folder"): ("shared.adapters.blobs.folder", "FolderBlobs"),
    ("flags", "appconfig"): ("shared.adapters.flags.app_configuration", "AppConfigurationFlags"),
    ("flags", "file"): ("shared.adapters.flags.file", "FileFlags"),
    ("live", "webpubsub"): ("shared.adapters.live.web_pubsub", "WebPubSub"),
    ("flag store", "appconfig"): ("shared.adapters.flags.app_configuration", "FlagStore"),
}
"""Backend class by port and setting. Loaded by name when chosen: importing an Azure SDK takes up to 250 ms."""


def _backend(port: str, choice: str) -> Any:
    module, name = BACKENDS[port, choice]
    return getattr(import_module(module), name)


def documents_from(
    settings: Settings,
    clock: Clock,
    telemetry: Telemetry,
    on_answer: OnAnswer | None = None,
    lean_reads: Callable[[], bool] = lambda: False,
    lean_writes: Callable[[], bool] = lambda: False,
) -> DocumentStore:
    """Return the document store of the settings, unconnected.

    `telemetry` counts its calls. `on_answer` gets the headers of the service's answers. `lean_reads` and `lean_writes`
    decide whether calls of Cosmos DB go without its SDK.
    """
    backend = _backend("documents", settings.document_store)
    if settings.document_store == "cosmos":
        on_call = count_cosmos_calls(telemetry)
        cosmos: DocumentStore = backend.from_settings(settings, on_call, on_answer, lean_reads, lean_writes)
        return cosmos
    return MeteredDocuments(backend(data_folder(settings) / "documents.db", clock), telemetry)


def bus_from(settings: Settings, clock: Clock) -> Bus:
    """Return the bus of the settings, unconnected."""
    backend = _backend("bus", settings.bus)
    bus: Bus = (
        backend.from_settings(settings)
        if settings.bus == "servicebus"
        else backend(data_folder(settings) / "bus.db", clock)
    )
    return bus


def blobs_from(settings: Settings) -> Blobs:
    """Return the blob store of the settings, unconnected."""
    backend = _backend("blobs", settings.blobs)
    blobs: Blobs = (
        backend.from_settings(settings) if settings.blobs == "azure" else backend(data_folder(settings) / "blobs")
    )
    return blobs


def media_from(settings: Settings, links: DoorLinks | None = None) -> LinkedBlobs | None:
    """Return the media store of the settings, unconnected; None without one. `links`: signs links to the local host."""
    backend = _backend("blobs", settings.blobs)
    media: LinkedBlobs | None = None
    if settings.blobs == "folder":
        media = backend(data_folder(settings) / "media", containers=MEDIA_CONTAINERS, links=links)
    elif settings.media_endpoint or settings.media_connection_string:
        media = backend.media_from_settings(settings)
    return media


def live_from(settings: Settings, key: bytes) -> Live | None:
    """Return the live backend of the settings, unconnected; None without one. `key`: hashes the listener's name."""
    if not (settings.web_pubsub_endpoint or settings.web_pubsub_connection_string):
        return None
    live: Live = _backend("live", "webpubsub").from_settings(settings, key)
    return live


def flag_source_from(settings: Settings, on_answer: OnAnswer | None = None) -> FlagSource:
    """Return the flag source of the settings. `on_answer` gets the headers of the service's answers."""
    backend = _backend("flags", settings.flags)
    source: FlagSource = (
        backend.from_settings(settings, on_answer) if settings.flags == "appconfig" else backend(flags_file(settings))
    )
    return source


def flag_store(settings: Settings) -> Any:
    """Return the App Configuration store, for programs that write flags; use it as a context."""
    return _backend("flag store", settings.flags).from_settings(settings)


def flags_file(settings: Settings) -> Path:
    """Return the path of the flags file."""
    return Path(settings.flags_file) if settings.flags_file else Path(settings.data_folder) / "flags.json"


def data_folder(settings: Settings) -> Path:
    """Return the folder of the embedded stores; create it if missing. Raises `BadSetting` if it cannot be written."""
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
