"""Starts the whole app in this process: services from the settings, the demo's tenants, the host with every trigger."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import azure.functions as func

from local.demo import seed_demo
from local.host import LocalHost
from shared import services as composition
from shared.flags.evaluation import PERSONALIZED_FEED
from shared.services import Services, flags_file
from shared.settings import Settings
from shared.stores.documents import DocumentStore
from shared.telemetry import render_prometheus

ROOT = Path(__file__).resolve().parent.parent
LOCAL_DEFAULTS = {
    "FLAGS_REFRESH_SECONDS": "1",
    "CONTENT_REFRESH_SECONDS": "1",
    "SIGNALS_CACHE_SECONDS": "0.25",
    "LOG_FORMAT": "text",
}
"""On one machine looking again costs nothing, so what you change shows at once, and somebody reads the log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A served app. `url` has no slash at its end."""

    url: str
    services: Services
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
    documents: DocumentStore | None = None,
) -> AsyncIterator[Running]:
    """The app on 127.0.0.1, until the context ends. Raises `PortTaken` or `BadSetting` with what to do.

    `documents` replaces the document store of the settings.
    """
    services = composition.build(settings, local=True, documents=documents)
    composition.use(services)
    if settings.flags == "file":
        first_flags(flags_file(settings))
    try:
        await services.start()
        if demo:
            await seed_demo(services)
        host = LocalHost(_app(), services.bus, json.loads((ROOT / "host.json").read_text()))
        await host.start(port=port, reuse_port=reuse_port)
        try:
            yield Running(f"http://127.0.0.1:{host.port}", services, host)
        finally:
            await host.stop(grace_seconds)
    finally:
        composition.use(None)
        await services.close()


def _app() -> func.FunctionApp:
    """The real app, plus `/metrics`, which only the local host has."""
    import function_app

    logging.getLogger("azure").setLevel(logging.WARNING)
    if not getattr(function_app.app, "_local_metrics", False):
        function_app.app.function_name("get_metrics")(function_app.app.route("metrics", methods=["GET"])(_get_metrics))
        function_app.app._local_metrics = True  # type: ignore[attr-defined]
    return function_app.app


async def _get_metrics(req: func.HttpRequest) -> func.HttpResponse:
    services = await composition.get()
    return func.HttpResponse(render_prometheus(services.telemetry), mimetype="text/plain; version=0.0.4")


def first_flags(path: Path) -> None:
    """A flags file with the kill switch on, unless there is one: deploying or starting never resets a switch."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = {"feature_management": {"feature_flags": [{"id": PERSONALIZED_FEED, "enabled": True}]}}
    path.write_text(json.dumps(flags, indent=2) + "\n")
