"""Next-watch network in NumPy: one causal attention layer over a user's last long views, and its gradients.

`states` returns a vector that predicts what the user watches next. A video's score is state · vector + bias: a
log-probability up to a constant per user. Sources: Kang & McAuley, "Self-attentive sequential recommendation", ICDM
2018; sampled softmax, corrected for how negatives are drawn: Bengio & Senécal 2008, Yi et al., RecSys 2019.

Shapes: `vectors` (videos, dim); a batch (users, length) of rows of `vectors`, oldest first, padded on the left with -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Parameters = dict[str, Array]

DIM, HEADS, LENGTH = 64, 4, 50
"""Vector size, number of attention heads, and number of long views that a state reads."""
MATRICES = ("query", "key", "value", "out", "place", "widen", "widen_bias", "narrow", "narrow_bias", "gain")
"""Names of the parameters whose size does not depend on the catalog. The others are `vectors` and `bias`."""
EPSILON = np.float32(1e-5)
_MASKED = np.float32(-1e9)
LOGITS_AT_ONCE = 4_000_000
"""Limit of logits in memory at once (16 MB). Several arrays have this size."""


def new_parameters(
    videos: int, draw: np.random.Generator, dim: int = DIM, heads: int = HEADS, length: int = LENGTH
) -> Parameters:
    """Return initial parameters, float32."""

    def normal(*shape: int, deviation: float) -> Array:
        return draw.normal(0.0, deviation, shape).astype(np.float32)

    usual = 1.0 / np.sqrt(dim)
    return {
        "vectors": new_vectors(videos, dim, draw),
        "bias": np.zeros(videos, np.float32),
        "query": normal(dim, dim, deviation=usual),
        "key": normal(dim, dim, deviation=usual),
        "value": normal(dim, dim, deviation=usual),
        "out": normal(dim, dim, deviation=usual),
        "place": np.tile(-0.05 * np.arange(length, dtype=np.float32), (heads, 1)),
        "widen": normal(dim, 2 * dim, deviation=usual),
        "widen_bias": np.zeros(2 * dim, np.float32),
        "narrow": normal(2 * dim, dim, deviation=usual / 2),
        "narrow_bias": np.zeros(dim, np.float32),
        "gain": np.ones(dim, np.float32),
    }


def new_vectors(videos: int, dim: int, draw: np.random.Generator) -> Array:
    """Return initial vectors for new videos."""
    return draw.normal(0.0, 0.05, (videos, dim)).astype(np.float32)


def _normalized(values: Array) -> tuple[Array, Array]:
    """Return the values with mean 0 and deviation 1 along the last axis, and 1 / deviation."""
    centered = values - values.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centered * centered).mean(-1, keepdims=True) + EPSILON)
    return centered * scale, scale


def _normalized_back(gradient: Array, normalized: Array, scale: Array) -> Array:
    along = (gradient * normalized).mean(-1, keepdims=True)
    back: Array = scale * (gradient - gradient.mean(-1, keepdims=True) - normalized * along)
    return back


@dataclass(slots=True)
class _Kept:
    """Values of a forward pass that `_backward` needs."""

    rows: Array
    known: Array
    plain: Array
    plain_scale: Array
    drops: tuple[Any, Any, Any]
    inputs: Array
    queries: Array
    keys: Array
    values: Array
    distance: Array
    attention: Array
    mixed: Array
    middle: Array
    middle_scale: Array
    wide: Array
    active: Array
    end: Array
    end_scale: Array


def states(p: Parameters, rows: Array, drop: float = 0.0, draw: np.random.Generator | None = None) -> Array:
    """Return the state after each position of each user's row, (users, length, dim)."""
    return _forward(p, rows, drop, draw)[0]


def _forward(p: Parameters, rows: Array, drop: float, draw: np.random.Generator | None) -> tuple[Array, _Kept]:
    users, length = rows.shape
    heads, dim = p["place"].shape[0], p["vectors"].shape[1]
    size = dim // heads
    known = rows >= 0
    plain, plain_scale = _normalized(p["vectors"][np.maximum(rows, 0)])
    plain = plain * known[..., None]

    def dropped() -> Any:
        if not drop or draw is None:
            return np.float32(1)
        return (draw.random(plain.shape, dtype=np.float32) >= drop).astype(np.float32) / np.float32(1 - drop)

    drops = (dropped(), dropped(), dropped())
    inputs = plain * drops[0]

    def by_head(each: Array) -> Array:
        return each.reshape(users, length, heads, size).transpose(0, 2, 1, 3)

    queries, keys, values = (by_head(inputs @ p[name]) for name in ("query", "key", "value"))
    at = np.arange(length)
    distance = np.maximum(at[:, None] - at[None], 0)
    allowed = (at[:, None] >= at[None])[None, None] & known[:, None, None, :]
    attention = queries @ keys.transpose(0, 1, 3, 2) * np.float32(1 / np.sqrt(size)) + p["place"][:, distance][None]
    attention = np.where(allowed, attention, _MASKED)
    attention = np.exp(attention - attention.max(-1, keepdims=True)) * allowed
    attention /= np.maximum(attention.sum(-1, keepdims=True), np.float32(1e-9))
    mixed = (attention @ values).transpose(0, 2, 1, 3).reshape(users, length, dim)
    after = inputs + (mixed @ p["out"]) * drops[1]
    middle, middle_scale = _normalized(after)
    wide = middle @ p["widen"] + p["widen_bias"]
    active = np.maximum(wide, 0)
    end, end_scale = _normalized(after + (active @ p["narrow"] + p["narrow_bias"]) * drops[2])
    kept = _Kept(
        rows,
        known,
        plain,
        plain_scale,
        drops,
        inputs,
        queries,
        keys,
        values,
        distance,
        attention,
        mixed,
        middle,
        middle_scale,
        wide,
        active,
        end,
        end_scale,
    )
    return end * p["gain"], kept


def _backward(p: Parameters, of_states: Array, kept: _Kept) -> tuple[Parameters, Array, Array]:
    """Return the gradients of the matrices, the used rows of `vectors`, and the gradient of each of these rows."""
    users, length, dim = of_states.shape
    heads = p["place"].shape[0]
    size = dim // heads

    def flat(each: Array) -> Array:
        return each.reshape(-1, each.shape[-1])

    def joined(each: Array) -> Array:
        return each.transpose(0, 2, 1, 3).reshape(users, length, dim)

    found: Parameters = {"gain": (of_states * kept.end).sum((0, 1))}
    of_sum = _normalized_back(of_states * p["gain"], kept.end, kept.end_scale)
    of_narrow = of_sum * kept.drops[2]
    found["narrow"], found["narrow_bias"] = flat(kept.active).T @ flat(of_narrow), of_narrow.sum((0, 1))
    of_wide = (of_narrow @ p["narrow"].T) * (kept.wide > 0)
    found["widen"], found["widen_bias"] = flat(kept.middle).T @ flat(of_wide), of_wide.sum((0, 1))
    of_after = of_sum + _normalized_back(of_wide @ p["widen"].T, kept.middle, kept.middle_scale)
    of_out = of_after * kept.drops[1]
    found["out"] = flat(kept.mixed).T @ flat(of_out)
    of_mixed = (of_out @ p["out"].T).reshape(users, length, heads, size).transpose(0, 2, 1, 3)
    of_attention = of_mixed @ kept.values.transpose(0, 1, 3, 2)
    of_values = kept.attention.transpose(0, 1, 3, 2) @ of_mixed
    of_logits = kept.attention * (of_attention - (of_attention * kept.attention).sum(-1, keepdims=True))
    by_place = of_logits.sum(0).reshape(heads, -1)
    places = p["place"].shape[1]
    found["place"] = np.stack(
        [np.bincount(kept.distance.ravel(), by_place[head], places) for head in range(heads)]
    ).astype(p["place"].dtype)
    scale = np.float32(1 / np.sqrt(size))
    of_queries = joined(of_logits @ kept.keys * scale)
    of_keys = joined(of_logits.transpose(0, 1, 3, 2) @ kept.queries * scale)
    of_values = joined(of_values)
    inputs = flat(kept.inputs)
    of_inputs = of_after
    for name, gradient in (("query", of_queries), ("key", of_keys), ("value", of_values)):
        found[name] = inputs.T @ flat(gradient)
        of_inputs = of_inputs + gradient @ p[name].T
    of_inputs = of_inputs * kept.drops[0] * kept.known[..., None]
    of_vectors = _normalized_back(of_inputs, kept.plain, kept.plain_scale)[kept.known]
    return found, kept.rows[kept.known], of_vectors


@dataclass(slots=True)
class Negatives:
    """Rows that each true next video is compared with, and by row the log of the probability that it is among them.

    `sampled`: whether the rows are a random sample, not all videos.
    """

    rows: Array
    log_chance: Array
    sampled: bool


def all_videos(videos: int) -> Negatives:
    """Return every video as a negative."""
    return Negatives(np.arange(videos), np.zeros(videos, np.float32), False)


def drawn_videos(share: Array, count: int, draw: np.random.Generator) -> Negatives:
    """Draw `count` videos by their `share` (videos,), with replacement, and keep each once."""
    rows = np.unique(draw.choice(len(share), count, p=share))
    return Negatives(rows, np.log(-np.expm1(count * np.log1p(-share))).astype(np.float32), True)


def loss_and_gradients(
    p: Parameters, rows: Array, negatives: Negatives, drop: float = 0.0, draw: np.random.Generator | None = None
) -> tuple[float, Parameters]:
    """Return the mean cross-entropy of each next long view of a batch against `negatives`, and the gradient by
    parameter."""
    found, kept = _forward(p, rows[:, :-1], drop, draw)
    real = (rows[:, :-1] >= 0) & (rows[:, 1:] >= 0)
    state, target = found[real], rows[:, 1:][real]
    count = len(target)
    vectors, bias = p["vectors"], p["bias"]
    others = vectors[negatives.rows]
    offset = bias[negatives.rows] - negatives.log_chance[negatives.rows]
    own_offset = bias[target] - (negatives.log_chance[target] if negatives.sampled else 0.0)
    own = (state * vectors[target]).sum(1) + own_offset
    place = np.full(len(vectors), -1)
    place[negatives.rows] = np.arange(len(negatives.rows))
    loss = 0.0
    of_state, of_vectors, of_bias = np.empty_like(state), np.zeros_like(vectors), np.zeros_like(bias)
    of_others, of_offset = np.zeros_like(others), np.zeros_like(offset)
    of_own = np.empty_like(own)
    step = max(1, LOGITS_AT_ONCE // max(1, len(others)))
    for low in range(0, count, step):
        part = slice(low, low + step)
        logits = state[part] @ others.T + offset
        at = place[target[part]]
        logits[np.flatnonzero(at >= 0), at[at >= 0]] = _MASKED
        top = np.maximum(logits.max(1), own[part])
        np.exp(logits - top[:, None], out=logits)
        own_chance = np.exp(own[part] - top)
        total = logits.sum(1) + own_chance
        loss += float((np.log(total) + top - own[part]).sum())
        logits *= (1 / (total * count))[:, None]
        of_own[part] = (own_chance / total - 1) / count
        of_state[part] = logits @ others
        of_others += logits.T @ state[part]
        of_offset += logits.sum(0)
    of_state += of_own[:, None] * vectors[target]
    of_states = np.zeros_like(found)
    of_states[real] = of_state
    gradients, touched, of_touched = _backward(p, of_states, kept)
    of_vectors[negatives.rows] += of_others
    _add_at(of_vectors, target, of_own[:, None] * state)
    _add_at(of_vectors, touched, of_touched)
    of_bias[negatives.rows] += of_offset
    of_bias += np.bincount(target, of_own, len(bias)).astype(of_bias.dtype)
    gradients["vectors"], gradients["bias"] = of_vectors, of_bias
    return loss / max(1, count), gradients


def _add_at(table: Array, rows: Array, values: Array) -> None:
    """Like `np.add.at`, but by sorting: several times as fast for repeated rows."""
    if len(rows):
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        table[ordered[first]] += np.add.reduceat(values[order], first)


class Adam:
    """AdamW (Loshchilov & Hutter, ICLR 2019) with gradients clipped to a common norm."""

    UNDECAYED = ("bias", "gain", "place")

    def __init__(self, p: Parameters) -> None:
        self.mean = {name: np.zeros_like(value) for name, value in p.items()}
        self.square = {name: np.zeros_like(value) for name, value in p.items()}
        self.steps = 0

    def step(self, p: Parameters, gradients: Parameters, rate: float, decay: float = 0.05, clip: float = 5.0) -> None:
        """Update the parameters in place."""
        self.steps += 1
        norm = np.sqrt(sum(float((each * each).sum()) for each in gradients.values()))
        factor = np.float32(min(1.0, clip / (norm + 1e-9)))
        pace = np.float32(rate * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps))
        for name, gradient in gradients.items():
            gradient = gradient * factor
            mean, square = self.mean[name], self.square[name]
            mean += np.float32(0.1) * (gradient - mean)
            square += np.float32(0.001) * (gradient * gradient - square)
            if name not in self.UNDECAYED:
                p[name] *= np.float32(1 - rate * decay)
            p[name] -= pace * mean / (np.sqrt(square) + np.float32(1e-8))
