"""Runs the whole app in this process: backends from the settings, the demo's tenants, the host with every trigger."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import azure.functions as func
from aiohttp import web

import bootstrap
import function_app
from bootstrap import App
from local.blob_door import BlobDoor
from local.demo import seed_demo
from local.doors import Doors
from local.faults import Faults, faulty
from local.front_door import FrontDoorApi
from local.handbook import HandbookApi
from local.host import LocalHost
from local.http_server import PATIENCE, Patience
from local.live_door import LiveDoor
from local.operators import OperatorsApi
from local.purge import purge_expired as purge
from shared.adapters import backends
from shared.adapters.backends import flags_file
from shared.adapters.blobs.door_links import DoorLinks
from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import MEDIA_CONTAINERS, LinkedBlobs
from shared.adapters.bus.port import LOCK_SECONDS, Bus
from shared.adapters.bus.sqlite import SqliteBus
from shared.adapters.embedded_secrets import with_embedded_secrets
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.adapters.live.port import Live
from shared.domain.keys import KeyRing
from shared.observability.metrics import Telemetry
from shared.settings import BadSetting, Settings
from shared.web.endpoint import blueprint

log = logging.getLogger("local.serving")

ROOT = Path(__file__).resolve().parent.parent
LOCAL_DEFAULTS = {
    "FLAGS_REFRESH_SECONDS": "1",
    "CONTENT_REFRESH_SECONDS": "1",
    "SIGNALS_CACHE_SECONDS": "0.25",
    "LOG_FORMAT": "text",
}
"""Defaults on one machine: short refreshes, which cost nothing there, so changes show at once; a log for people."""
PURGE_DAILY = "0 47 3 * * *"


@dataclass(frozen=True, slots=True)
class Running:
    """A served app. `url` has no slash at its end."""

    url: str
    app: App
    host: LocalHost


def local_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the local host. Raises `BadSetting`."""
    return Settings.from_environment({**LOCAL_DEFAULTS, **(os.environ if environment is None else environment)})


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    port: int = 7071,
    demo: bool = True,
    reuse_port: bool = False,
    grace_seconds: float = 5.0,
    lock_seconds: float = LOCK_SECONDS,
    faults: Path | None = None,
    host_names: Sequence[str] = (),
    patience: Patience = PATIENCE,
) -> AsyncIterator[Running]:
    """Serve the app on 127.0.0.1 until the context ends. Raises `PortTaken` or `BadSetting` with what to do.

    `lock_seconds`: duration of a message's lock on the bus; after it, messages of a dead process are delivered again.
    `faults`: a file of faults on demand (`local.faults`). `host_names`: allowed besides those of this machine.
    `patience`: time limits for slow clients.
    """
    if demo and settings.document_store == "cosmos" and settings.cosmos_endpoint:
        raise BadSetting(
            "The demo's keys are public, so it is not written to a real account: start with `serve --no-demo`, "
            "or give COSMOS_CONNECTION_STRING of an emulator."
        )
    if settings.embedded:
        settings = with_embedded_secrets(settings)
    doors = Doors(port + 1 if port else 0)
    media, routes = _media(settings, doors)
    door = LiveDoor(KeyRing(settings.signing_keys).for_purpose("live-door").current, doors.origin)
    live = None if settings.web_pubsub_endpoint or settings.web_pubsub_connection_string else door
    app = _build(settings, lock_seconds, faults, media, live)
    bootstrap.use(app)
    if settings.flags == "file":
        first_flags(flags_file(settings))
    try:
        await app.start()
        _warn_without_flags(app)
        if demo:
            await seed_demo(app)
        await app.load_catalogs()
        await doors.start([*routes, *door.routes()])
        host = LocalHost(
            function_app.app,
            app.bus,
            json.loads((ROOT / "host.json").read_text()),
            extra=_local_functions(app, lambda name: host.run_timer(name), demo),
            lock_seconds=lock_seconds,
            host_names=host_names,
            patience=patience,
        )
        await host.start(port=port, reuse_port=reuse_port)
        try:
            yield Running(f"http://127.0.0.1:{host.port}", app, host)
        finally:
            await host.stop(grace_seconds)
    finally:
        bootstrap.use(None)
        await doors.stop()
        await app.close()


def _media(settings: Settings, doors: Doors) -> tuple[LinkedBlobs | None, list[web.RouteDef]]:
    """Return a folder for media and the routes that serve it; neither when media are stored on Azure."""
    if settings.blobs != "folder":
        return None, []
    links = DoorLinks(KeyRing(settings.signing_keys).for_purpose("media-links").current, f"http://{doors.origin}")
    folder = FolderBlobs(backends.data_folder(settings) / "media", containers=MEDIA_CONTAINERS, links=links)
    return folder, BlobDoor(folder, links).routes()


def _build(
    settings: Settings,
    lock_seconds: float,
    faults: Path | None,
    media: LinkedBlobs | None = None,
    live: Live | None = None,
) -> App:
    telemetry = Telemetry()
    if settings.bus == "sqlite":
        bus: Bus = SqliteBus(backends.data_folder(settings) / "bus.db", lock_seconds=lock_seconds)
    else:
        bus = backends.bus_from(settings, time.time)
    if faults is None:
        return bootstrap.build(settings, bus=bus, media=media, live=live, telemetry=telemetry, local=True)
    documents, blobs = backends.documents_from(settings, time.time, telemetry), backends.blobs_from(settings)
    documents, bus, blobs = faulty(documents, bus, blobs, Faults(faults))
    return bootstrap.build(
        settings, documents=documents, bus=bus, blobs=blobs, media=media, live=live, telemetry=telemetry, local=True
    )


def _warn_without_flags(app: App) -> None:
    """Print what to do when App Configuration has no flags: it starts empty, so nothing is personalized. A flags file
    is created automatically."""
    if app.settings.flags == "appconfig" and PERSONALIZED_FEED not in app.flags.state():
        log.warning(
            "no flag %s has been read from App Configuration, so every feed is a fallback: "
            "add the flags with `python -m commands.seed_flags --on`",
            PERSONALIZED_FEED,
        )


def _local_functions(app: App, run_timer: Callable[[str], Awaitable[None]], demo: bool) -> func.FunctionApp:
    """Return the functions that only the local host has: start page, handbook, operators' endpoints, and the daily
    purge, which expiry and lifecycle rules replace on Azure.
    """
    functions = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    operators = OperatorsApi(app.edge, app.telemetry, run_timer)

    async def provide() -> OperatorsApi:
        return operators

    functions.register_functions(blueprint(OperatorsApi, provide))
    front_door = FrontDoorApi(app.edge, app, demo)

    async def provide_front_door() -> FrontDoorApi:
        return front_door

    functions.register_functions(blueprint(FrontDoorApi, provide_front_door))
    handbook = HandbookApi(app.edge)

    async def provide_handbook() -> HandbookApi:
        return handbook

    functions.register_functions(blueprint(HandbookApi, provide_handbook))

    @functions.timer_trigger(arg_name="timer", schedule=PURGE_DAILY)
    async def purge_expired(timer: func.TimerRequest) -> None:
        await purge(app)

    return functions


def first_flags(path: Path) -> None:
    """Create a flags file with personalization on, unless one exists: a start never resets a switch."""
    if path.exists():
        return
    flags = {"feature_management": {"feature_flags": [{"id": PERSONALIZED_FEED, "enabled": True}]}}
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(flags, indent=2) + "\n")
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise BadSetting(
            f"{path.absolute()} cannot be written ({error.strerror}): set FLAGS_FILE to another file."
        ) from None
