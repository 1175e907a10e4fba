"""Turns a night's result into a model version, and decides what the tenant serves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from learning.learner import Night
from shared.domain.auto_model import LEARNED_PREFIX, AutoModel
from shared.domain.records import AUTO_ON

WHO = "nightly learning"
KEPT_VERSIONS = 14
"""Newest versions that are kept even if nothing refers to them."""
VERSION_PREFIX = LEARNED_PREFIX
RESTS = "a model was taken back lately: its users watched less than the holdout"
NOTHING_LEARNED = "too few long views to learn from"


def version_of(night: str) -> str:
    """Return the name of a night's model version (UTC date): one per tenant and night."""
    return f"{VERSION_PREFIX}{night}"


def model_body(night: str, found: Night, report: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the stored model version: the personal weights, the fitted popularity, and the report. It is immutable."""
    version = version_of(night)
    return {
        **found.personal.to_document(),
        "version": version,
        "popularityWeights": dict(found.popularity.weights),
        "report": dict(report),
        "id": f"model:{version}",
        "kind": "model",
        "uploadedAt": now,
        "uploadedBy": WHO,
    }


def decided(
    last: AutoModel, night: str, found: Night | None, report: Mapping[str, Any], mode: str, promote: bool
) -> AutoModel:
    """Decide what is served after a night. `mode`: the tenant's `autoModel`; `promote`: the flag `auto-models`.

    Fitted popularity is always promoted. The personal model is promoted if the gate admits it and none was taken back
    recently. With `suggest`, or without the flag, nothing is promoted.
    """
    if found is None:
        why = last.why if last.popularity or last.personal else NOTHING_LEARNED
        return replace(last, night=night, why=why, report=report)
    version, why = version_of(night), found.decision.why
    personal = version if found.decision.personal else None
    if last.rests(night):
        personal, why = None, last.why if last.taken_back_on == night else RESTS
    news = replace(last, night=night, why=why, report=report, suggested=personal)
    if mode == AUTO_ON and promote:
        return replace(news, popularity=version, personal=personal)
    return news


def forgotten(models: Sequence[str], named: Sequence[str | None]) -> list[str]:
    """Return learned versions that can be deleted: not among the newest, and not referred to."""
    ours = sorted(version for version in models if version.startswith(VERSION_PREFIX))
    return [version for version in ours[:-KEPT_VERSIONS] if version not in named]
