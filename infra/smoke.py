"""Smoke test of a deployment from outside, as apps and editors use it: `python infra/smoke.py https://HOST`.

    SMOKE_TENANT, SMOKE_API_KEY    a tenant for this test, and a key of it with the scopes sdk, cms and privacy; without
                                   them, calls that need a key are skipped
    SMOKE_CERTIFICATE=self-signed  do not check the certificate (of a test environment)
    SMOKE_FIREWALL=Detection       do not test that the firewall refuses paths: it only logs

Waits for the first successful answers, because a new deployment starts its instances. Then it imports a video, sends a
batch of events of a user generated for this run, waits until the user's signals show them, and erases the user. Uses
only the standard library.
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
FOLD_PATIENCE_SECONDS = 300.0
"""Objective: events count within five minutes."""
VIDEO = {
    "id": "smoke",
    "title": "Smoke test",
    "playbackUrl": "https://cdn.example/smoke.m3u8",
    "mainTag": "smoke",
    "durationSeconds": 30,
    "maturityRating": "G",
}
Fetch = Callable[..., tuple[int, Any]]


def fetcher(base: str, self_signed: bool) -> Fetch:
    """Return `fetch(path, headers, sent=None)`, which returns (status, JSON body or None). `sent` is posted as JSON.
    Status 0: no answer."""
    context = ssl.create_default_context()
    if self_signed:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def fetch(path: str, headers: Mapping[str, str], sent: Any = None) -> tuple[int, Any]:
        body = None if sent is None else json.dumps(sent).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(base + path, body, {**headers, **kind})  # noqa: S310
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
    """Run the checks. Return the fault by check, None if it passed. `closed`: paths that the firewall must refuse."""
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


def write_path(fetch: Fetch, tenant: str, key: str, patience: float, pause: float) -> dict[str, str | None]:
    """Check the way of a video to the catalog, and of a batch to the user's signals. Return the fault by check, None if
    it passed."""
    found: dict[str, str | None] = {}
    signed_in = {"X-Tenant-Id": tenant, "X-Api-Key": key, "X-User": hashlib.sha256(os.urandom(32)).hexdigest()}
    status, body = fetch("/v1/cms/imports", signed_in, {"videos": [VIDEO]})
    failed = body.get("counts", {}).get("failed") if isinstance(body, dict) else None
    found["a video is imported"] = None if status == 200 and not failed else f"/v1/cms/imports answers {status}: {body}"
    now = int(time.time() * 1000)
    events = [{"type": "video_view", "videoId": VIDEO["id"], "timestamp": now, "watchTimeMs": 20_000}]
    status, body = fetch("/v1/events/batch", signed_in, {"events": events})
    good = status == 202 and body.get("accepted") == 1
    found["events are accepted"] = None if good else f"/v1/events/batch answers {status}: {body}"
    if any(found.values()):
        return found
    give_up_at = time.monotonic() + patience
    while True:
        status, body = fetch("/v1/privacy/export", signed_in, {})
        folded = status == 200 and bool(body.get("signals"))
        if folded or time.monotonic() >= give_up_at:
            break
        time.sleep(pause)
    wrong = f"/v1/privacy/export answers {status} after {patience:.0f} s: is fold_signals running?"
    found["the user's signals show them"] = None if folded else wrong
    status, _ = fetch("/v1/privacy/erase", signed_in, {})
    found["the user is erased"] = None if status == 200 else f"/v1/privacy/erase answers {status}"
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
    if tenant and key and not any(found.values()):
        found |= write_path(fetch, tenant, key, min(FOLD_PATIENCE_SECONDS, patience), min(PAUSE_SECONDS, patience / 20))
    for check, wrong in found.items():
        print(f"{'FAILED' if wrong else 'ok':7} {check}{f' ({wrong})' if wrong else ''}")
    if not (tenant and key):
        print("left out: feed, import and events (SMOKE_TENANT and SMOKE_API_KEY are not set)")
    if not closed:
        print("left out: what the firewall closes (it only logs; set FIREWALL_MODE to Prevention)")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
