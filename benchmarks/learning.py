"""Measures CPU and memory of each step of an average tenant's nightly learning, in its own process.

The sample has the roll-up's target size: about 200,000 lines of events a day, half as many exposures, of a catalog of
8,000 videos and nine days. Nothing is read or written; decoding is measured separately, per line. It runs a first
night, with a new next-watch model, and a later one, which continues it.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from benchmarks.measured import record
from evaluation.synthetic import START, tastes_log
from events.archive import from_lines, to_lines
from events.batch import Batch
from events.schema import Event
from learning.next_watch_training import Training, histories_of, seed_of, train_night
from learning.night import learn, with_sample
from learning.night_state import NightState
from learning.replay import DAY
from learning.rolling import LongViews, user_code
from learning.sample_lines import Shown, ShownReader, Videos
from ranking.columns import key64
from ranking.cowatch import build
from ranking.table_file import Tables

USERS, VIDEOS, DAYS, SHOWN_A_DAY = 8_000, 8_000, 9, 12
LINES = 50_000
TENANTS = 120
T = TypeVar("T")


def main() -> None:
    """Print the table."""
    print(f"\na night of {USERS:,} sampled users, {VIDEOS:,} videos, {USERS * SHOWN_A_DAY:,} exposures a day")
    print(f"{'':34}{'CPU s':>8}{'peak MB':>9}")
    days, videos = _days()
    per_line = _decoding()
    spent = {name: _night(days, videos, name) for name in ("first", "later")}
    print(f"{'decoding and reading a line':34}{per_line * 1e6:>8.1f} µs")
    lines = 2 * USERS * SHOWN_A_DAY * per_line
    for name, (seconds, size) in spent.items():
        print(f"{name} night, all{'':22}{seconds + lines:>7.1f}   (file of the state: {size / 1e6:.1f} MB)")
    later = spent["later"][0] + lines
    print(f"{TENANTS} tenants: {TENANTS * later / 3_600:.1f} core-hours a night")
    record("learning_cpu_s", later, "s", f"python -m benchmarks learning, a later night, at most {_peak_mb():.0f} MB")


def _days() -> tuple[list[Shown], Videos]:
    log = tastes_log(users=USERS, videos=VIDEOS, days=DAYS, a_day=SHOWN_A_DAY)
    shown = log.exposures
    keys = np.array([key64(video.id) for video in log.videos], np.uint64)
    codes = np.array([user_code(name) for name in log.users], np.int64)
    day = ((shown.time - START) // DAY).astype(np.int64)
    count = len(shown)
    everything = Shown(
        codes[shown.user],
        keys[shown.video],
        shown.time,
        shown.watch_ms.astype(np.float32),
        np.zeros(count, np.uint8),
        np.zeros(count, np.float32),
    )
    return [everything.only(day == number) for number in range(DAYS)], Videos(log.videos)


def _night(days: list[Shown], videos: Videos, which: str) -> tuple[float, int]:
    """Run one night and print its steps; return CPU seconds and the bytes of the state."""
    earlier = days[:-1] if which == "later" else []
    start = NightState("")
    for number, day in enumerate(earlier):  # they only prepare the state of the measured night
        start = with_sample(start, [day], videos, _name(number), {})
    before = start if earlier else None
    at = START + (len(earlier) + 1) * DAY
    tables, training = _tables(start.views, None, at - DAY) if earlier else (None, None)
    steps: list[tuple[str, float]] = []
    today = days[len(earlier)]
    state = _timed(steps, "take the day in", lambda: with_sample(start, [today], videos, _name(len(earlier)), {}))
    learned = _timed(steps, "judge and fit", lambda: learn(before, state, tables, videos))
    _timed(steps, "tables", lambda: _tables(state.views, training, at))
    content = _timed(steps, "write the state", learned.state.to_bytes)
    _timed(steps, "read the state", lambda: NightState.from_bytes(content))
    for step, spent in steps:
        print(f"{which + ' night, ' + step:34}{spent:>8.1f}{_peak_mb():>9.0f}", flush=True)
    return sum(spent for _, spent in steps), len(content)


def _name(number: int) -> str:
    return datetime.fromtimestamp(START + number * DAY, UTC).date().isoformat()


def _tables(views: LongViews, training: Training | None, at: float) -> tuple[Tables, Training | None]:
    columns = views.users, views.keys, views.times
    after = train_night(training, histories_of(*columns), seed_of("tenant", "night"), at - DAY)
    return Tables(build(*columns, built_at=at), None if after is None else after.table(at)), after


def _decoding() -> float:
    """Return the CPU seconds per line from a compressed file to columns."""
    batches = [
        Batch(
            f"{number:032x}",
            "tenant",
            f"user-{number % 500}",
            START,
            tuple(Event("video_view", f"v{n}", int(START * 1000), n, 20_000.0) for n in range(20)),
            counted=(True,) * 20,
        )
        for number in range(LINES // 20)
    ]
    content = to_lines(batches, lambda key: f"{user_code(key):032x}")
    began = time.process_time()
    reader = ShownReader(keep_views=True)
    reader.add(from_lines(content))
    reader.shown()
    return (time.process_time() - began) / LINES


def _timed(steps: list[tuple[str, float]], name: str, work: Callable[[], T]) -> T:
    began = time.process_time()
    result = work()
    steps.append((name, time.process_time() - began))
    return result


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
