"""Starts the whole app in this process: services from the settings, the demo's tenants, the host with every trigger."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import azure.functions as func

import bootstrap
import function_app
from bootstrap import App, flags_file
from local.demo import seed_demo
from local.faults import Faults, faulty
from local.host import LocalHost
from local.purge import purge_expired
from shared.adapters.bus.port import LOCK_SECONDS, Bus
from shared.adapters.bus.sqlite import SqliteBus
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.observability.metrics import Telemetry, render_prometheus
from shared.settings import BadSetting, Settings

log = logging.getLogger("local.serving")

ROOT = Path(__file__).resolve().parent.parent
LOCAL_DEFAULTS = {
    "FLAGS_REFRESH_SECONDS": "1",
    "CONTENT_REFRESH_SECONDS": "1",
    "SIGNALS_CACHE_SECONDS": "0.25",
    "LOG_FORMAT": "text",
}
"""On one machine looking again costs nothing, so what you change shows at once, and somebody reads the log."""
PURGE_DAILY = "0 47 3 * * *"


@dataclass(frozen=True, slots=True)
class Running:
    """A served app. `url` has no slash at its end."""

    url: str
    app: App
    host: LocalHost


def local_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of the local host. Raises `BadSetting`."""
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
) -> AsyncIterator[Running]:
    """The app on 127.0.0.1, until the context ends. Raises `PortTaken` or `BadSetting` with what to do.

    `lock_seconds` is how long the bus locks a message: a dead process's messages come again after that. `faults`
    names a file of faults on demand (`local.faults`).
    """
    if demo and settings.document_store == "cosmos" and settings.cosmos_endpoint:
        raise BadSetting(
            "The demo's keys are public, so it is not written to a real account: start with `serve --no-demo`, "
            "or give COSMOS_CONNECTION_STRING of an emulator."
        )
    app = _build(settings, lock_seconds, faults)
    bootstrap.use(app)
    if settings.flags == "file":
        first_flags(flags_file(settings))
    try:
        await app.start()
        _warn_without_flags(app)
        if demo:
            await seed_demo(app)
        host = LocalHost(_functions(), app.bus, json.loads((ROOT / "host.json").read_text()), lock_seconds=lock_seconds)
        await host.start(port=port, reuse_port=reuse_port)
        _serving.host = host
        try:
            yield Running(f"http://127.0.0.1:{host.port}", app, host)
        finally:
            await host.stop(grace_seconds)
    finally:
        bootstrap.use(None)
        await app.close()


def _build(settings: Settings, lock_seconds: float, faults: Path | None) -> App:
    if settings.embedded:
        settings = bootstrap.with_embedded_secrets(settings)
    telemetry = Telemetry()
    documents = bootstrap.documents_from(settings, time.time, telemetry)
    blobs = bootstrap.blobs_from(settings)
    if settings.bus == "sqlite":
        bus: Bus = SqliteBus(bootstrap.data_folder(settings) / "bus.db", lock_seconds=lock_seconds)
    else:
        bus = bootstrap.bus_from(settings, time.time)
    if faults is not None:
        documents, bus, blobs = faulty(documents, bus, blobs, Faults(faults))
    return bootstrap.build(settings, documents=documents, bus=bus, blobs=blobs, telemetry=telemetry, local=True)


class _Serving:
    """The host that serves this process's app."""

    host: LocalHost | None = None


_serving = _Serving()


def _warn_without_flags(app: App) -> None:
    """App Configuration begins empty, and a flag nobody defined is off: say what to do. A flags file is made."""
    if app.settings.flags == "appconfig" and PERSONALIZED_FEED not in app.flags.state():
        log.warning(
            "no flag %s has been read from App Configuration, so every feed is a fallback: "
            "add the flags with `python -m commands.seed_flags --on`",
            PERSONALIZED_FEED,
        )


def _functions() -> func.FunctionApp:
    """The real app, plus what only the local host has: `/metrics`, timers by hand, and the daily purge that Azure's
    own expiry and lifecycle rules make needless there.
    """
    functions = function_app.app
    logging.getLogger("azure").setLevel(logging.WARNING)
    if not getattr(functions, "_local_functions", False):
        functions.function_name("get_metrics")(functions.route("metrics", methods=["GET"])(_get_metrics))
        functions.function_name("run_function")(
            functions.route("admin/functions/{name}", methods=["POST"])(_run_function)
        )
        functions.function_name("purge_expired")(
            functions.timer_trigger(arg_name="timer", schedule=PURGE_DAILY)(_purge_expired)
        )
        functions._local_functions = True  # type: ignore[attr-defined]
    return functions


async def _get_metrics(req: func.HttpRequest) -> func.HttpResponse:
    app = await bootstrap.running()
    return func.HttpResponse(render_prometheus(app.telemetry), mimetype="text/plain; version=0.0.4")


async def _run_function(req: func.HttpRequest) -> func.HttpResponse:
    """Run a timer's function now, as the Functions host's own admin address does; 202 once it has run."""
    host = _serving.host
    try:
        assert host is not None
        await host.run_timer(req.route_params["name"])
    except KeyError:
        return func.HttpResponse("No timer function has that name.", status_code=404, mimetype="text/plain")
    return func.HttpResponse(status_code=202)


async def _purge_expired(timer: func.TimerRequest) -> None:
    await purge_expired(await bootstrap.running())


def first_flags(path: Path) -> None:
    """A flags file with the kill switch on, unless there is one: deploying or starting never resets a switch."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = {"feature_management": {"feature_flags": [{"id": PERSONALIZED_FEED, "enabled": True}]}}
    path.write_text(json.dumps(flags, indent=2) + "\n")
