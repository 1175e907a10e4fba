"""A client as an SDK should be: pages, batches, retries and consent. Python 3.11, nothing beside the standard library.

    python docs/client.py --url http://127.0.0.1:7071 --tenant tenant_1 --key secret-api-key

shows a user a few pages of the demo, watches fitness, skips the rest, and shows them the feed again.

What to take over:

- **User.** Send the HMAC-SHA-256 of your user id under a salt that only your backend knows, never the id.
- **Paging.** Walk on with `nextCursor` until it is null. A 400 `invalid_cursor` or `cursor_expired` starts afresh.
- **Caching.** Keep the last first page with its ETag, for its user only; a 304 says it is still the one. Drop it when
  its cursor is refused.
- **Batching.** Collect events, send up to 100 every few seconds. A batch keeps its `Idempotency-Key` for life.
- **Retries.** 429, 500 and 503 and a cut connection: wait as `Retry-After` says, else back off exponentially with
  jitter, and send the same bytes with the same key again. Any other 4xx: change the call, do not repeat it.
- **Rejected events** are wrong for ever: drop them, do not send them again.
- **Consent.** Say `X-Personalization: off` from the moment the user opts out, and keep sending it.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import json
import random
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

AGAIN = {429, 500, 502, 503, 504}
START_AGAIN = {"invalid_cursor", "cursor_expired"}
MAX_EVENTS = 100
TIMEOUT_SECONDS = 10.0


def _device_time() -> str:
    return datetime.now(UTC).isoformat()


class Refused(Exception):
    """The service said no, and will say so again: `code` tells why."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status, self.code = status, code
        super().__init__(f"{status} {code}: {detail}")


class GaveUp(Exception):
    """The service could not be reached, or was busy, for as long as we were willing to wait."""


@dataclass
class Client:
    """One user of one app. `token` returns a fresh user token, for tenants that require one.

    `sleep` and `draw` can be replaced, for tests. Not for several threads at a time.
    """

    url: str
    tenant_id: str
    key: str
    user: str
    token: Callable[[], str] | None = None
    personalized: bool = True
    attempts: int = 6
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random
    waiting: list[dict[str, Any]] = field(default_factory=list)
    _connection: http.client.HTTPConnection | None = None
    _first_page: tuple[tuple[str, ...], str, dict[str, Any]] | None = None
    _batch: tuple[str, bytes, int] | None = None

    # ---- the feed

    def page(self, cursor: str | None = None, **query: str | int) -> dict[str, Any]:
        """One page. The first one is taken from memory when the service says it is unchanged (304)."""
        if cursor is not None:
            query["cursor"] = cursor
        path = "/v1/feed?" + urllib.parse.urlencode(query)
        asked = (path, self.tenant_id, self.key, self.user, "on" if self.personalized else "off")
        kept = self._first_page if self._first_page and self._first_page[0] == asked else None
        try:
            status, answered, body = self._call("GET", path, {"If-None-Match": kept[1]} if kept else {})
        except Refused as refused:
            if refused.code in START_AGAIN:
                self._first_page = None  # its cursor is no better
            raise
        if status == 304 and kept:
            return kept[2]
        page: dict[str, Any] = json.loads(body)
        if cursor is None and "etag" in answered:
            self._first_page = (asked, answered["etag"], page)
        return page

    def walk(self, pages: int, **query: str | int) -> Iterator[dict[str, Any]]:
        """Page after page, at most so many, until the feed ends."""
        cursor: str | None = None
        for _ in range(pages):
            try:
                page = self.page(cursor, **query)
            except Refused as refused:
                if refused.code not in START_AGAIN or cursor is None:
                    raise
                page = self.page(**query)
            yield page
            cursor = page["nextCursor"]
            if cursor is None:
                return

    # ---- events

    def report(self, type: str, page: dict[str, Any], item: dict[str, Any], **fields: Any) -> None:
        """Note an event about a video of a page. It is sent with the next `flush`."""
        self.waiting.append(
            {
                "type": type,
                "videoId": item["videoId"],
                "timestamp": _device_time(),
                "feedRequestId": page["feedRequestId"],
                "rankPosition": item["rank"],
                "eventId": uuid.uuid4().hex,
                **fields,
            }
        )

    def flush(self) -> int:
        """Send what waits; how many events were accepted.

        After `GaveUp` call it again: nothing is lost or doubled. `Refused` means that a whole batch was malformed: it
        is dropped, since it would be refused for ever.
        """
        accepted = 0
        while self._batch or self.waiting:
            if self._batch is None:
                events = self.waiting[:MAX_EVENTS]
                self._batch = (
                    uuid.uuid4().hex,
                    json.dumps({"events": events, "sentAt": _device_time()}).encode(),
                    len(events),
                )
            name, body, count = self._batch
            headers = {"Content-Type": "application/json", "Idempotency-Key": name}
            try:
                accepted += json.loads(self._call("POST", "/v1/events/batch", headers, body)[2])["accepted"]
            except GaveUp:
                raise  # the batch stays as it is, for the next time
            except Refused:
                self._drop(count)
                raise
            self._drop(count)
        return accepted

    def _drop(self, count: int) -> None:
        self._batch = None
        del self.waiting[:count]

    def opt_out(self) -> None:
        """The user does not want to be personalized: from here on feeds are popular ones and events name nobody."""
        self.personalized = False
        self._first_page = None

    # ---- one call

    def _call(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send until there is an answer worth having. Raises `Refused` or `GaveUp`."""
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            wait = self._back_off(attempt)
            try:
                status, answered, content = self._send(method, path, headers, body)
                if status < 400:
                    return status, answered, content
                problem = json.loads(content or b"{}")
                code = problem.get("code", "")
                if code == "user_token_expired" and self.token and not renewed:
                    renewed = True
                    continue
                if status not in AGAIN:
                    raise Refused(status, code, problem.get("detail", ""))
                if "retry-after" in answered:
                    wait = float(answered["retry-after"]) + self.draw()
            except (OSError, http.client.HTTPException, ValueError):
                self._close()
            if attempt >= self.attempts:
                raise GaveUp(f"{method} {path.partition('?')[0]}: no answer in {attempt} attempts")
            self.sleep(wait)

    def _back_off(self, attempt: int) -> float:
        """Half a second, doubled each time up to 30, of which a random half is taken off: a crowd must not return at
        once."""
        return min(30.0, 0.5 * 2.0 ** (attempt - 1)) * (0.5 + self.draw() / 2)

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        if self._connection is None:
            place = urllib.parse.urlsplit(self.url)
            kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(place.netloc, timeout=TIMEOUT_SECONDS)
        who = {"X-Tenant-Id": self.tenant_id, "X-Api-Key": self.key, "X-User": self.user}
        if self.token:
            who["X-User-Token"] = self.token()
        if not self.personalized:
            who["X-Personalization"] = "off"
        self._connection.request(method, path, body, {**who, **headers})
        response = self._connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        return response.status, answered, response.read()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def user_hash(user_id: str, salt: bytes) -> str:
    """What to send as the user. Done by your backend: the salt must not be in the app."""
    return hmac.digest(salt, user_id.encode(), hashlib.sha256).hex()


def main() -> None:
    """The demo."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:7071")
    parser.add_argument("--tenant", default="tenant_1")
    parser.add_argument("--key", default="secret-api-key")
    parser.add_argument("--user", default=uuid.uuid4().hex, help="any id; it is hashed here")
    arguments = parser.parse_args()
    user = user_hash(arguments.user, b"a salt that only your backend knows")
    client = Client(arguments.url, arguments.tenant, arguments.key, user)
    _show("a new user", client.page(limit=5))
    for page in client.walk(pages=3, limit=10):
        for item in page["items"]:
            if item["mainTag"] == "fitness":
                client.report("video_view", page, item, watchTimeMs=int(item["durationSeconds"] * 1000))
            else:
                client.report("skip", page, item)
    print(f"\nreported {client.flush()} events\n")
    for _ in range(20):  # they count within seconds
        if client.page(limit=5)["mode"] == "personalized":
            break
        time.sleep(0.25)
    _show("after watching fitness", client.page(limit=5))
    client.opt_out()
    _show("opted out", client.page(limit=5))


def _show(when: str, page: dict[str, Any]) -> None:
    print(f"{when}: {page['mode']}" + (f" ({page['reason']})" if page["reason"] else ""))
    for item in page["items"]:
        print(f"  {item['rank'] + 1:2} {item['mainTag']:10} {item['title']}")


if __name__ == "__main__":
    main()
