"""Declares an HTTP endpoint once: the record that routing, authentication and the OpenAPI document are made from.

`@endpoint(…)` (shared/web/endpoint.py) puts an `Endpoint` on its handler.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]
Model = type[BaseModel]

ANY_OBJECT: Schema = {"type": "object"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter beside the body. `where`: query, header or path."""

    name: str
    where: str
    description: str
    schema: Schema
    required: bool = False
    example: Any = None

    def saying(self, description: str) -> Parameter:
        """The same parameter with another description."""
        return replace(self, description=description)


@dataclass(frozen=True, slots=True)
class Response:
    """A response that is no problem. `content`: its model or schema, None without a body; `headers`: name → meaning."""

    description: str
    content: Model | Schema | None = None
    example: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: its model or schema, and an example."""

    content: Model | Schema
    example: Any
    required: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one route. Its name is the handler's: `get_feed` is the function, `getFeed` the operation id.

    `scopes`: a key needs one of them; none means open to anybody. `user`: the request is about the user in `X-User`.
    `user_token`: the user's own token is needed, whatever the tenant asks for. `token_instead`: it replaces the scope.
    `brand`: a server's key of scope `cms` may do without it; `X-User` then names a brand, which is never a person.
    `operator`: for the platform's own keys, about no single tenant.
    `platform`: an operator may name the platform itself as the tenant. `problems`: the codes it answers beside those
    of authentication and of any call; a test fails for any other. `cors`: pages of other origins may call it. `plain`:
    answered without the app's services, uncounted. `flag`: while it is off for the tenant, a 404 as where nothing
    is. `call`: what the handler gets (shared/web/endpoint.py).
    """

    handler: Callable[..., Awaitable[Any]]
    method: str
    path: str
    summary: str
    tag: str
    responses: Mapping[int, Response]
    call: type[Any]
    description: str = ""
    scopes: tuple[str, ...] = ()
    user: bool = False
    user_token: bool = False
    brand: bool = False
    token_instead: bool = False
    operator: bool = False
    platform: bool = False
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    problems: tuple[str, ...] = ()
    cors: bool = False
    plain: bool = False
    flag: str = ""
    vary: str = field(init=False)
    """The request headers that decide on the response to a GET, as `Vary` names them; empty where none does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vary", ", ".join(self._deciding_headers()))

    def _deciding_headers(self) -> Iterator[str]:
        if self.method != "GET":  # what is never kept
            return
        if self.scopes:
            if not self.operator:
                yield "X-Tenant-Id"
            yield "X-Api-Key"
        for parameter in self.parameters:
            if parameter.where == "header" and not parameter.name.startswith("If-"):  # conditions choose no content
                yield parameter.name
        yield "Accept-Encoding"

    @property
    def name(self) -> str:
        """The name of the function, and of the endpoint in metrics."""
        return self.handler.__name__

    @property
    def id(self) -> str:
        """The OpenAPI operation id."""
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    @property
    def path_names(self) -> list[str]:
        """The parameters in the path, in order."""
        return re.findall(r"\{(\w+)\}", self.path)
