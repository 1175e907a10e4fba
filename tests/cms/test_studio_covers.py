"""Every CMS call and every body field is reachable on a Studio screen or listed as an exception."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import function_app
from cms.studio.api import FOLDER

READ_IN_ITS_LIST = "its list answers the same"
CHANGED_BY_FIELD = "the form sends what was changed by PATCH, and leaves the rest as it is"
CALLS_WITHOUT_A_SCREEN = {
    "GET rules/{}": READ_IN_ITS_LIST,
    "GET rules/{}/draft": READ_IN_ITS_LIST,
    "PUT configuration": CHANGED_BY_FIELD,
    "PUT configuration/draft": CHANGED_BY_FIELD,
    "PUT feeds/{}": CHANGED_BY_FIELD,
    "PUT playlists/{}": CHANGED_BY_FIELD,
    "PUT videos/{}": CHANGED_BY_FIELD,
}
FIELDS_WITHOUT_A_SCREEN = {
    "preview.withoutRules": "a rule is tried as it would be, and switched off or on by one press",
}
"""Keys are `resource.field`."""

_CALL = re.compile(r'\b(?:call\("([A-Z]+)", |(get|post|createNamed|recently)\()([`"])(.+?)\3')
_METHODS = {"get": "GET", "post": "POST", "createNamed": "POST", "recently": "GET"}
_CHOICE = re.compile(r'\$\{[^{}]*\? "(\w+)" : "(\w+)"\}')
_IMPORT = re.compile(r'from "\./(\w+\.js)"')
_SHARED = {"api.js", "app.js", "controls.js", "dom.js", "forms.js", "texts.js"}

document = function_app.api.document


@cache
def files() -> Mapping[str, str]:
    """The Studio's modules by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js") if path.name != "api.js"}


def as_call(method: str, path: str) -> str:
    """Return `PATCH videos/{}`: a call without parameter names, values and query."""
    bare = re.sub(r"\$?\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "{}", path.removeprefix("/v1/cms/"))
    return f"{method} {bare.partition('?')[0]}"


def calls_of(text: str) -> set[str]:
    """Return the calls of a module; `${x ? "a" : "b"}` in a path stands for both."""
    return {
        as_call(method or _METHODS[name], _CHOICE.sub(rf"\{one}", path))
        for method, name, _, path in _CALL.findall(text)
        for one in (1, 2)
        if not path.startswith("/")  # of the start page, which only a local run has
    }


def operations() -> dict[str, dict[str, Any]]:
    """Return the document's CMS calls."""
    return {
        as_call(method.upper(), path): operation
        for path, methods in document["paths"].items()
        if path.startswith("/v1/cms/")
        for method, operation in methods.items()
    }


def body_fields(schema: dict[str, Any]) -> Iterator[str]:
    """Return the names of all fields of a body, at any depth."""
    if "$ref" in schema:
        yield from body_fields(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from body_fields(inner)
    for inner in (
        *schema.get("anyOf", ()),
        *schema.get("allOf", ()),
        *([schema["items"]] if "items" in schema else ()),
    ):
        yield from body_fields(inner)


def fields() -> set[str]:
    """Return every field of every body by the first part of its path: `videos.title`."""
    return {
        f"{call.split()[1].partition('/')[0]}.{field}"
        for call, operation in operations().items()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for field in body_fields(content.get("schema", {}))
    }


def names_at(resource: str) -> set[str]:
    """Return every word of the modules that call a resource, and of the modules they import."""
    own = {name for name, text in files().items() if any(f" {resource}" in call for call in calls_of(text))}
    also = {imported for name in own for imported in _IMPORT.findall(files()[name])}
    return {word for name in own | also - _SHARED for word in re.findall(r"\w+", files()[name])}


def made_calls() -> set[str]:
    """Return the calls of all modules; a literal value, such as `values/series`, stands for its parameter."""
    patterns = {re.escape(call).replace(r"\{\}", "[^/]+"): call for call in operations()}

    def documented(call: str) -> str:
        found = (known for pattern, known in patterns.items() if re.fullmatch(pattern, call))
        return call if call in operations() else next(found, call)

    return {documented(call) for text in files().values() for call in calls_of(text)}


def test_every_cms_call_is_made_by_a_screen_or_has_a_stated_exception() -> None:
    assert operations().keys() - made_calls() - CALLS_WITHOUT_A_SCREEN.keys() == set()


def test_every_call_of_a_screen_is_in_the_api_document() -> None:
    assert made_calls() - operations().keys() == set()


def test_every_body_field_is_on_a_screen_or_has_a_stated_exception() -> None:
    missing = {each for each in fields() if each.partition(".")[2] not in names_at(each.partition(".")[0])}
    assert missing - FIELDS_WITHOUT_A_SCREEN.keys() == set()
