"""Code samples for a new tenant's developers: a feed with the TypeScript SDK, and the same calls with curl."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

PLACEHOLDER_KEY = "YOUR_APP_KEY"
EXAMPLE_USER = "5f" * 32
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:]{2,45}\](:[0-9]{1,5})?")

_PAGE = """\
<!doctype html>
<style>html { scroll-snap-type: y mandatory } video { display: block; width: 100%; height: 100vh; scroll-snap-align: start }</style>
<script type="module">
  import { startSession } from "./dist/video-feed.js";
  const session = startSession({ baseUrl: BASE_URL, tenantId: TENANT_ID, apiKey: API_KEY, user: "5f".repeat(32) });
  const feed = session.feed();
  for (let index = 0, video; (video = await feed.at(index)); index++) {
    const slide = document.createElement("video");
    Object.assign(slide, { src: video.playbackUrl, poster: video.thumbnailUrl ?? "", title: video.title, controls: true });
    document.body.append(slide);
    await new Promise((seen) => new IntersectionObserver((all) => all.at(-1).isIntersecting && seen(), { threshold: 0.6 }).observe(slide));
    session.events.impression(video);
    session.play(video, slide); // reports its start, how long it has played, its end
  }
</script>
"""  # noqa: E501 (as in sdk/typescript/README.md, which a test compares)


def app_page(base_url: str, tenant_id: str, app_key: str) -> str:
    """Return the page of `sdk/typescript/README.md` with a tenant's URL, id and key."""
    filled = {"BASE_URL": base_url, "TENANT_ID": tenant_id, "API_KEY": app_key}
    return re.sub("BASE_URL|TENANT_ID|API_KEY", lambda found: json.dumps(filled[found[0]]), _PAGE)


def app_curl(base_url: str, tenant_id: str, app_key: str, video_id: str = "VIDEO_ID") -> str:
    """Return curl commands that get a feed and send an event."""
    who = f"-H 'X-Tenant-Id: {tenant_id}' -H 'X-Api-Key: {app_key}' -H 'X-User: {EXAMPLE_USER}'"
    event = f'{{"events": [{{"type": "impression", "videoId": "{video_id}", "timestamp": \'"$(date +%s000)"\'}}]}}'
    return (
        f"curl '{base_url}/v1/feed?limit=5' {who}\n"
        f"curl '{base_url}/v1/events/batch' {who} -H 'Content-Type: application/json' -d '{event}'\n"
    )


def base_url_of(url: str, headers: Mapping[str, str]) -> str:
    """Return the URL (scheme and host) at which the caller reached the service, also behind a gateway."""
    asked = urlsplit(url)
    entry = headers.get("x-original-host", "")
    if _HOST.fullmatch(entry):
        return f"https://{entry}"
    host = headers.get("host", "")
    return f"{asked.scheme or 'https'}://{host if _HOST.fullmatch(host) else asked.netloc}"
