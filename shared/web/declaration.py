"""Declarations of HTTP endpoints. Routing, authentication and the OpenAPI document are made from them.

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
        """Return the parameter with another description."""
        return replace(self, description=description)


@dataclass(frozen=True, slots=True)
class Response:
    """A successful response. `content`: its model or schema, None without a body; `headers`: name → meaning."""

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
    """One method of one route. The handler names it: for `get_feed` the operation id is `getFeed`.

    - `scopes`: a key needs one of them; empty: no key is needed
    - `user`: the request concerns the user in `X-User`
    - `user_token`: the user's own token is required, whatever the tenant's setting
    - `token_instead`: the user's token replaces the scope
    - `brand`: a server's key of scope `cms` needs no token; `X-User` then names a brand, which is never a person
    - `operator`: for the platform's own keys; concerns no single tenant
    - `platform`: an operator can name the platform itself as the tenant
    - `problems`: codes besides those of authentication and of any call; a test fails for any other
    - `cors`: pages of other origins can call it
    - `plain`: answered without the app's services, and not counted
    - `flag`: while it is off for the tenant, the answer is the 404 of an unknown route
    - `call`: class of the handler's argument (shared/web/endpoint.py)
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
    """Value of `Vary` for a GET: the request headers that the response depends on; empty for none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vary", ", ".join(self._deciding_headers()))

    def _deciding_headers(self) -> Iterator[str]:
        if self.method != "GET":  # responses to other methods are never cached
            return
        if self.scopes:
            if not self.operator:
                yield "X-Tenant-Id"
            yield "X-Api-Key"
        for parameter in self.parameters:
            if parameter.where == "header" and not parameter.name.startswith("If-"):  # conditions change no content
                yield parameter.name
        yield "Accept-Encoding"

    @property
    def name(self) -> str:
        """Name of the function, and of the endpoint in metrics."""
        return self.handler.__name__

    @property
    def id(self) -> str:
        """OpenAPI operation id."""
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    @property
    def path_names(self) -> list[str]:
        """Names of the path parameters, in order."""
        return re.findall(r"\{(\w+)\}", self.path)
