"""Requests of clients, editors and documents that the firewall must allow."""

from __future__ import annotations

import asyncio
import base64
import gzip
import random
import re
import sys
import zlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlencode

import orjson

import function_app
from feed.narrowing import FILTERS, MAX_VALUES
from local.demo import seed_demo
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.docs.pages import ROOT, pages
from tests.docs.replay import replay
from tests.firewall.guarded import Guarded, Tally
from tests.firewall.texts import titles
from tests.served_app import make_videos, new_user

AT_ONCE = 8
LINK = "https://cdn.example/films/core.m3u8?token=a1b2c3&expires=1798740000&quality=4k#t=10"
CSV = {"Content-Type": "text/csv"}
NDJSON = {"Content-Type": "application/x-ndjson"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
GZIP = {"Content-Encoding": "gzip"}
PATH_VALUES = {"file": "app.js", "version": "global"}


async def many(calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run them, some at a time."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def documents(app: Guarded) -> Tally:
    """Send every request shown in docs/api.md and docs/events.md, in order, and those of docs/client.py."""
    tally = app.new_tally()
    assert await seed_demo(app.services)
    for name in ("docs/events.md", "docs/api.md"):
        await replay(pages()[name], app)
    viewer = await app.tenant(make_videos(60))
    before = app.wall.calls().total()
    client = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "docs" / "client.py"), "--url", app.url,
        "--tenant", viewer.tenant_id, "--key", viewer.key,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await client.communicate()
    tally.sent += app.wall.calls().total() - before
    if client.returncode != 0:
        tally.unexpected.append(f"docs/client.py: {printed.decode()[-500:]}")
    return tally


async def operations(app: Guarded) -> Tally:
    """Send every operation of the OpenAPI document with its examples, and the examples of docs/cms.md."""
    tally = app.new_tally()
    editor = await _with_every_scope(app)
    base = {"X-Tenant-Id": editor.tenant_id, "X-Api-Key": editor.key, "X-User": editor.client.user}
    for path, methods in function_app.api.document["paths"].items():
        filled = re.sub(r"\{(\w+)\}", lambda found: PATH_VALUES.get(found[1], "vid_fitness_1"), path)
        for method, operation in methods.items():
            query, headers = {}, dict(base)
            for parameter in operation.get("parameters", ()):
                example = parameter.get("example", '"x"' if parameter["name"] == "If-Match" else None)
                example = ",".join(example) if isinstance(example, list) else example
                if example is not None and parameter["in"] in ("query", "header"):
                    (query if parameter["in"] == "query" else headers)[parameter["name"]] = example
            body = None
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                body = orjson.dumps(content["examples"]["example"]["value"])
                headers["Content-Type"] = media_type
            answer = await app.request(method.upper(), filled, {**headers, "X-User": base["X-User"]}, query, body)
            if answer.status >= 500 and path != "/ready":
                tally.unexpected.append(f"{method} {path}: {answer.status}")
    page = (ROOT / "docs" / "cms.md").read_text(encoding="utf-8")
    for resource, example in zip(
        ("videos", "rules", "feeds", "preview"), re.findall(r"```json\n(.*?)```", page, re.S), strict=True
    ):
        await editor.post(resource, example.encode())
    return tally


async def imports(app: Guarded) -> Tally:
    """Send a file of each kind, plain and compressed, with realistic titles and links; and a large one."""
    tally = app.new_tally()
    editor = await new_editor(app, make_videos(3))
    rows = [
        {"id": f"vid_{n:05}", **VIDEO, "title": title, "playbackUrl": LINK, "tags": ["a&b", "c;d"]}
        for n, title in enumerate(titles(200, random.Random(5)))
    ]
    table = b"id;title;playbackUrl;mainTag;durationSeconds;maturityRating\n" + b"\n".join(
        f'{row["id"]};"{row["title"].replace(chr(34), chr(34) * 2)}";{LINK};fitness;41 s;PG-13'.encode() for row in rows
    )
    files = [
        ("JSON", orjson.dumps({"videos": rows}), {}),
        ("JSON lines", b"\n".join(map(orjson.dumps, rows)), NDJSON),
        ("a table", table, CSV),
    ]
    for kind, file, headers in files:
        tally.expect(await editor.post("imports", file, headers), 200, of=kind)
        answer = await editor.post("imports", gzip.compress(file), {**headers, **GZIP})
        tally.expect(answer, 200, of=f"{kind}, compressed")
    large = orjson.dumps({"videos": [{**row, "id": f"vid_{n}_{row['id']}"} for n in range(100) for row in rows]})
    assert len(large) > 4_500_000
    tally.expect(await editor.post("imports", large), 202, of=f"an import of {len(large) / 1e6:.0f} MB")
    padded = orjson.dumps({**VIDEO, "id": "vid_padded", "title": rows[0]["title"]}) + b" " * 900_000
    tally.expect(await editor.post("videos", padded), 201, of="a call of 900 kB")
    key = {"Idempotency-Key": "autumn; part 1 & 2"}
    answer = await editor.post("imports", gzip.compress(large), {**GZIP, **key})
    tally.expect(answer, 202, of="the same, compressed")
    tally.expect(await editor.get(f"imports/{answer.json['id']}"), 200, of="how far it is")
    past = {"user": editor.client.user, "type": "like", "timestamp": editor.app.now_ms(86_400)}
    file = b"\n".join(orjson.dumps({**past, "videoId": row["id"]}) for row in rows)
    answer = await editor.post("history", gzip.compress(file), {**NDJSON, **GZIP})
    tally.expect(answer, 202, of="past events, compressed")
    tally.expect(await editor.get(f"history/{answer.json['id']}"), 200, of="how far they are")
    patch = orjson.dumps({"title": rows[0]["title"], "thumbnailUrl": LINK})
    changed = await editor.change("PATCH", "videos/vid_00001", patch, **MERGE_PATCH)
    tally.expect(changed, 200, of="a merge patch")
    return tally


async def written_titles(app: Guarded, count: int, draw: random.Random) -> Tally:
    """Send titles in a new video, in a search and in a change with its reason; some as names of rules and playlists."""
    tally = app.new_tally()
    editor = await new_editor(app, make_videos(3))

    async def one(number: int, title: str) -> None:
        video = {**VIDEO, "id": f"vid_{number:05}", "title": title, "playbackUrl": LINK, "thumbnailUrl": LINK}
        made = await editor.post("videos", video, {"X-Reason": title})
        tally.expect(made, 201, of=title)
        tally.expect(await editor.get("videos", q=title, tag="fitness"), 200, of=f"search for {title}")
        headers = {**MERGE_PATCH, "If-Match": made.headers.get("Etag", "")}
        body = {"title": f"{title} (new)", "reason": title}
        tally.expect(await editor.call("PATCH", f"videos/vid_{number:05}", body, headers), 200, of=title)
        if number < 100:
            rule = {
                "id": f"rule-{number}",
                "name": title,
                "action": "exclude",
                "match": {"videoIds": ["vid_1"]},
                "enabled": False,
            }
            tally.expect(await editor.post("rules", rule), 201, of=f"rule {title}")
            tally.expect(
                await editor.post("playlists", {"id": f"list-{number}", "name": title, "videoIds": []}),
                201,
                of=f"playlist {title}",
            )

    chosen = titles(count, draw)
    await many((lambda n=n, title=title: one(n, title)) for n, title in enumerate(chosen))  # type: ignore[misc]
    return tally


async def filtered(app: Guarded, count: int, draw: random.Random) -> Tally:
    """Request feeds by name, and by realistic filter values: tags, categories, names of creators; some combined,
    also as many as a request can have. No video matches, so the page is empty."""
    tally = app.new_tally()
    client = await app.tenant(make_videos(6))
    tally.expect(await client.as_user().feed(feed="home"), 200, of="the feed home")
    written = [title[:128] for title in titles(count * 3, draw)]
    for number in range(count):
        values = written[number * 3 : number * 3 + 3]
        names = draw.sample(list(FILTERS), len(values))
        query = urlencode(list(zip(names, values, strict=True)))
        user = client.as_user(new_user())
        tally.expect(await app.request("GET", f"/v1/feed?{query}", user.headers), 200, of=query)
    query = urlencode([("filter.tag", value) for value in written[:MAX_VALUES]])
    tally.expect(await app.request("GET", f"/v1/feed?{query}", client.as_user().headers), 200, of="20 tags")
    return tally


async def compressed(app: Guarded) -> Tally:
    """Send batches as clients can pack them, up to the largest, and one that is too large and refused by the app."""
    tally = app.new_tally()
    client = await app.tenant(make_videos(6))
    batch = orjson.dumps({"events": [_event(app, f"vid_fitness_{n % 2 + 1}") for n in range(100)]})
    # Random text, because one repeated letter would be a decompression bomb.
    note = base64.b64encode(random.Random(1).randbytes(1_800)).decode()
    padded = orjson.dumps({"events": [{**_event(app, "vid_fitness_1"), "note": note} for _ in range(100)]})
    too_large = padded + b" " * (300_000 - len(padded))
    assert 240_000 < len(padded) < 262_144
    sent: list[tuple[str, bytes, dict[str, str], int]] = [
        ("a batch", batch, {}, 202),
        ("a batch, gzip", gzip.compress(batch), GZIP, 202),
        ("a batch, deflate", zlib.compress(batch), {"Content-Encoding": "deflate"}, 202),
        ("a batch of 250 kB", padded, {}, 202),
        ("a batch of 250 kB, gzip", gzip.compress(padded), GZIP, 202),
        ("a batch of 300 kB", too_large, {}, 413),
        ("a batch of 300 kB, gzip", gzip.compress(too_large), GZIP, 413),
    ]
    for what, body, headers, status in sent:
        tally.expect(await client.as_user().post_raw(body, headers), status, of=what)
    return tally


def _event(app: Guarded, video: str) -> dict[str, Any]:
    return {"type": "impression", "videoId": video, "timestamp": app.now_ms(60)}


async def _with_every_scope(app: Guarded) -> Editor:
    editor = await new_editor(app, make_videos(6))
    key = base64.b32encode(editor.key.encode()).decode().rstrip("=")
    await app.save_key(editor.tenant_id, key, "sdk", "cms", "privacy", "ops", name="every scope")
    return editor.with_key(key)
