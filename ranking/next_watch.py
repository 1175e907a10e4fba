"""Next-watch table: how likely a user watches each video long next, predicted from their last long views.

The model is one causal attention layer (Kang & McAuley, ICDM 2018) that `learning/` trains each night. A request
computes one state from the user's history and one dot product per video. Only the newest long view needs a query. So
keys and values need not be computed: the query is multiplied into the key matrix, and the value matrix is applied after
the mean.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.array_types import Singles, WrittenSingles
from ranking.columns import Rows, VideoColumns
from ranking.compiled import compiled
from ranking.unreadable_table import UnreadableTable

MATRICES = ("query", "key", "value", "out", "place", "widen", "widen_bias", "narrow", "narrow_bias", "gain")
"""Parameters beside the videos' vectors, in the order of the file."""
EPSILON = 1e-5
_MAGIC = b"NWT1"
_HEADER = struct.Struct("<4sdIHHHHI")
_BLOCK = 1_024
"""Rows that are scored together, so that their scores stay in the fastest cache."""


class UnreadableNextWatch(UnreadableTable):
    """The bytes are no next-watch table of this version."""


@dataclass(frozen=True, slots=True, eq=False)
class NextWatchTable:
    """Immutable parameters for n videos. `keys` u64 (n,), ascending; `vectors` float16 (n, dim); `bias` float32 (n,).

    `matrices` by the names in `MATRICES`, float32. A state is computed from the newest `length` long views.
    """

    keys: NDArray[np.uint64]
    vectors: NDArray[np.float16]
    bias: NDArray[np.float32]
    matrices: Mapping[str, NDArray[np.float32]]
    built_at: float = 0.0

    @property
    def length(self) -> int:
        """Number of long views that a state reads."""
        return int(self.matrices["place"].shape[1])

    def to_bytes(self) -> bytes:
        """Serialize: a header with a CRC of the rest, then keys, vectors, biases and matrices, little-endian."""
        heads, length = self.matrices["place"].shape
        count, dim = self.vectors.shape
        body = b"".join(
            (
                self.keys.astype("<u8").tobytes(),
                self.vectors.astype("<f2").tobytes(),
                self.bias.astype("<f4").tobytes(),
                *(self.matrices[name].astype("<f4").tobytes() for name in MATRICES),
            )
        )
        wide = self.matrices["widen"].shape[1]
        return _HEADER.pack(_MAGIC, self.built_at, count, dim, heads, length, wide, zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, raw: bytes) -> NextWatchTable:
        """Parse the file. Raises `UnreadableNextWatch`, also for damaged bytes and for values that are not finite."""
        if len(raw) < _HEADER.size:
            raise UnreadableNextWatch("The file is shorter than its header.")
        magic, built_at, count, dim, heads, length, wide, crc = _HEADER.unpack_from(raw)
        body = raw[_HEADER.size :]
        if magic != _MAGIC or not dim or not heads or not length or dim % heads or dim % 4:
            raise UnreadableNextWatch("This is no next-watch table, or one of another version.")
        shapes = _shapes(dim, heads, length, wide)
        floats = sum(math.prod(shape) for shape in shapes.values())
        if len(body) != count * (12 + 2 * dim) + 4 * floats or zlib.crc32(body) != crc:
            raise UnreadableNextWatch("The table is damaged: its length or checksum does not match.")
        keys = np.frombuffer(body, "<u8", count)
        vectors = np.frombuffer(body, "<f2", count * dim, 8 * count).reshape(count, dim)
        bias = np.frombuffer(body, "<f4", count, (8 + 2 * dim) * count)
        matrices, at = {}, (12 + 2 * dim) * count
        for name, shape in shapes.items():
            matrices[name] = np.frombuffer(body, "<f4", math.prod(shape), at).reshape(shape)
            at += 4 * math.prod(shape)
        if not all(np.isfinite(each).all() for each in (vectors, bias, *matrices.values())):
            raise UnreadableNextWatch("The table holds a value that is not finite.")
        if (keys[1:] <= keys[:-1]).any():
            raise UnreadableNextWatch("The table's keys do not ascend.")
        return cls(keys, vectors, bias, matrices, built_at)


def _shapes(dim: int, heads: int, length: int, wide: int) -> dict[str, tuple[int, ...]]:
    square = (dim, dim)
    return {
        "query": square,
        "key": square,
        "value": square,
        "out": square,
        "place": (heads, length),
        "widen": (dim, wide),
        "widen_bias": (wide,),
        "narrow": (wide, dim),
        "narrow_bias": (dim,),
        "gain": (dim,),
    }


@dataclass(eq=False)
class NextWatch:
    """Next-watch table aligned to the rows of one catalog."""

    columns: VideoColumns
    table: NextWatchTable
    _version: int = -1
    _place: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _known: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    _by_dimension: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    _bias: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    _flat: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        matrices = self.table.matrices
        self._flat = (len(matrices["place"]), *(np.ascontiguousarray(matrices[name]).ravel() for name in MATRICES))

    def log_odds(self, watched: Rows) -> NDArray[np.float32] | None:
        """Return, for each catalog row, log(probability that it is watched long next ÷ an even share of the known
        videos).

        `watched`: rows of the user's long views, newest first. None if the table knows none of them. Videos that the
        table does not know have vector 0 and the mean bias, so they are as likely as an average video.
        """
        state = self.state(watched)
        if state is None:
            return None
        scores = self.scores(state)
        _compare_with_even_share(scores, self._known)
        return scores

    def state(self, watched: Rows) -> Singles | None:
        """Return the user's state (dim,), None if the table knows none of the watched rows (newest first)."""
        self._bind()
        places = self._place[watched]
        places = places[places >= 0][: self.table.length]
        if not len(places):
            return None
        return _state(self.table.vectors[places].T.astype(np.float32, order="C").ravel(), *self._flat)

    def scores(self, state: Singles) -> Singles:
        """Return state · vector + bias of every catalog row."""
        self._bind()
        scores = self._bias[: len(self.columns)].copy()
        _add_products(scores, state, self._by_dimension)
        return scores

    def _bind(self) -> None:
        """Match the table's keys with the catalog's rows, again after every change of the catalog."""
        if self._version == self.columns.version:
            return
        place = np.full(len(self.columns), -1, np.int64)
        known = self.table.keys
        rows = self.columns.rows()
        if len(known) and len(rows):
            at = np.minimum(np.searchsorted(known, self.columns.key[rows]), len(known) - 1)
            hit = known[at] == self.columns.key[rows]
            place[rows[hit]] = at[hit]
        unknown_since = place[len(self._place) :] < 0
        fits = len(place) <= len(self._bias) and bool(unknown_since.all())
        if not (fits and np.array_equal(place[: len(self._place)], self._place)):
            self._align(place)
        self._place = place
        self._version = self.columns.version

    def _align(self, place: NDArray[np.int64]) -> None:
        """Store vectors and biases in the order of the catalog's rows; vectors by dimension, as they are read.

        There is spare room for new rows, so adding a video that no table knows yet costs nothing here.
        """
        table, room = self.table, len(place) + len(place) // 8 + 64
        self._known = np.flatnonzero(place >= 0)
        found = place[self._known]
        by_dimension = np.zeros((table.vectors.shape[1], room), np.float32)
        by_dimension[:, self._known] = table.vectors[found].T
        self._by_dimension = by_dimension.ravel()
        usual = float(table.bias[found].mean(dtype=np.float64)) if len(found) else 0.0
        self._bias = np.full(room, usual, np.float32)
        self._bias[self._known] = table.bias[found]


@compiled
def _normalize(values: WrittenSingles) -> None:
    """Bring a vector to mean 0 and deviation 1, in place."""
    size = len(values)
    mean, square = 0.0, 0.0
    for i in range(size):
        mean += values[i]
    mean /= size
    for i in range(size):
        square += (values[i] - mean) * (values[i] - mean)
    scale = 1.0 / math.sqrt(square / size + EPSILON)
    for i in range(size):
        values[i] = np.float32((values[i] - mean) * scale)


@compiled
def _add_product(total: WrittenSingles, vector: Singles, matrix: Singles) -> None:
    """Add vector @ matrix; the matrix is flattened row by row. The inner loop is vectorized over columns."""
    width = len(total)
    for i in range(len(vector)):
        factor, row = vector[i], matrix[i * width :]
        for j in range(width):
            total[j] += factor * row[j]


@compiled
def _state(
    by_dimension: Singles,
    heads: int,
    query: Singles,
    key: Singles,
    value: Singles,
    out: Singles,
    place: Singles,
    widen: Singles,
    widen_bias: Singles,
    narrow: Singles,
    narrow_bias: Singles,
    gain: Singles,
) -> Singles:
    """Return the state after some long views, newest first: the last one of `learning.next_watch_network.states`.

    `by_dimension`: the first value of every vector, then the second, …. Matrices are flattened row by row.
    """
    dim = len(gain)
    count, size, length = len(by_dimension) // dim, dim // heads, len(place) // heads
    # Sums over the dimensions are computed for all long views at once, since vectors are stored by dimension.
    means, squares = np.zeros(count, np.float32), np.zeros(count, np.float32)
    for d in range(dim):
        values = by_dimension[d * count :]
        for i in range(count):
            means[i] += values[i]
    for i in range(count):
        means[i] /= np.float32(dim)
    for d in range(dim):
        values = by_dimension[d * count :]
        for i in range(count):
            away = values[i] - means[i]
            squares[i] += away * away
    for i in range(count):
        squares[i] = np.float32(1.0 / math.sqrt(squares[i] / dim + EPSILON))
    turned, inputs = np.empty((dim, count), np.float32), np.empty((count, dim), np.float32)
    for d in range(dim):
        values, normalized = by_dimension[d * count :], turned[d]
        for i in range(count):
            normalized[i] = (values[i] - means[i]) * squares[i]
    for i in range(count):
        row = inputs[i]
        for d in range(dim):
            row[d] = turned[d, i]
    asked, mixed = np.zeros(dim, np.float32), np.zeros(dim, np.float32)
    _add_product(asked, inputs[0], query)
    weights, mean = np.empty(count, np.float32), np.empty(dim, np.float32)
    for head in range(heads):
        low = head * size
        weights[:] = np.float32(0.0)
        for d in range(dim):
            keys, product = key[d * dim + low :], np.float32(0.0)
            for j in range(size):
                product += keys[j] * asked[low + j]
            normalized = turned[d]
            for i in range(count):
                weights[i] += product * normalized[i]
        top = -math.inf
        for i in range(count):
            weights[i] = np.float32(weights[i] / math.sqrt(size) + place[head * length + i])
            top = max(top, weights[i])
        total = 0.0
        for i in range(count):
            weights[i] = np.float32(math.exp(weights[i] - top))
            total += weights[i]
        mean[:] = np.float32(0.0)
        for i in range(count):
            weight, row = np.float32(weights[i] / total), inputs[i]
            for d in range(dim):
                mean[d] += weight * row[d]
        part = mixed[low : low + size]
        for d in range(dim):
            values, factor = value[d * dim + low :], mean[d]
            for j in range(size):
                part[j] += factor * values[j]
    after: Singles = inputs[0].copy()
    _add_product(after, mixed, out)
    middle = after.copy()
    _normalize(middle)
    wide = np.zeros(len(widen_bias), np.float32)
    _add_product(wide, middle, widen)
    for i in range(len(wide)):
        wide[i] = max(wide[i] + widen_bias[i], np.float32(0.0))
    _add_product(after, wide, narrow)
    for i in range(dim):
        after[i] += narrow_bias[i]
    _normalize(after)
    for i in range(dim):
        after[i] *= gain[i]
    return after


@compiled
def _compare_with_even_share(scores: WrittenSingles, known: Rows) -> None:
    """Replace scores by log(probability ÷ an even share of the known rows), in place. At least one row must be
    known."""
    top, total = -math.inf, 0.0
    for row in known:
        top = max(top, scores[row])
    for row in known:
        total += math.exp(scores[row] - top)
    even = np.float32(top + math.log(total / len(known)))
    for row in range(len(scores)):
        scores[row] -= even


@compiled
def _add_products(scores: WrittenSingles, state: Singles, by_dimension: Singles) -> None:
    """Add state · vector of each score's video. `by_dimension` has all videos' first value, then their second, …, with
    spare room.

    Computed in blocks of videos, four dimensions at once (their number is a multiple of 4).
    """
    count = len(by_dimension) // len(state)
    for low in range(0, len(scores), _BLOCK):
        part = scores[low : low + _BLOCK]
        for d in range(0, len(state), 4):
            a, b, c, e = state[d], state[d + 1], state[d + 2], state[d + 3]
            first = by_dimension[d * count + low :]
            second = by_dimension[(d + 1) * count + low :]
            third = by_dimension[(d + 2) * count + low :]
            fourth = by_dimension[(d + 3) * count + low :]
            for i in range(len(part)):
                part[i] += (a * first[i] + b * second[i]) + (c * third[i] + e * fourth[i])
