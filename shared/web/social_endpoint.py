"""Declares endpoints of people and stories: they need the user's own token, and the flag `stories`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.adapters.flags.evaluation import STORIES
from shared.web.declaration import Parameter, Response
from shared.web.endpoint import Handler, endpoint
from shared.web.openapi import BRANDS_OR_USERS_TOKEN, USERS_OWN_TOKEN, X_USER
from shared.web.problem_codes import USER

MAX_BODY_BYTES = 16_384
PRIVATE = "private, no-store"


def social_endpoint(
    method: str,
    path: str,
    summary: str,
    *,
    responses: Mapping[int, Response],
    parameters: tuple[Parameter, ...] = (),
    problems: tuple[str, ...] = (),
    tag: str = "people",
    brand: bool = False,
    **more: Any,
) -> Callable[[Handler], Handler]:
    """Declare an `endpoint` that needs the user's own token.

    An app's key ships inside the app, so it must not act for a user. With `brand`, a server's key can act for a brand.
    """
    return endpoint(
        method,
        path,
        summary,
        tag=tag,
        responses=responses,
        scopes=("sdk", "cms", "ops"),
        user=True,
        user_token=True,
        brand=brand,
        cors=True,
        flag=STORIES,
        parameters=(X_USER, BRANDS_OR_USERS_TOKEN if brand else USERS_OWN_TOKEN, *parameters),
        problems=(*USER, *problems),
        **more,
    )
