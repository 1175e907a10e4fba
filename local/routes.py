"""Which function answers a method and a path: the route templates of the Functions host.

A template is a path of literals and parameters: `{name}`, `{name:int}`, `{name?}`, `{name=value}`, `{*rest}`, and
mixtures inside one segment such as `{id}.json`. Literals are compared without regard to case, a trailing slash is
ignored, and the most specific route wins, segment by segment: literal, constrained parameter, parameter, catch-all.

A path without parameters costs one dictionary look-up. Otherwise routes are looked up by the literal segments they
begin with, the longest first, which is also the order of precedence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
MAX_PATH_SEGMENTS = 32

Target = TypeVar("Target")
Check = Callable[[str], bool]


class RouteError(ValueError):
    """A route template that cannot be served, or that another function has already."""


@dataclass(frozen=True, slots=True)
class Found(Generic[Target]):
    """The function for a request, and the route's parameters (percent-decoded)."""

    target: Target
    parameters: Mapping[str, str]
    method: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """No function; `allowed` names the methods that the path would answer to, if any."""

    allowed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Pattern(Generic[Target]):
    shape: str
    regex: re.Pattern[str]
    checks: tuple[tuple[str, Check], ...]
    defaults: Mapping[str, str]
    precedence: tuple[int, ...]
    targets: dict[str, Target] = field(default_factory=dict)

    def match(self, path: str) -> dict[str, str] | None:
        match = self.regex.fullmatch(path)
        if match is None:
            return None
        parameters = {name: value for name, value in match.groupdict().items() if value}
        if not all(name not in parameters or check(parameters[name]) for name, check in self.checks):
            return None
        return {**self.defaults, **parameters}


class RouteTable(Generic[Target]):
    """Every route of the app."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix.strip("/")
        self._exact: dict[str, dict[str, Found[Target]]] = {}
        self._by_prefix: dict[str, list[_Pattern[Target]]] = {}

    def add(self, template: str, methods: Iterable[str] | None, target: Target) -> None:
        """Route these methods (all of them when None) of a template to a target. Raises `RouteError`."""
        wanted = [method.upper() for method in methods or METHODS]
        segments = [part for part in f"{self._prefix}/{template}".split("/") if part]
        if any("{" in segment or "}" in segment for segment in segments):
            prefix, pattern = _compile(template, segments)
            bucket = self._by_prefix.setdefault(prefix, [])
            alike = [known for known in bucket if known.shape == pattern.shape]
            for known in alike:
                _refuse_twice(template, wanted, known.targets)
            same = next((known for known in alike if known.regex == pattern.regex), None)
            if same is None:
                bucket.append(pattern)
                bucket.sort(key=lambda known: known.precedence)
            (same or pattern).targets.update(dict.fromkeys(wanted, target))
        else:
            exact = self._exact.setdefault("/" + "/".join(segments).lower(), {})
            _refuse_twice(template, wanted, exact)
            exact.update({method: Found(target, {}, method) for method in wanted})

    def find(self, method: str, path: str) -> Found[Target] | NotFound:
        """The most specific route. `path` is percent-decoded; HEAD falls back on GET."""
        key = path.lower()
        if key.endswith("/") and len(key) > 1:
            key = key[:-1]
        exact = self._exact.get(key, {})
        if method in exact:
            return exact[method]
        allowed = set(exact)
        for prefix in _prefixes(key):
            for pattern in self._by_prefix.get(prefix, ()):
                parameters = pattern.match(path)
                if parameters is None:
                    continue
                if method in pattern.targets:
                    return Found(pattern.targets[method], parameters, method)
                allowed.update(pattern.targets)
        if method == "HEAD" and "GET" in allowed:
            return self.find("GET", path)
        if "GET" in allowed:
            allowed.add("HEAD")
        return NotFound(tuple(sorted(allowed)))


def _prefixes(path: str) -> Iterable[str]:
    """The path and its parents, longest first, down to the empty one."""
    if path.count("/") > MAX_PATH_SEGMENTS:
        return
    while path not in ("", "/"):
        yield path
        path = path.rpartition("/")[0]
    yield ""


def _refuse_twice(template: str, methods: list[str], known: Mapping[str, object]) -> None:
    taken = [method for method in methods if method in known]
    if taken:
        raise RouteError(f"{taken[0]} {template} is routed to two functions; give one of them another route")


# ---- templates

_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_]\w*)((?::[^{}?=]+)*)(?:=([^{}?]*))?(\?)?\}")
_CONSTRAINT = re.compile(r"([a-z]+)(?:\(([^()]*)\))?", re.IGNORECASE)


def _compile(template: str, segments: list[str]) -> tuple[str, _Pattern]:
    """The literal path a template begins with, and the pattern of the whole."""
    literal = next((i for i, segment in enumerate(segments) if "{" in segment or "}" in segment), len(segments))
    checks: list[tuple[str, Check]] = []
    defaults: dict[str, str] = {}
    precedence: list[int] = []
    regex = ""
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        whole = _PARAMETER.fullmatch(segment)
        if whole is None:
            regex += "/" + _mixed(template, segment, checks)
            precedence.append(2 if "{" in segment else 1)
            continue
        star, name, constraints, default, optional = whole.groups()
        if (star or optional or default is not None) and not last:
            raise RouteError(f"route {template}: {segment} may only come last")
        checks += _checks(template, name, constraints)
        capture = f"(?P<{name}>{'.*' if star else '[^/]+'})"
        regex += f"(?:/{capture})?" if star or optional or default is not None else f"/{capture}"
        precedence.append((4 if constraints else 5) if star else (2 if constraints else 3))
        if default is not None:
            defaults[name] = default
    try:
        compiled = re.compile(regex + "/?", re.IGNORECASE | re.DOTALL)
    except re.error:
        raise RouteError(f"route {template}: a parameter is named twice") from None
    prefix = "".join("/" + segment.lower() for segment in segments[:literal])
    shape = _PARAMETER.sub(r"{\1\3}", "/".join(segments).lower())
    return prefix, _Pattern(shape, compiled, tuple(checks), defaults, tuple(precedence))


def _mixed(template: str, segment: str, checks: list[tuple[str, Check]]) -> str:
    """The expression of a literal, or of literals and parameters inside one segment."""
    regex, end = "", 0
    for match in _PARAMETER.finditer(segment):
        star, name, constraints, default, optional = match.groups()
        if star or optional or default is not None:
            raise RouteError(f"route {template}: {match[0]} must have its segment to itself")
        checks += _checks(template, name, constraints)
        regex += re.escape(segment[end : match.start()]) + f"(?P<{name}>[^/]+)"
        end = match.end()
    if set("{}") & set(_PARAMETER.sub("", segment)):
        raise RouteError(f"route {template}: {segment} is not understood")
    return regex + re.escape(segment[end:])


def _checks(template: str, name: str, constraints: str) -> list[tuple[str, Check]]:
    return [(name, _constraint(template, text)) for text in constraints.split(":") if text]


def _constraint(template: str, text: str) -> Check:
    match = _CONSTRAINT.fullmatch(text)
    kind, argument = (match[1].lower(), match[2]) if match else (text, None)
    if argument is None and kind in _PLAIN:
        expression = re.compile(_PLAIN[kind], re.IGNORECASE | re.ASCII)
        return lambda value: expression.fullmatch(value) is not None
    numbers = [int(part) for part in (argument or "").split(",") if re.fullmatch(r"\s*-?\d+\s*", part)]
    if (kind, len(numbers)) not in _MEASURES:
        raise RouteError(f"route {template}: the constraint {text!r} is not supported by the local host")
    return _MEASURES[kind, len(numbers)](*numbers)


_PLAIN = {
    "int": r"[-+]?\d{1,10}",
    "long": r"[-+]?\d{1,19}",
    "guid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}",
    "bool": r"true|false",
    "alpha": r"[a-z]*",
    "required": r"(?s:.+)",
}


def _number(value: str) -> int | None:
    return int(value) if re.fullmatch(r"[-+]?\d{1,19}", value, re.ASCII) else None


def _between(low: float, high: float) -> Check:
    def check(value: str) -> bool:
        number = _number(value)
        return number is not None and low <= number <= high

    return check


def _long(low: float, high: float) -> Check:
    return lambda value: low <= len(value) <= high


_INFINITY = float("inf")
_MEASURES: dict[tuple[str, int], Callable[..., Check]] = {
    ("min", 1): lambda low: _between(low, _INFINITY),
    ("max", 1): lambda high: _between(-_INFINITY, high),
    ("range", 2): _between,
    ("length", 1): lambda exactly: _long(exactly, exactly),
    ("length", 2): _long,
    ("minlength", 1): lambda low: _long(low, _INFINITY),
    ("maxlength", 1): lambda high: _long(0, high),
}
