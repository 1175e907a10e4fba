"""The linear model: a version and named weights, checked against `FEATURES` before anything else sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ranking.features import ALIASES, FEATURES

MODEL_TYPES = ("linear",)
MAX_WEIGHT = 1_000.0
_HERE = Path(__file__).parent


class InvalidModel(ValueError):
    """A model that must not be saved or served; the message says which part and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """An immutable ranking model: score = Σ weight × feature, in the order of the `FEATURES` table.

    Make one with `parse` or `checked`, which refuse what cannot be served. `trained` says where the weights come from.
    `without_cowatch` serves requests for which the co-watch table has nothing to say (no table yet, or none of the
    user's last long views in it): co-watch carries part of what popularity tells, so its absence asks for other
    weights, and a newcomer must not be ranked by what is left of a model made for others. None: the same weights.
    """

    version: str
    weights: Mapping[str, float]
    trained: Mapping[str, Any] = field(default_factory=dict)
    without_cowatch: LinearModel | None = None
    static_terms: tuple[tuple[str, float], ...] = ()
    user_terms: tuple[tuple[str, float], ...] = ()

    @classmethod
    def checked(
        cls,
        version: str,
        weights: Mapping[str, Any],
        trained: Mapping[str, Any] | None = None,
        without_cowatch: Mapping[str, Any] | None = None,
    ) -> LinearModel:
        """A model of these weights. Raises `InvalidModel`."""
        if not isinstance(version, str) or not version or len(version) > 64:
            raise InvalidModel("A model needs a version of 1 to 64 characters.")
        named = checked_weights(weights)
        terms = [(name, named[name]) for name in FEATURES if named.get(name)]
        return cls(
            version,
            named,
            dict(trained or {}),
            None if without_cowatch is None else cls.checked(version, without_cowatch),
            tuple(term for term in terms if FEATURES[term[0]].static),
            tuple(term for term in terms if not FEATURES[term[0]].static),
        )

    def suited(self, cowatch: bool) -> LinearModel:
        """The weights for a request: `cowatch` tells whether the co-watch table has something to say about it."""
        return self if cowatch or self.without_cowatch is None else self.without_cowatch

    def overridden(self, weights: Mapping[str, Any], version: str | None = None) -> LinearModel:
        """This model with some weights replaced, such as a tenant's. Raises `InvalidModel`."""
        if not weights:
            return self
        named = checked_weights(weights)
        other = None if self.without_cowatch is None else {**self.without_cowatch.weights, **named}
        return LinearModel.checked(version or self.version, {**self.weights, **named}, self.trained, other)

    def to_document(self) -> dict[str, Any]:
        """The file format; `parse` reads it back."""
        document = {"type": "linear", "version": self.version, "weights": dict(self.weights)}
        if self.without_cowatch is not None:
            document["weightsWithoutCoWatch"] = dict(self.without_cowatch.weights)
        return {**document, "trained": dict(self.trained)}


def parse(document: object) -> LinearModel:
    """Read the file format: `{"type": "linear", "version": …, "weights": {name: number}}`, and `weightsWithoutCoWatch`
    if the model has them. Raises `InvalidModel`."""
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


def checked_weights(weights: Mapping[str, Any]) -> dict[str, float]:
    """Weights under their feature names, aliases resolved. Raises `InvalidModel` for what could not be served.

    An alias and the name it stands for may not both be given.
    """
    named: dict[str, float] = {}
    for given, value in weights.items():
        name = ALIASES.get(given, given)
        if name not in FEATURES:
            known = ", ".join([*FEATURES, *ALIASES])
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
    import json

    return parse(json.loads((_HERE / name).read_text(encoding="utf-8")))


def global_model() -> LinearModel:
    """The shipped model that every tenant starts from."""
    return _shipped("global_model.json")


def popularity_model() -> LinearModel:
    """The shipped fallback: popularity over several windows, fitted, with nothing about the user in it."""
    return _shipped("popularity_model.json")
