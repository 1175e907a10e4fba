"""Linear ranking model: a version and named weights, validated against `FEATURES`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ranking.features import ALIASES, BESIDE_FEEDS, FEATURES

MODEL_TYPES = ("linear",)
MAX_WEIGHT = 1_000.0
POPULARITY_SUFFIX = "-popularity"
_HERE = Path(__file__).parent


class InvalidModel(ValueError):
    """The model must not be saved or served. The message names the part and the fix."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """Immutable ranking model: score = Σ weight × feature, in the order of the `FEATURES` table.

    Create one with `parse` or `checked`, which validate it. `trained` records where the weights come from.
    `without_next_watch` ranks users for whom the next-watch table has nothing: there is no table yet, or it knows none
    of the user's long views. None: the same weights apply. Next watch overlaps with popularity, so other weights are
    best without it, and new users need them. In files it is called `weightsWithoutCoWatch`, after the feature that next
    watch replaced.
    """

    version: str
    weights: Mapping[str, float]
    trained: Mapping[str, Any] = field(default_factory=dict)
    without_next_watch: LinearModel | None = None
    static_terms: tuple[tuple[str, float], ...] = ()
    user_terms: tuple[tuple[str, float], ...] = ()

    @classmethod
    def checked(
        cls,
        version: str,
        weights: Mapping[str, Any],
        trained: Mapping[str, Any] | None = None,
        without_next_watch: Mapping[str, Any] | None = None,
    ) -> LinearModel:
        """Validate the weights and return a model of them. Raises `InvalidModel`."""
        if not isinstance(version, str) or not version or len(version) > 64:
            raise InvalidModel("A model needs a version of 1 to 64 characters.")
        named = checked_weights(weights)
        terms = [(name, named[name]) for name in FEATURES if named.get(name)]
        return cls(
            version,
            named,
            dict(trained or {}),
            None if without_next_watch is None else cls.checked(version, without_next_watch),
            tuple(term for term in terms if FEATURES[term[0]].static),
            tuple(term for term in terms if not FEATURES[term[0]].static),
        )

    def suited(self, next_watch: bool) -> LinearModel:
        """Return the weights for a user; `next_watch`: whether the next-watch table knows any of their long views."""
        return self if next_watch or self.without_next_watch is None else self.without_next_watch

    def overridden(self, weights: Mapping[str, Any], version: str | None = None) -> LinearModel:
        """Return this model with some weights replaced, such as a tenant's. Raises `InvalidModel`."""
        if not weights and version is None:
            return self
        named = checked_weights(weights)
        return self.changed(lambda _: named, version)

    def changed(
        self, change: Callable[[Mapping[str, float]], Mapping[str, float]], version: str | None = None
    ) -> LinearModel:
        """Return this model with each set of weights updated by `change` of that set. Raises `InvalidModel`."""

        def laid_over(weights: Mapping[str, float]) -> dict[str, float]:
            return {**weights, **change(weights)}

        other = None if self.without_next_watch is None else laid_over(self.without_next_watch.weights)
        return LinearModel.checked(version or self.version, laid_over(self.weights), self.trained, other)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document of the file format; `parse` reads it back."""
        document = {"type": "linear", "version": self.version, "weights": dict(self.weights)}
        if self.without_next_watch is not None:
            document["weightsWithoutCoWatch"] = dict(self.without_next_watch.weights)
        return {**document, "trained": dict(self.trained)}


def parse(document: object) -> LinearModel:
    """Parse the file format: `{"type": "linear", "version": …, "weights": {name: number}}`.

    `weightsWithoutCoWatch` is optional. Raises `InvalidModel`.
    """
    if not isinstance(document, Mapping):
        raise InvalidModel("A model is a JSON object with type, version and weights.")
    kind = document.get("type")
    if kind not in MODEL_TYPES:
        raise InvalidModel(f"Model type {kind!r} is not supported; supported: {', '.join(MODEL_TYPES)}.")
    weights, trained = document.get("weights"), document.get("trained")
    other = document.get("weightsWithoutCoWatch")
    if not isinstance(weights, Mapping) or not isinstance(other, Mapping | None):
        raise InvalidModel("A model needs weights: an object of feature names and numbers.")
    version = str(document.get("version") or "")
    return LinearModel.checked(version, weights, trained if isinstance(trained, Mapping) else {}, other)


def parse_popularity(document: Mapping[str, Any]) -> LinearModel | None:
    """Parse the popularity model fitted with a stored version: its object `popularityWeights`; None if there is none.

    Its version ends with `-popularity`. Raises `InvalidModel`.
    """
    weights = document.get("popularityWeights")
    if weights is None:
        return None
    if not isinstance(weights, Mapping):
        raise InvalidModel("popularityWeights must be an object of feature names and numbers.")
    return LinearModel.checked(f"{document.get('version') or ''}{POPULARITY_SUFFIX}"[-64:], weights)


def checked_weights(weights: Mapping[str, Any]) -> dict[str, float]:
    """Validate weights and return them by feature name, with aliases resolved. Raises `InvalidModel`.

    An alias and its feature cannot both have a weight.
    """
    named: dict[str, float] = {}
    for given, value in weights.items():
        name = ALIASES.get(given, given)
        if name not in FEATURES and name not in BESIDE_FEEDS:
            known = ", ".join([*FEATURES, *BESIDE_FEEDS, *ALIASES])
            raise InvalidModel(f"Unknown feature {given!r}. Known: {known}.")
        if name in named:
            raise InvalidModel(f"Feature {name!r} has two weights; {given!r} is another name for it.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidModel(f"The weight of {given!r} must be a finite number.")
        if abs(value) > MAX_WEIGHT:
            raise InvalidModel(f"The weight of {given!r} must lie in [-{MAX_WEIGHT:g}, {MAX_WEIGHT:g}].")
        named[name] = float(value)
    return named


@cache
def _shipped(name: str) -> LinearModel:
    return parse(json.loads((_HERE / name).read_text(encoding="utf-8")))


def global_model() -> LinearModel:
    """Load the shipped model that every tenant starts from."""
    return _shipped("global_model.json")


def popularity_model() -> LinearModel:
    """Load the shipped fallback model: fitted popularity over several windows, the same for every user."""
    return _shipped("popularity_model.json")
