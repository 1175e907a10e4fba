"""`GET /health` (the process answers) and `GET /ready` (what it stands on answers)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import azure.functions as func

from bootstrap import Services
from shared.web.endpoint import json_response

CHECK_BUDGET_SECONDS = 2.0


def health() -> func.HttpResponse:
    """200 while the process lives."""
    return json_response({"status": "alive"})


async def ready(services: Services) -> func.HttpResponse:
    """200 when every dependency answers, else 503; either way what each of them says and how old what we hold is."""
    checks: dict[str, Callable[[], Awaitable[object]]] = {
        "documents": services.documents.ready,
        "bus": services.bus.ready,
        "blobs": services.blobs.ready,
        "flags": services.flags_refresher.refresh,
        "tenants": services.tenants_refresher.refresh,
    }
    states = dict(zip(checks, await asyncio.gather(*map(_state, checks.values())), strict=True))
    everything = all(state == "ready" for state in states.values())
    now = services.clock()
    ages = {
        name: None if refresher.refreshed_at is None else round(now - refresher.refreshed_at, 1)
        for name, refresher in (("flags", services.flags_refresher), ("tenants", services.tenants_refresher))
    }
    body = {"status": "ready" if everything else "not_ready", "dependencies": states, "ageSeconds": ages}
    return json_response(body, 200 if everything else 503)


async def _state(check: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(CHECK_BUDGET_SECONDS):
            return "unavailable" if await check() is False else "ready"
    except TimeoutError:
        return "slow"
    except Exception:  # the kind is in the dependency's own metric; a probe only wants yes or no
        return "unavailable"
