"""Every call of the Studio's files, sent by them in a browser behind the firewall."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cms.studio.api import FOLDER
from tests.cms.editor import RULE, VIDEO, new_editor
from tests.e2e.test_studio import DESKTOP, Open, chromium, open_studio
from tests.firewall.guarded import Guarded
from tests.served_app import make_videos

__all__ = ["chromium", "open_studio"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

TITLE = "10 tips & tricks; select the best one"
LINK = "https://cdn.example/core.m3u8?token=a&quality=4k"
PAST = "2026-11-20T18:30:12Z"
ARMS = [{"name": "as now", "percent": 50}, {"name": TITLE[:40], "percent": 50, "weights": {"quality": 1.5}}]
PUBLIC_KEY = "\n".join(
    (
        "-----BEGIN PUBLIC KEY-----",
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
        "-----END PUBLIC KEY-----",
    )
)
_CALL = re.compile(r'\b(?:call\("([A-Z]+)", |(get|post)\()([`"])(.+?)(?:\?|\3)')
BODIES: dict[str, Any] = {
    "videos": {**VIDEO, "title": TITLE, "playbackUrl": LINK},
    "rules": {**RULE, "name": TITLE},
    "playlists": {"name": TITLE, "videoIds": ["vid_travel_1"], "reason": TITLE},
    "configuration": {"weights": {"quality": 1.5}, "reason": TITLE},
    "preview": {"viewer": {"country": "DE", "likedCategories": ["fitness"]}, "draft": {"rules": [RULE]}},
    "served-page": {"feedRequestId": "AQxSaGVs.b_9xk2mQ0Zr"},
    "tenants": {"tenantId": "news", "name": TITLE, "maturityPolicy": "PG"},
    "feeds": {"title": TITLE, "base": {"tags": [TITLE]}, "weights": {"quality": 1.5}},
    "experiments": {"name": TITLE, "hypothesis": TITLE, "arms": ARMS},
    "models": {"type": "linear", "version": "2026-11-a", "weights": {"quality": 1}},
    "keys": {"name": "Anna", "scopes": ["cms"], "expiresAt": "2027-01-01T00:00:00Z"},
    "user-token-keys": {"keyId": "2026", "publicKey": PUBLIC_KEY},
    "stories": {"reason": TITLE},
    "history": {"events": [{"user": "5f" * 32, "type": "like", "videoId": "vid_travel_1", "timestamp": PAST}]},
    "imports": {"videos": [{"id": "vid_new", **VIDEO, "title": TITLE, "playbackUrl": LINK}]},
}
ASK = """async ([method, path, body]) => {
  const { call } = await import("/studio/api.js");
  try {
    await call(method, path, body ?? undefined, { etag: '"x"' });
    return 200;
  } catch (refused) {
    return [refused.status, refused.code];
  }
}"""


def calls() -> set[tuple[str, str]]:
    """Return method and path, such as `("PATCH", "videos/vid_travel_1")`, of every call in the Studio's files."""
    found = set()
    for file in FOLDER.glob("*.js"):
        for method, function, _, path in _CALL.findall(file.read_text()):
            if file.name != "api.js" and not path.startswith("/"):  # those exist on one machine only, without a gateway
                found.add((method or function.upper(), re.sub(r"\$\{.*", "vid_travel_1", path)))
    return found


async def test_every_studio_call_passes(app: Guarded, open_studio: Open) -> None:
    page = await open_studio(await new_editor(app, make_videos(6)), DESKTOP)
    app.wall.forget()
    made = sorted(calls())
    assert {path.partition("/")[0] for _, path in made} == {
        *BODIES,
        "audit",
        "learning",
        "live",
        "media-ticket",
        "performance",
        "playback",
        "values",
    }
    for method, path in made:
        body = None if method in ("GET", "DELETE") else BODIES.get(path.partition("/")[0], {})
        answer = await page.evaluate(ASK, [method, path, body])
        assert answer == 200 or answer[1], f"{method} {path} was answered {answer}, and not by the app"
    assert await app.wall.missing({f"{method} /v1/cms/{path}" for method, path in made}) == set()
    assert app.wall.refusals() == 0
