"""Attacks that the firewall must refuse, and those the app must refuse in bodies that are not inspected."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from tests.firewall.attacks import Attack, attacks, harmless, in_events
from tests.firewall.guarded import STRICT, UNREAD, Guarded
from tests.firewall.server import is_refusal
from tests.served_app import make_videos

MOST_EVENTS = 50


@dataclass(frozen=True)
class Stopped:
    """How many attacks were sent, those that passed, and harmless requests that were refused."""

    sent: int
    through: Sequence[str]
    harmless_refused: Sequence[str]

    @property
    def passed(self) -> bool:
        return self.sent > 0 and not self.through and not self.harmless_refused


async def attacked(app: Guarded) -> Stopped:
    """Send every attack, and each harmless request it was made from."""
    through, sent = [], 0
    for attack in attacks():
        sent += 1
        if not await _refused(app, attack):
            through.append(f"{attack.kind}: {attack.method} {attack.path} {attack.headers.get('User-Agent', '')}")
    wrong = [f"{each.method} {each.path}" for each in harmless() if await _refused(app, each)]
    return Stopped(sent, through, wrong)


async def _refused(app: Guarded, attack: Attack) -> bool:
    answer = await app.ask(app.url, attack.method, attack.path, attack.headers, None, attack.body)
    return is_refusal(answer.status, answer.body)


async def attacked_in_events(app: Guarded) -> Stopped:
    """Send the same attacks inside events: the app accepts none of these, and the batches pass."""
    client = await app.tenant(make_videos(3))
    events = [{"timestamp": app.now_ms(60), **event} for event in in_events()]
    through = []
    for start in range(0, len(events), MOST_EVENTS):
        chunk = events[start : start + MOST_EVENTS]
        answer = await client.as_user().post(chunk)
        rejected = {each["index"] for each in answer.json["rejected"]}
        through += [str(event) for index, event in enumerate(chunk) if index not in rejected]
    return Stopped(len(events), through, ())


async def needs_of_a_compressed_batch(app: Guarded) -> dict[str, list[str]]:
    """Return which rules refuse a compressed batch: under all rules, without inspection of bodies, and as deployed."""
    client = await app.tenant(make_videos(3))
    event = {"type": "like", "videoId": "vid_fitness_1", "timestamp": app.now_ms(60)}
    body = gzip.compress(orjson.dumps({"events": [event]}))
    headers = {**client.headers, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    found = {}
    for policy in (STRICT, UNREAD, "events"):
        app.wall.forget()
        answer = await app.ask(app.wall.urls[policy], "POST", "/v1/events/batch", headers, None, body)
        found[policy] = sorted(app.wall.rules(policy)) if is_refusal(answer.status, answer.body) else []
    return found
