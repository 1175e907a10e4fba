"""The part of Cosmos SQL that the adapter speaks: one partition, conjunctions, an order, a TOP.

    SELECT [TOP n] * FROM c [WHERE condition {AND condition}] [ORDER BY c.field [ASC|DESC]]
    condition: STARTSWITH(c.field, value) | c.field (= | > | >= | < | <=) value
    value: @parameter | "string" | 'string' | number

Anything else is a syntax error (400), so a query the server does not truly understand cannot pass a test.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

_QUERY = re.compile(
    r"""\s*SELECT \s+ (?:TOP \s+ (?P<top>@?\w+) \s+)? \* \s+ FROM \s+ c
        (?: \s+ WHERE \s+ (?P<where>.+?))?
        (?: \s+ ORDER \s+ BY \s+ c\.(?P<order>\w+) (?:\s+(?P<direction>ASC|DESC))?)? \s*""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_VALUE = r"""(@\w+|"[^"]*"|'[^']*'|-?\d+(?:\.\d+)?)"""
_STARTS_WITH = re.compile(rf"\s*STARTSWITH\s*\(\s*c\.(\w+)\s*,\s*{_VALUE}\s*\)\s*", re.IGNORECASE)
_COMPARE = re.compile(rf"\s*c\.(\w+)\s*(<=|>=|=|<|>)\s*{_VALUE}\s*")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class SyntaxRefused(ValueError):
    """The query is outside the supported subset."""


def run(query: str, parameters: list[Json], bodies: list[Json]) -> list[Json]:
    """Return the bodies the query selects, in its order."""
    match = _QUERY.fullmatch(query)
    if not match:
        raise SyntaxRefused(f"not understood: {query}")
    values = {p["name"]: p["value"] for p in parameters}
    conditions = [_condition(text, values) for text in _split(match["where"])]
    found = [body for body in bodies if all(condition(body) for condition in conditions)]
    if order := match["order"]:
        found = [body for body in found if order in body]
        found.sort(key=lambda body: body[order], reverse=(match["direction"] or "").upper() == "DESC")
    top = match["top"]
    return found if top is None else found[: int(_value(top, values))]


def _split(where: str | None) -> list[str]:
    return [] if where is None else re.split(r"\s+AND\s+", where, flags=re.IGNORECASE)


def _condition(text: str, values: Json) -> Callable[[Json], bool]:
    if match := _STARTS_WITH.fullmatch(text):
        name, prefix = match[1], _value(match[2], values)
        return lambda body: isinstance(body.get(name), str) and body[name].startswith(prefix)
    if match := _COMPARE.fullmatch(text):
        name, compare, value = match[1], _OPERATORS[match[2]], _value(match[3], values)
        return lambda body: type(body.get(name)) is type(value) and compare(body[name], value)
    raise SyntaxRefused(f"condition not understood: {text}")


def _value(text: str, values: Json) -> Any:
    if text.startswith("@"):
        if text not in values:
            raise SyntaxRefused(f"no value for {text}")
        return values[text]
    if text[0] in "\"'":
        return text[1:-1]
    return float(text) if "." in text else int(text)
