"""Simulates the learning of many kinds of tenants day by day, and compares the served models with popularity alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.tenant_kinds import KINDS, generated, part_of
from learning.learner import Learner, Night
from learning.log import Log
from learning.ranking_metrics import Interval
from learning.replay import Replay


def tenants_of(
    log: Log | None, shares: Sequence[float], count: int, kinds: Iterable[str]
) -> Iterator[tuple[str, Callable[[], Log]]]:
    """Yield names and functions that make the logs: `count` random parts of a log's users for each share, then
    generated kinds."""
    if log is not None:
        for share in shares:
            for number in range(count):
                yield f"{share:.0%} of the users, {number}", partial(part_of, log, share, number)
    for kind in kinds:
        yield kind, partial(generated, KINDS[kind])


def learn_all(
    tenants: Iterable[tuple[str, Callable[[], Log]]], half_life_days: float, folder: Path | None
) -> Iterator[dict[str, Any]]:
    """Yield the results one by one. Each is stored in `folder`, which several runs can share. A stopped run continues
    after its last finished tenant."""
    for name, log in tenants:
        kept = folder / f"{re.sub('[^a-z0-9.]+', '-', name.lower())}.json" if folder else None
        if kept and kept.exists():
            yield json.loads(kept.read_text(encoding="utf-8"))
            continue
        found = learn(name, log(), half_life_days)
        if kept:
            kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
        yield found


def learn(name: str, log: Log, half_life_days: float) -> dict[str, Any]:
    """Simulate one tenant's learning. Return mean lifts over its days, against its fitted popularity of the night
    before."""
    replay, learner = Replay(log, half_life_days), Learner(name)
    for visit in replay.walk():
        learner.see(replay, visit)
    learner.end_day()
    return summary(name, learner.nights)


def summary(name: str, nights: Sequence[Night]) -> dict[str, Any]:
    """Summarize a tenant's mean lifts. `served`: with the gate's choice; `always`: with the personal model every day;
    `captured`: `served` divided by `always`, None without a gain. A day's ranking was decided the night before."""
    judged = [(before, night) for before, night in pairwise(nights) if night.lift is not None]
    weights = np.array([night.requests for _, night in judged], np.float64)

    def mean(lifts: list[Interval | None]) -> float:
        values = np.array([0.0 if lift is None else lift.value for lift in lifts])
        return float(np.average(values, weights=weights)) if weights.sum() else 0.0

    always = mean([night.lift for _, night in judged])
    served = mean([night.lift if before.decision.personal else None for before, night in judged])
    return {
        "tenant": name,
        "requests": int(weights.sum()),
        "withoutLearning": mean([night.unlearned for _, night in judged]),
        "served": served,
        "always": always,
        "captured": served / always if always > 0 else None,
        "nights": [night.report() for night in nights],
    }


def tenants_markdown(found: Sequence[dict[str, Any]]) -> str:
    """Return a table with a line for each tenant."""
    lines = [
        "# Tenants of many kinds",
        "",
        "Mean lift of NDCG@20 over the days after the first, whole catalog, over the tenant's own fitted popularity.",
        "",
        "| tenant | requests | without learning | served | personal model always | captured |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        captured = "–" if each["captured"] is None else f"{each['captured']:.0%}"
        lines.append(
            f"| {each['tenant']} | {each['requests']:,} | {each['withoutLearning']:+.1%} | {each['served']:+.1%} "
            f"| {each['always']:+.1%} | {captured} |"
        )
    return "\n".join(lines) + "\n"
