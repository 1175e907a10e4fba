"""Prints a digest of responses to generated ranking requests: equal digests mean equal bits."""

from __future__ import annotations

import hashlib

import numpy as np

from benchmarks.ranking import NOW, instance
from ranking import RankingOptions, global_model, rank

SIZES = (5, 40, 500)
SEEDS = 25


def digest() -> str:
    """Return the SHA-256 over the rows, scores and probabilities of every page, in hex."""
    found = hashlib.sha256()
    for count in SIZES:
        columns, stats, signals = instance(count)
        for seed in range(SEEDS):
            rows = columns.rows()[seed % 3 :]
            options = RankingOptions(NOW + seed * 977.0, language="en", country="DE", seed=seed, explore=True)
            slate = rank(columns, stats, signals if seed % 5 else None, rows, global_model(), options)
            for values in (slate.rows, slate.scores, slate.propensities):
                found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
