"""Trains the next-watch model of one tenant: from scratch, or for one more night from the last state.

Training rows have the same form as stored signals, which a request reads: each video of a user once, at its newest
time, the newest `MAX_WATCHED` of them.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learning.next_watch_network import (
    LENGTH,
    MATRICES,
    Adam,
    Array,
    Negatives,
    Parameters,
    all_videos,
    drawn_videos,
    loss_and_gradients,
    new_parameters,
    new_vectors,
    states,
)
from learning.stopping import check
from ranking.next_watch import NextWatchTable
from shared.domain.user_signals import MAX_WATCHED

PASSES_AFRESH, PASSES_NIGHTLY = 16, 2
STEPS_AFRESH, STEPS_NIGHTLY = 300, 40
"""Minimum of training steps, since a pass over few users has few."""
RATE_FIRST, RATE_LAST, RATE_NIGHTLY = 2e-3, 2e-4, 5e-4
NEGATIVES, DROP = 1_500, 0.25
FEW_USERS, DROP_FEW = 8_000, 0.4
"""With fewer users than this, dropout is higher, and every video is a negative within `MOST_SCORES`."""
MOST_SCORES = 400_000_000
"""Limit of scores in a pass where every video is a negative: about 15 s of CPU. Beyond it, negatives are drawn."""
MOST_BATCH, LEAST_BATCH, BATCHES_A_PASS = 256, 16, 40
NIGHTS_AFRESH = 60
"""After this many nights the model is trained from scratch: an old one still has capacity for videos that are no longer
watched."""
LEAST_GAIN = 0.5
"""A model is trained from scratch when its gain over predicting by frequency falls below this share of its first gain,
both measured on the last day's long views."""
ENOUGH, MOST_ASKED = 100, 2_000
"""Minimum and maximum number of users with a new long view to measure how well a model predicts."""
_FORMAT = 1


class UnreadableTraining(ValueError):
    """The bytes are no training state of this version; the model is trained from scratch."""


@dataclass(frozen=True)
class Histories:
    """Long views by user, oldest first. User i has `rows[starts[i]:starts[i + 1]]`, which index `keys`, at `times`."""

    keys: NDArray[np.uint64]
    rows: NDArray[np.int64]
    times: NDArray[np.float64]
    starts: NDArray[np.int64]


@dataclass
class Training:
    """A model between two nights. `keys`: u64 (videos,), in the order of its rows; `fresh_gain`: see `LEAST_GAIN`."""

    keys: NDArray[np.uint64]
    parameters: Parameters
    adam: Adam
    nights: int = 0
    fresh_gain: float = 0.0

    def table(self, built_at: float) -> NextWatchTable:
        """Return the table that a request reads."""
        order = np.argsort(self.keys)
        p = self.parameters
        return NextWatchTable(
            self.keys[order],
            p["vectors"][order].astype(np.float16),
            p["bias"][order].astype(np.float32),
            {name: p[name].astype(np.float32) for name in MATRICES},
            built_at,
        )

    def to_bytes(self) -> bytes:
        """Return the state as a zip of columns, for the next night."""
        columns: dict[str, Array] = {"keys": self.keys}
        for name, value in self.parameters.items():
            columns |= {f"p.{name}": value, f"m.{name}": self.adam.mean[name], f"s.{name}": self.adam.square[name]}
        columns["counts"] = np.array([_FORMAT, self.adam.steps, self.nights, self.fresh_gain])
        out = io.BytesIO()
        np.savez(out, allow_pickle=False, **columns)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Training:
        """Read the form of `to_bytes`. Raises `UnreadableTraining`, also for values that are not finite."""
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as read:
                columns = {name: read[name] for name in read.files}
            version, steps, nights, gain = columns.pop("counts").tolist()
            keys = columns.pop("keys")
            if version != _FORMAT or not all(np.isfinite(each).all() for each in columns.values()):
                raise UnreadableTraining("The training state is of another version, or not finite.")
            parameters = {name[2:]: value for name, value in columns.items() if name.startswith("p.")}
            adam = Adam({})
            adam.mean = {name: columns[f"m.{name}"] for name in parameters}
            adam.square = {name: columns[f"s.{name}"] for name in parameters}
            adam.steps = int(steps)
            if set(parameters) != {"vectors", "bias", *MATRICES} or len(parameters["vectors"]) != len(keys):
                raise UnreadableTraining("The training state lacks a part.")
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UnreadableTraining("The training state cannot be read.") from error
        return cls(keys, parameters, adam, int(nights), float(gain))


def histories_of(users: NDArray[np.int64], keys: NDArray[np.uint64], times: NDArray[np.float64]) -> Histories:
    """Return long views in the form of stored signals: each video of a user at its newest time, the newest 60. The
    arguments have one entry per long view."""
    order = np.lexsort((keys, -times, users))
    users, keys, times = users[order], keys[order], times[order]
    known, rows = np.unique(keys, return_inverse=True)
    _, first = np.unique(users * max(1, len(known)) + rows, return_index=True)
    kept = np.sort(first)
    users, rows, times = users[kept], rows[kept], times[kept]
    newest = np.arange(len(users)) - np.searchsorted(users, users) < MAX_WATCHED
    users, rows, times = users[newest], rows[newest], times[newest]
    still, rows = np.unique(rows, return_inverse=True)
    backward = np.lexsort((-np.arange(len(users)), users))
    users, rows, times = users[backward], rows[backward], times[backward]
    first_of_user = np.flatnonzero(np.r_[True, users[1:] != users[:-1]]) if len(users) else np.zeros(0, np.int64)
    return Histories(known[still], rows, times, np.r_[first_of_user, len(users)].astype(np.int64))


def seed_of(tenant_id: str, night: str) -> int:
    """Return the random seed of a tenant's night, so that a repeated night gives the same result."""
    return int.from_bytes(hashlib.blake2b(f"{tenant_id}\n{night}".encode(), digest_size=8).digest(), "little")


def train_night(before: Training | None, histories: Histories, seed: int, since: float = -math.inf) -> Training | None:
    """Return the model after a night: `before` continued, or a new one. None if no user has two long views.

    `since`: the time up to which `before` has learned. Later long views show whether it still predicts well. A model
    that no longer does, or is not finite, is trained from scratch.
    """
    if not (np.diff(histories.starts) >= 2).any():
        return None
    draw = np.random.default_rng(seed)
    if before is not None and before.nights < NIGHTS_AFRESH:
        model, rows = _with_new_videos(before, histories, draw)
        gain = gain_over_frequency(model.parameters, replace(histories, rows=rows), since)
        if gain is None or (math.isfinite(gain) and gain > LEAST_GAIN * model.fresh_gain):
            _passes(model, replace(histories, rows=rows), draw, afresh=False)
            if _is_finite(model.parameters):
                gain = model.fresh_gain if model.nights > 1 or gain is None else gain
                return replace(model, nights=model.nights + 1, fresh_gain=gain)
    parameters = new_parameters(len(histories.keys), draw)
    model = Training(histories.keys, parameters, Adam(parameters))
    _passes(model, histories, draw, afresh=True)
    return replace(model, nights=1) if _is_finite(model.parameters) else None


def _is_finite(parameters: Parameters) -> bool:
    return all(bool(np.isfinite(each).all()) for each in parameters.values())


def _with_new_videos(
    before: Training, histories: Histories, draw: np.random.Generator
) -> tuple[Training, NDArray[np.int64]]:
    """Return a copy of the model with rows for new videos, and the histories' rows in it."""
    row_of = {key: row for row, key in enumerate(before.keys.tolist())}
    new = [key for key in histories.keys.tolist() if key not in row_of]
    row_of |= {key: len(before.keys) + place for place, key in enumerate(new)}
    p = {name: value.copy() for name, value in before.parameters.items()}
    vectors = new_vectors(len(new), p["vectors"].shape[1], draw)
    p["vectors"] = np.concatenate([p["vectors"], vectors])
    usual = p["bias"].mean() if len(p["bias"]) else np.float32(0)
    p["bias"] = np.concatenate([p["bias"], np.full(len(new), usual, np.float32)])
    adam = Adam(p)
    adam.steps = before.adam.steps
    for ours, theirs in ((adam.mean, before.adam.mean), (adam.square, before.adam.square)):
        for name, value in theirs.items():
            ours[name][: len(value)] = value
    keys = np.concatenate([before.keys, np.array(new, np.uint64)])
    places = np.array([row_of[key] for key in histories.keys.tolist()], np.int64)
    return replace(before, keys=keys, parameters=p, adam=adam), places[histories.rows]


def _passes(model: Training, histories: Histories, draw: np.random.Generator, afresh: bool) -> None:
    """Train in place. From scratch, the learning rate falls linearly from `RATE_FIRST` to `RATE_LAST`; nightly it is
    low."""
    lengths = np.diff(histories.starts)
    users = np.flatnonzero(lengths >= 2)
    few = len(users) < FEW_USERS
    drop = DROP_FEW if few else DROP
    size = int(np.clip(len(users) // BATCHES_A_PASS, LEAST_BATCH, MOST_BATCH))
    passes, steps = (PASSES_AFRESH, STEPS_AFRESH) if afresh else (PASSES_NIGHTLY, STEPS_NIGHTLY)
    passes = max(passes, math.ceil(steps / math.ceil(len(users) / size)))
    rates = (RATE_FIRST, RATE_LAST) if afresh else (RATE_NIGHTLY, RATE_NIGHTLY)
    videos = len(model.keys)
    scores = int(np.minimum(lengths[users], LENGTH).sum()) * videos
    every = videos <= NEGATIVES or (few and scores <= MOST_SCORES)
    share = (np.bincount(histories.rows, minlength=videos) + 1.0) ** 0.75
    share /= share.sum()
    for number in range(passes):
        rate = rates[0] + (rates[1] - rates[0]) * number / max(1, passes - 1)
        for batch in _batches(users, lengths, size, draw):
            check()
            negatives: Negatives = all_videos(videos) if every else drawn_videos(share, NEGATIVES, draw)
            rows = padded(histories, batch)
            _, gradients = loss_and_gradients(model.parameters, rows, negatives, drop, draw)
            model.adam.step(model.parameters, gradients, rate)


def _batches(
    users: NDArray[np.int64], lengths: NDArray[np.int64], size: int, draw: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return batches of users of similar length, for less padding, in random order."""
    order = np.argsort(draw.random(len(users)) * 8 + np.minimum(lengths[users], LENGTH) / 4, kind="stable")
    ordered = users[order]
    cut = [ordered[low : low + size] for low in range(0, len(ordered), size)]
    return [cut[place] for place in draw.permutation(len(cut))]


def padded(histories: Histories, users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the newest rows of some users side by side, (users, at most `LENGTH` + 1), padded on the left with -1."""
    starts, ends = histories.starts[users], histories.starts[users + 1]
    width = int(min(LENGTH + 1, (ends - starts).max()))
    places = ends[:, None] - np.arange(width, 0, -1)
    real = places >= starts[:, None]
    rows: NDArray[np.int64] = np.where(real, histories.rows[np.where(real, places, 0)], -1)
    return rows


def gain_over_frequency(p: Parameters, histories: Histories, since: float) -> float | None:
    """Return how much likelier the model finds users' newest long views than a prediction by each video's earlier
    frequency.

    Mean difference of logarithms over users who watched something after `since`; None if fewer than `ENOUGH` did.
    """
    newest = histories.times[histories.starts[1:] - 1] >= since
    users = np.flatnonzero(newest & (np.diff(histories.starts) >= 2))[:MOST_ASKED]
    if len(users) < ENOUGH:
        return None
    frequency = np.bincount(histories.rows[histories.times < since], minlength=len(p["vectors"])) + 1.0
    log_share = np.log(frequency / frequency.sum())
    gain = 0.0
    for low in range(0, len(users), MOST_BATCH):
        rows = padded(histories, users[low : low + MOST_BATCH])
        scores = states(p, rows[:, :-1])[:, -1] @ p["vectors"].T + p["bias"]
        target = rows[:, -1]
        top = scores.max(axis=1)
        log_sum = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        gain += float((scores[np.arange(len(rows)), target] - log_sum - log_share[target]).sum())
    return gain / len(users)
