"""Both OpenAPI documents pass the rules for client generators; each rule finds a planted fault."""

from __future__ import annotations

import copy
import re
from typing import Annotated, Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic import BaseModel, BeforeValidator, Field

import function_app
from shared.web.client_schemas import KNOWN_VALUES, client_schema
from shared.web.openapi import schemas_of
from shared.web.problem_codes import CODES
from tests.api.client_rules import faults_of, unions_of

document: dict[str, Any] = function_app.api.document
schemas: dict[str, Any] = document["components"]["schemas"]


def test_openapi_documents_avoid_what_breaks_client_generators() -> None:
    assert faults_of(document) == []
    assert faults_of(function_app.api.sdk_document) == []


def test_app_document_holds_exactly_the_operations_apps_can_call() -> None:
    sdk = function_app.api.sdk_document
    assert set(sdk["paths"]) == {
        "/v1/feed",
        "/v1/config",
        "/v1/videos",
        "/v1/videos/{id}",
        "/v1/series/{id}",
        *(f"/v1/me/{name}" for name in ("saved", "liked", "continue", "following")),
        "/v1/videos/{id}/similar",
        "/v1/events/batch",
        *(f"/v1/{path}" for path in ("me", "me/followers", "me/followers/{id}", "me/blocks")),
        *(f"/v1/{path}" for path in ("follow/{id}", "blocks/{id}", "me/stats", "me/events", "stories", "search")),
        *(f"/v1/stories/{{id}}{path}" for path in ("", "/view", "/reaction", "/reactions", "/viewers", "/report")),
        *(f"/v1/{path}" for path in ("uploads", "uploads/{id}/complete", "me/live")),
        "/v1/privacy/export",
        "/v1/privacy/erase",
    }
    for path, methods in sdk["paths"].items():
        for method, operation in methods.items():
            whole = document["paths"][path][method]
            assert {**operation, "security": whole["security"]} == whole
            assert operation["security"]
            assert all(way in whole["security"] and way["apiKey"] == ["sdk"] for way in operation["security"])
            assert len(operation["security"]) == 1


def test_app_document_spells_each_enum_value_once() -> None:
    assert unions_of(document) == ["EventTime", "Feeds.feeds.items", "PastEvent.timestamp", "Rules.rules.items"]
    assert unions_of(function_app.api.sdk_document) == []
    assert function_app.api.sdk_document["components"]["schemas"]["EventTime"]["format"] == "int64"


def test_app_document_holds_exactly_the_schemas_it_references() -> None:
    sdk = function_app.api.sdk_document
    for kind in ("schemas", "examples"):
        named = set(re.findall(rf"#/components/{kind}/(\w+)", orjson.dumps(sdk).decode()))
        assert named == set(sdk["components"][kind])
    assert [tag["name"] for tag in sdk["tags"]] == ["feed", "lists", "events", "people", "stories", "privacy"]
    validate(sdk)


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"type": "string", "enum": ["like", "like"]}, "duplicate value in enum"),
        ({"type": "string", "enum": ["like", "share"]}, "closed list of values"),
        ({"type": "string", "const": "draft"}, "closed list of values"),
        ({"type": ["string", "null"], "default": None}, "default null"),
        ({"type": "integer", "default": 20}, "required field"),
        ({"type": "number", "ge": 0}, "ge is no keyword"),
        ({"type": "number", "le": 5}, "le is no keyword"),
        ({"type": "string", "nullable": True}, "OpenAPI 3.0"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "union with null"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "inline object"),
        ({"type": "string", "title": "Type"}, "title"),
    ],
)
def test_planted_faults_are_found_in_a_field_and_in_a_parameter(planted: dict[str, Any], found: str) -> None:
    spoiled = copy.deepcopy(document)
    spoiled["components"]["schemas"]["Event"]["properties"]["type"] = planted
    spoiled["paths"]["/v1/feed"]["get"]["parameters"][-1]["schema"] = planted
    assert sum(found in fault for fault in faults_of(spoiled)) >= 2


@pytest.mark.parametrize("name", ["getConfig", "GetFeed", "get_feed", "delete", "GETFEED"])
def test_duplicate_or_unusable_operation_id_is_found(name: str) -> None:
    spoiled = copy.deepcopy(document)
    spoiled["paths"]["/v1/feed"]["get"]["operationId"] = name
    assert faults_of(spoiled) != []


def test_problems_share_one_schema_and_each_response_lists_its_codes() -> None:
    assert KNOWN_VALUES not in schemas["Problem"]["properties"]["code"]
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/problem+json")
                if content is not None:
                    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                    assert all(CODES[code].status == int(status) for code in content["examples"])
                    assert all(f"- `{code}`: " in answer["description"] for code in content["examples"])


def test_growing_value_sets_are_documented_but_not_closed_enums() -> None:
    for model, field, value in (
        ("FeedPage", "reason", "cold_start"),
        ("FeedPage", "mode", "fallback"),
        ("FeedVideo", "maturityRating", "PG13"),
        ("Event", "type", "video_view"),
        ("RejectedEvent", "code", "too_old"),
        ("StoredExperiment", "status", "running"),
        ("VideoForm", "status", "taken_down"),
    ):
        described = schemas[model]["properties"][field]
        assert value in described[KNOWN_VALUES], (model, field)
        assert f"`{value}`" in described["description"]
        assert "More may come." in described["description"]
        Draft202012Validator(described).validate("of_next_year")


def test_numeric_bounds_are_enforced_by_schema_validators() -> None:
    fields = schemas["Event"]["properties"], schemas["ConfigurationForm"]["properties"]
    assert (fields[0]["watchTimeMs"]["minimum"], fields[0]["watchTimeMs"]["maximum"]) == (0, 86_400_000)
    assert (fields[1]["defaultLimit"]["minimum"], fields[1]["defaultLimit"]["maximum"]) == (1, 50)
    assert schemas["VideoForm"]["properties"]["durationSeconds"]["exclusiveMinimum"] == 0
    assert not Draft202012Validator(fields[0]["watchTimeMs"]).is_valid(-5)


def test_optional_event_fields_are_not_required_and_have_no_default() -> None:
    event = schemas["Event"]
    assert event["required"] == ["type", "timestamp"]
    assert event["properties"]["feedRequestId"]["type"] == ["string", "null"]


def test_fractional_numbers_are_doubles_with_a_fractional_example() -> None:
    video = schemas["FeedVideo"]["properties"]
    shown = document["paths"]["/v1/feed"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    for name in ("durationSeconds", "score"):
        assert (video[name]["type"], video[name]["format"]) == ("number", "double")
        assert "also if it is whole" in video[name]["description"]
        assert shown["items"][0][name] % 1


def test_schema_of_any_new_model_passes_the_client_rules() -> None:
    class Careless(BaseModel):
        kind: Literal["a", "b"] = "a"
        only: Literal[True] = True
        note: str | None = None
        level: Annotated[int, BeforeValidator(int), Field(ge=1, le=9)] | None = None
        amount: int | float | None = Field(default=None, ge=0)
        share: float = 0.5

    made = schemas_of({Careless: None})
    assert faults_of({"components": {"schemas": made}, "paths": {}}) == []
    fields = made["Careless"]["properties"]
    assert fields["kind"] == {
        "type": "string",
        "description": '`"a"` when left out. Known values: `a`, `b`. More may come.',
        KNOWN_VALUES: ["a", "b"],
    }
    assert fields["only"] == {"type": "boolean", "description": "`true` when left out."}
    assert fields["note"] == {"type": ["string", "null"]}
    assert fields["level"] == {"type": ["integer", "null"], "minimum": 1, "maximum": 9}
    assert fields["amount"] == {"type": ["number", "null"], "minimum": 0, "format": "double"}
    assert fields["share"] == {"type": "number", "format": "double", "description": "`0.5` when left out."}


values = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(
    st.recursive(
        st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "number", "boolean"])}),
        lambda inner: (
            st.builds(
                lambda parts: {"anyOf": parts}, st.lists(inner | st.just({"type": "null"}), min_size=1, max_size=3)
            )
            | st.builds(lambda item: {"type": "array", "items": item}, inner)
        ),
        max_leaves=6,
    ),
    values,
)
def test_valid_values_stay_valid_in_the_client_schema(schema: dict[str, Any], value: Any) -> None:
    for each in (value, [value]):
        if Draft202012Validator(schema).is_valid(each):
            assert Draft202012Validator(client_schema(schema)).is_valid(each)
