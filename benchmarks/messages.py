"""Measures bytes and CPU of a batch of 20 events in a bus message, in both versions of the format.

`bytes` is the body for one batch, followed by its share of version 1's. `CPU` is the median time of `encode` and
`decode` together for one batch, and the median of its ratios to version 1, measured alternately in this run. There are
three kinds of batches:

- `page`: as `benchmarks.paths` reports a page
- `complete`: with positions, app sessions, some events without a watch time and some that do not count
- `foreign`: as `complete`, with random video ids of 11 characters

The second table shows the saving of compression dictionaries: `a tenant's own` is made from other batches about the
same videos, `another's` from batches about videos of other names. Every consumer must read messages of all tenants, so
only a dictionary that helps all of them is useful.
"""

from __future__ import annotations

import base64
import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.measured import record
from events.batch import Batch, decode, encode, encode_all
from events.batch_columns import to_parts
from events.frame import deflate
from events.schema import Event
from shared.domain.event_types import COMPLETE, IMPRESSION, LIKE, SKIP, VIDEO_VIEW
from shared.domain.feed_receipt import NO_POSITION, FeedReceipt

EVENTS, VIDEOS, BATCHES, TOGETHER, ROUNDS = 20, 2_000, 200, 4, 40
NOW = 1_795_962_290.0
TYPES = (IMPRESSION, VIDEO_VIEW, VIDEO_VIEW, SKIP, LIKE)
COMMAND = "python -m benchmarks messages, a page"
KINDS = ("page", "complete", "foreign")
THEMES = ("fitness", "cooking", "travel", "science", "nightlife", "music", "football")
OTHER_THEMES = ("news", "fashion", "gaming", "history", "animals", "cars", "art")
WITHOUT_TIME = (IMPRESSION, LIKE, COMPLETE)


def batches_of(kind: str, count: int, seed: int = 1, themes: Sequence[str] = THEMES) -> list[Batch]:
    """Return batches of `count` users, each about a page of 20 videos."""
    draw = random.Random(seed)
    catalog = [f"vid_{themes[at % len(themes)]}_{at // len(themes) + 1}" for at in range(VIDEOS)]
    if kind == "foreign":
        catalog = [base64.urlsafe_b64encode(draw.randbytes(9)).decode()[:11].replace("-", "x") for _ in range(VIDEOS)]
    return [_batch(draw, catalog, complete=kind != "page") for _ in range(count)]


def _batch(draw: random.Random, catalog: Sequence[str], complete: bool) -> Batch:
    accepted_at = NOW + draw.uniform(0, 3_600)
    session = draw.randbytes(8).hex() if complete else None
    receipt = FeedReceipt(
        int(accepted_at) - draw.randint(60, 600),
        personalized=True,
        warm=True,
        model=2_846_211_934,
        explored_rank=draw.randint(3, 9) if complete else NO_POSITION,
        propensity=draw.randint(1, 1_000) / 0xFFFF if complete else 0.0,
        key=draw.getrandbits(32),
    )
    events = []
    for place, video in enumerate(draw.sample(catalog, EVENTS)):
        type = draw.choice(TYPES)
        events.append(
            Event(
                type,
                video,
                at_ms=int((accepted_at - draw.uniform(0, 60)) * 1000),
                identity=draw.getrandbits(32),
                watch_ms=None if complete and type in WITHOUT_TIME else draw.randint(500, 40_000),
                position=place,
                request=0,
                place=place if complete else None,
                session_id=session,
            )
        )
    return Batch(
        id=draw.randbytes(16).hex(),
        tenant_id="tenant",
        user_key=base64.urlsafe_b64encode(draw.randbytes(32)).decode().rstrip("="),
        accepted_at=accepted_at,
        events=tuple(events),
        requests=(receipt,),
        trace_id=draw.randbytes(16).hex(),
        counted=tuple(draw.random() < 0.9 for _ in events) if complete else None,
    )


def dictionary_content() -> bytes:
    """Return dictionary 1 of messages: the positions of a page in order, then a batch about videos without names."""
    (example,) = batches_of("page", 1, seed=9)
    unnamed = replace(example, tenant_id="", events=tuple(replace(each, video_id="") for each in example.events))
    return bytes(range(100)) + to_parts(unnamed).packed


def main() -> None:
    """Print both tables."""
    print(
        f"\na batch of {EVENTS} events in a message, for one batch; {ROUNDS} rounds of {BATCHES} batches, taking turns"
    )
    print(f"{'':34}{'bytes':>7}{'share':>8}{'CPU µs':>9}{'ratio':>8}")
    for kind in KINDS:
        _print_kind(kind, batches_of(kind, BATCHES))
    print(f"\nwhat a dictionary saves, bytes for one batch alone and of {TOGETHER}")
    for kind in KINDS:
        for name, dictionary in _dictionaries(kind).items():
            alone, together = (_packed_bytes(kind, dictionary, size) for size in (1, TOGETHER))
            print(f"{kind:10}{name:24}{alone:7.0f}{together:8.0f}")


def _print_kind(kind: str, batches: list[Batch]) -> None:
    fours = [batches[at : at + TOGETHER] for at in range(0, BATCHES, TOGETHER)]
    ways: dict[str, tuple[Callable[[Any], bytes], list[Any]]] = {
        "version 1": (encode, batches),
        "version 2, one": (lambda batch: encode(batch, 2), batches),
        f"version 2, {TOGETHER} together": (encode_all, fours),
    }
    size = {name: sum(len(write(each)) for each in these) / BATCHES for name, (write, these) in ways.items()}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    gc.freeze()
    for turn in range(ROUNDS):
        for name in sorted(ways, reverse=turn % 2 == 1):
            spent[name].append(_cpu(*ways[name]))
    gc.unfreeze()
    if kind == KINDS[0]:
        record("body_bytes", size[f"version 2, {TOGETHER} together"], "bytes", f"{COMMAND}, {TOGETHER} together")
        record("rollup_body_bytes", size["version 2, one"], "bytes", f"{COMMAND}, one alone; two share it usually")
    for name, costs in spent.items():
        ratio = statistics.median(cost / first for cost, first in zip(costs, spent["version 1"], strict=True))
        share = size[name] / size["version 1"]
        print(f"{kind:10}{name:24}{size[name]:7.0f}{share:8.1%}{statistics.median(costs):9.1f}{ratio:8.2f}")


def _cpu(write: Callable[[Any], bytes], these: list[Any]) -> float:
    """Return µs to encode and decode one batch."""
    began = time.process_time()
    for each in these:
        decode(write(each))
    return (time.process_time() - began) / BATCHES * 1e6


def _dictionaries(kind: str) -> dict[str, bytes]:
    """Return compression dictionaries by name."""
    same = b"".join(to_parts(each).packed for each in batches_of(kind, 8, seed=2))
    other = b"".join(to_parts(each).packed for each in batches_of(kind, 8, seed=3, themes=OTHER_THEMES))
    return {"none": b"", "dictionary 1": dictionary_content(), "another's": other, "a tenant's own": same}


def _packed_bytes(kind: str, dictionary: bytes, together: int) -> float:
    """Return the bytes of the compressed part, per batch."""
    packed = [to_parts(each).packed for each in batches_of(kind, BATCHES)]
    groups = [b"".join(packed[at : at + together]) for at in range(0, BATCHES, together)]
    return sum(len(deflate(content, dictionary)) for content in groups) / BATCHES


if __name__ == "__main__":
    main()
