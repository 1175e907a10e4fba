"""Looks at a deployment from outside, as an app does: `python infra/smoke.py https://HOST`.

    SMOKE_TENANT, SMOKE_API_KEY    a tenant and an `sdk` key of it; without them no feed is asked for
    SMOKE_CERTIFICATE=self-signed  do not check the certificate (a test environment's own)
    SMOKE_FIREWALL=Detection       do not ask for what the firewall closes: it only logs yet

Waits for a while for the first good answers, because a fresh deployment starts its instances. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TIMEOUT_SECONDS = 15.0
PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 5.0
CLOSED = ("/v1/debug/user-signals", "/v1/%64ebug/user-signals", "/admin/host/status")
Fetch = Callable[[str, Mapping[str, str]], tuple[int, Any]]


def fetcher(base: str, self_signed: bool) -> Fetch:
    """`fetch(path, headers)` → (status, JSON body or None); status 0 when nobody answers."""
    context = ssl.create_default_context()
    if self_signed:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def fetch(path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
        request = urllib.request.Request(base + path, headers=dict(headers))  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as reply:  # noqa: S310
                return reply.status, parsed(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, parsed(error.read())
        except OSError:
            return 0, None

    return fetch


def parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def checks(fetch: Fetch, tenant: str, key: str, closed: Sequence[str] = CLOSED) -> dict[str, str | None]:
    """Check → what is wrong, or None. `closed` are the paths that the firewall must refuse."""
    found: dict[str, str | None] = {}
    status, _ = fetch("/health", {})
    found["the app is alive"] = None if status == 200 else f"/health answers {status}"
    status, body = fetch("/ready", {})
    states = body.get("dependencies") if isinstance(body, dict) else None
    found["everything it stands on answers"] = None if status == 200 else f"/ready answers {status}: {states}"
    for path in closed:
        status, _ = fetch(path, {"X-Api-Key": "no-such-key"})
        found[f"{path} is closed"] = None if status == 403 else f"it answers {status}: the firewall must answer 403"
    if not (tenant and key):
        return found
    user = hashlib.sha256(b"smoke").hexdigest()
    signed_in = {"X-Tenant-Id": tenant, "X-Api-Key": key, "X-User": user}
    status, body = fetch("/v1/feed?limit=5", signed_in)
    good = status == 200 and body.get("mode") in ("personalized", "fallback") and isinstance(body.get("items"), list)
    found["a feed is served"] = None if good else f"/v1/feed answers {status}"
    status, _ = fetch("/v1/feed?limit=5", {**signed_in, "X-Api-Key": "no-such-key"})
    found["a wrong key is refused"] = None if status == 401 else f"/v1/feed answers {status}"
    return found


def main(arguments: list[str], environment: Mapping[str, str], patience: float = PATIENCE_SECONDS) -> int:
    if len(arguments) != 1 or urllib.parse.urlsplit(arguments[0]).scheme not in ("https", "http"):
        print(__doc__)
        return 2
    fetch = fetcher(arguments[0].rstrip("/"), environment.get("SMOKE_CERTIFICATE") == "self-signed")
    tenant, key = environment.get("SMOKE_TENANT", ""), environment.get("SMOKE_API_KEY", "")
    closed = () if environment.get("SMOKE_FIREWALL") == "Detection" else CLOSED
    give_up_at = time.monotonic() + patience
    while True:
        found = checks(fetch, tenant, key, closed)
        if not any(found.values()) or time.monotonic() >= give_up_at:
            break
        time.sleep(min(PAUSE_SECONDS, patience))
    for check, wrong in found.items():
        print(f"{'FAILED' if wrong else 'ok':7} {check}{f' ({wrong})' if wrong else ''}")
    if not (tenant and key):
        print("left out: the feed (SMOKE_TENANT and SMOKE_API_KEY are not set)")
    if not closed:
        print("left out: what the firewall closes (it only logs; set FIREWALL_MODE to Prevention)")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
