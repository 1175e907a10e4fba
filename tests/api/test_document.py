"""The OpenAPI document is valid and lists every route, problem code and limit of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import function_app
from shared.web.declaration import Endpoint
from shared.web.openapi import problems_of
from shared.web.problem_codes import CODES, HOST
from tests.api.contract import closed_with_components, codes_of
from tests.parts import app_functions

ROOT = Path(__file__).resolve().parents[2]
HELPERS = {"bad_request": (0, 400, ""), "refused": (0, 422, "invalid_"), "checked": (2, 422, "invalid_")}
"""Functions that create a problem: which argument is the code, the status, and the prefix of the code."""
MADE_IN_PARTS = re.compile(r"(missing|invalid)_(tenant|api_key|user|country|language|age_band|platform|playlist)")
"""Codes built at run time from the names of headers and hints."""

document = function_app.api.document


def operations() -> tuple[Endpoint, ...]:
    return function_app.api.endpoints


def test_the_document_is_valid_openapi_3_1() -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_route_of_the_app_is_documented_and_nothing_else_is() -> None:
    served = {
        (str(method), f"/{trigger['route']}")
        for function in app_functions()
        if (trigger := function.get_trigger().get_dict_repr())["type"] == "httpTrigger"
        for method in map(str, trigger["methods"])
        if str(method) != "OPTIONS"
    }
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert served == documented


def codes_in_source() -> Iterator[tuple[str, int | None, str]]:
    """Yield every literal problem code of the source, its status where that is literal too, and its place."""
    for room in ("feed", "events", "media", "stories", "cms", "privacy", "shared"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                    continue
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                first = node.args[0]
                if node.func.id == "Problem" and len(node.args) > 1:
                    status, code = first, node.args[1]
                    if isinstance(code, ast.Constant) and isinstance(status, ast.Constant):
                        yield str(code.value), int(str(status.value)), place
                elif node.func.id in HELPERS:
                    at, made, begin = HELPERS[node.func.id]
                    argument = node.args[at] if at < len(node.args) else None
                    if isinstance(argument, ast.Constant):
                        yield f"{begin}{argument.value}", made, place


def test_every_code_in_the_source_is_in_the_table_with_its_status() -> None:
    wrong = [
        f"{place} {code} {status}"
        for code, status, place in codes_in_source()
        if code not in CODES or CODES[code].status != status
    ]
    assert wrong == []


def test_every_code_of_the_table_is_in_the_source() -> None:
    known = {code for code, _, _ in codes_in_source()}
    assert {
        code for code in CODES if code not in known and code not in HOST and not MADE_IN_PARTS.fullmatch(code)
    } == set()


def test_documented_problem_codes_are_exactly_those_of_the_table() -> None:
    documented = {code for operation in operations() for code in problems_of(operation)}
    assert documented == set(CODES)


def test_every_problem_has_an_example_of_documented_fields_that_fits_its_schema() -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/problem+json")
                if content is None:
                    continue
                schema = closed_with_components(content["schema"])
                assert list(content["examples"]) == codes_of(answer), f"{method} {path} {status}"
                for code, example in content["examples"].items():
                    assert example == {"$ref": f"#/components/examples/{code}"}
                    value = document["components"]["examples"][code]["value"]
                    assert (value["code"], value["status"]) == (code, int(status))
                    Draft202012Validator(schema).validate(value)


def test_every_other_example_matches_its_schema_and_has_documented_fields_only() -> None:
    checked = 0
    for methods in document["paths"].values():
        for operation in methods.values():
            contents = [
                (content, example)
                for answer in operation["responses"].values()
                for content in answer.get("content", {}).values()
                for example in [content.get("example")]
                if example is not None
            ]
            contents += [
                (content, example["value"])
                for content in operation.get("requestBody", {}).get("content", {}).values()
                for example in content["examples"].values()
            ]
            for content, example in contents:
                schema = closed_with_components(content["schema"])
                Draft202012Validator(schema).validate(example)
                checked += 1
            for parameter in operation.get("parameters", ()):
                if "example" in parameter:
                    Draft202012Validator(parameter["schema"]).validate(parameter["example"])
    assert checked > 5


def silent_parts(schema: object, place: str) -> Iterator[str]:
    """Yield parts of a schema without a description of their content, or of why it may be anything."""
    if isinstance(schema, list):
        for at, part in enumerate(schema):
            yield from silent_parts(part, f"{place}[{at}]")
    if not isinstance(schema, dict):
        return
    said = {"$ref", "anyOf", "oneOf", "allOf", "const", "enum", "description"} & schema.keys()
    inner = {"object": {"properties", "additionalProperties"}, "array": {"items"}}.get(str(schema.get("type")))
    if not said and ("type" not in schema or (inner is not None and not inner & schema.keys())):
        yield place
    for name, part in schema.get("properties", {}).items():
        yield from silent_parts(part, f"{place}.{name}")
    for keyword in ("items", "additionalProperties", "anyOf", "oneOf"):
        yield from silent_parts(schema.get(keyword), f"{place}.{keyword}")
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from silent_parts(document["components"]["schemas"][name], name)


def answer_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of every response that is no problem, and its operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    if media_type != "application/problem+json":
                        yield f"{method} {path} {status}", content["schema"]


def test_every_response_field_has_a_description() -> None:
    assert sorted({part for place, schema in answer_schemas() for part in silent_parts(schema, place)}) == []


def test_response_schemas_accept_unknown_fields() -> None:
    def whole(schema: object) -> object:
        """Return a schema with everything it references."""
        if isinstance(schema, list):
            return [whole(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return whole(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        return {name: whole(part) for name, part in schema.items()}

    for place, schema in answer_schemas():
        assert b'"additionalProperties":false' not in orjson.dumps(whole(schema)), place


def test_operation_ids_are_unique_and_allowed_callers_are_documented() -> None:
    ids = [operation.id for operation in operations()]
    assert len(ids) == len(set(ids))
    for operation in operations():
        assert bool(operation.scopes) == ("unauthorized" in problems_of(operation)), operation.id
