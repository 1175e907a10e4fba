"""Parts of the app for tests: its functions, and further instances of its long-lived objects."""

from __future__ import annotations

from typing import Any

import function_app
from bootstrap import App
from events.packing import Packer
from events.signals_consumer import HANDED_ON, SignalsConsumer
from events.signals_writer import SignalsWriter
from events.stats_consumer import StatsConsumer
from feed.catalog import Catalogs
from shared.observability.telemetry_export import Spans


def app_functions() -> list[Any]:
    """Return every function of the app. Clears the names the SDK has seen first, because it refuses to list them
    again."""
    function_app.app.functions_bindings = {}
    return list(function_app.app.get_functions())


def signals_consumer(app: App, **changed: Any) -> SignalsConsumer:
    """Another consumer of the subscription `signals`. `changed` replaces arguments of its constructor."""
    parts: dict[str, Any] = {
        "bus": app.bus,
        "writer": SignalsWriter(app.documents, app.telemetry, app.clock),
        "packer": Packer(app.bus, version=1, linger_seconds=0.0, suffix=HANDED_ON),
        "video_facts": app.video_facts,
        "tenants": app.tenants,
        "telemetry": app.telemetry,
        "spans": Spans(app.export),
        "clock": app.clock,
        "patience_seconds": app.settings.fold_patience_seconds,
        "elapsed": app.elapsed,
    }
    return SignalsConsumer(**{**parts, **changed})


def stats_consumer(app: App, **changed: Any) -> StatsConsumer:
    """Another consumer of the subscription `rollup`. `changed` replaces arguments of its constructor."""
    parts: dict[str, Any] = {
        "documents": app.documents,
        "bus": app.bus,
        "blobs": app.blobs,
        "video_facts": app.video_facts,
        "tenants": app.tenants,
        "flags": app.flags,
        "identity": app.identity,
        "telemetry": app.telemetry,
        "clock": app.clock,
        "run_seconds": app.settings.rollup_seconds,
        "sessions_at_once": int(app.settings.rollup_sessions),
        "usual_peak_floor": app.settings.usual_peak_floor,
        "elapsed": app.elapsed,
    }
    return StatsConsumer(**{**parts, **changed})


def new_catalogs(app: App) -> Catalogs:
    """Another process's catalogs."""
    return Catalogs(app.documents, app.blobs, app.settings, app.telemetry, app.elapsed)
