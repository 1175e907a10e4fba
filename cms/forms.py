"""Strict request forms, and validation errors (faults) in plain sentences.

`check(form, payload)` returns the form or a list of faults; `checked` raises them as one 422 `Problem`. A fault names
the field and the expected value; it never quotes the value that was sent.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from cms.spellings import LINK, is_stored
from shared.domain.age_bands import read_age_band
from shared.domain.countries import canonical_country
from shared.domain.formats import PLATFORM, SERIES_ID, SLUG, VIDEO_ID, Format, canonical_platform
from shared.domain.languages import canonical_language
from shared.domain.text import all_composed, clean, composed, what_is_wrong
from shared.web.problems import Problem

MAX_FAULTS = 50
_URL = "url"
"""Field name of a link inside a list or a map; its value is normalized as a link, not as text."""


V = TypeVar("V", bound=type[BaseModel])


class Form(BaseModel):
    """A JSON object with known fields in camelCase; unknown fields are refused. An optional null has its default.

    `read_only` names fields that only the service writes. They are ignored, so a response can be sent back.
    """

    read_only: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        str_strip_whitespace=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_set(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        optional = {field.alias for field in cls.model_fields.values() if not field.is_required()}
        ignored = cls.read_only - _aliases(cls)
        return {
            name: value
            for name, value in given.items()
            if name not in ignored and not (value is None and name in optional)
        }


def comes_back_in(*forms: type[Form]) -> Callable[[V], V]:
    """Mark a view that callers can send back in `forms`; the forms ignore those of its fields that they do not have."""

    def mark(view: V) -> V:
        for form in forms:
            form.read_only |= _aliases(view)
        return view

    return mark


def _aliases(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def without_nulls(given: object) -> object:
    """Return a JSON object without its null members; return any other value unchanged."""
    return {name: each for name, each in given.items() if each is not None} if isinstance(given, dict) else given


@dataclass(frozen=True, slots=True)
class Fault:
    """One validation error. `field` is a path such as `match.tags[2]`, empty for the whole document."""

    field: str
    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        return {"field": self.field, "code": self.code, "message": self.message}


class _TextsOf:
    """The texts of a stored document, which are never refused; searched only when a text would be."""

    def __init__(self, stored: object) -> None:
        self._stored = stored

    def __contains__(self, text: str) -> bool:
        return _holds(all_composed(self._stored), text)


def _holds(value: object, text: str) -> bool:
    if isinstance(value, Mapping):
        return any(_holds(each, text) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_holds(each, text) for each in value)
    return isinstance(value, str) and value == text


def _readable(value: object, path: str, faults: list[Fault], known: _TextsOf) -> object:
    """Return a JSON value with each text stripped and in Unicode normal form C; append problems to `faults`."""
    if isinstance(value, str):
        text = clean(value)
        wrong = what_is_wrong(text) or (None if text or not value.strip() else "has no visible character.")
        if wrong and composed(value) in known:
            return composed(value)
        if wrong:
            faults.append(Fault(path, "unreadable_text", f"{path} {wrong}"))
        return text
    if isinstance(value, list):
        return [_readable(each, f"{path}[{at}]", faults, known) for at, each in enumerate(value)]
    if isinstance(value, dict):
        return {
            clean(name): each if name == _URL else _readable(each, f"{path}.{shown_name(name)}", faults, known)
            for name, each in value.items()
        }
    return value


F = TypeVar("F", bound=Form)


def check(form: type[F], payload: object, stored: Mapping[str, Any] | None = None) -> tuple[F | None, list[Fault]]:
    """Validate a payload; return the form, or None and its faults.

    `stored`: the document that it replaces; values that it holds already are not refused as unclear.
    """
    if not isinstance(payload, dict):
        return None, [Fault("", "not_an_object", "Send a JSON object.")]
    faults: list[Fault] = []
    links = _links(form)
    known = _TextsOf(stored)
    payload = {
        name: each if name in links else _readable(each, shown_name(name), faults, known)
        for name, each in payload.items()
    }
    try:
        read = form.model_validate(payload, context=stored)
    except ValidationError as error:
        found = {fault.field for fault in faults}
        details = error.errors(include_url=False, include_input=False)
        faults += [fault for detail in details if (fault := _fault(form, detail)).field not in found]
    return (None, faults[:MAX_FAULTS]) if faults else (read, [])


def checked(form: type[F], payload: object, stored: Mapping[str, Any] | None = None) -> F:
    """Validate a payload and return the form. Raises a 422 `Problem` `invalid_document` that lists the faults."""
    read, faults = check(form, payload, stored)
    if read is None:
        raise refused(faults)
    return read


def refused(faults: list[Fault]) -> Problem:
    """Build a 422 `Problem` with the first fault in `detail` and all of them in `errors`."""
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    return Problem(422, "invalid_document", faults[0].message + more, errors=[fault.to_json() for fault in faults])


def fault(field: str, code: str, message: str) -> PydanticCustomError:
    """Build a fault for a validator of a whole form, which must name the field itself."""
    return PydanticCustomError(code, "{message}", {"message": message, "field": field})  # type: ignore[arg-type]


# ---- sentences


def _fault(form: type[Form], detail: ErrorDetails) -> Fault:
    context = detail.get("ctx") or {}
    path = str(context.get("field") or _path(detail["loc"]))
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Fault(path, "unknown_field", _unknown_field(form, detail["loc"], path))
    if "says" in context:
        return Fault(path, kind, f"{path} {context['says']}")
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return Fault(path, kind, str(context.get("message") or f"{path}: {detail['msg']}."))
    return Fault(path, kind, f"{path or 'The document'} {sentence(context)}")


def _path(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        if part == "[key]":  # pydantic's marker for the key of a map; the part before it is the key
            continue
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{shown_name(str(part))}"
    return text


def shown_name(name: str) -> str:
    """Make a caller's field name safe to show: odd characters become `?`, at most 40 characters."""
    return re.sub(r"[^\w.\-+ ]", "?", name)[:40]


def _unknown_field(form: type[Form], loc: tuple[int | str, ...], path: str) -> str:
    inside: type[BaseModel] | None = form
    for part in loc[:-1]:
        if isinstance(part, str) and inside is not None:
            inside = _form_of(inside, part)
    names = [field.alias or name for name, field in inside.model_fields.items()] if inside else []
    given = str(loc[-1])
    near = [name for name in names if len(given) > 3 and given.lower() in name.lower()]
    near = near or difflib.get_close_matches(given, names, 1, 0.6)
    if near:
        return f"There is no field {path}. Did you mean {near[0]}?"
    return f"There is no field {path}." + (f" Known here: {', '.join(names)}." if names else "")


def _form_of(form: type[BaseModel], alias: str) -> type[BaseModel] | None:
    for name, field in form.model_fields.items():
        if (field.alias or name) == alias:
            return _model_in(field.annotation)
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is not None:
        return next((found for each in get_args(annotation) if (found := _model_in(each))), None)
    return None


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda c: "is missing.",
    "string_type": lambda c: "must be text.",
    "int_type": lambda c: "must be a whole number.",
    "int_from_float": lambda c: "must be a whole number.",
    "float_type": lambda c: "must be a number.",
    "finite_number": lambda c: "must be a finite number.",
    "bool_type": lambda c: "must be true or false.",
    "list_type": lambda c: "must be a list.",
    "dict_type": lambda c: "must be an object.",
    "model_type": lambda c: "must be an object.",
    "literal_error": lambda c: f"must be one of {c['expected']}.".replace("'", "").replace(" or ", ", "),
    "greater_than_equal": lambda c: f"must be {_number(c['ge'])} or more.",
    "greater_than": lambda c: f"must be more than {_number(c['gt'])}.",
    "less_than_equal": lambda c: f"must be {_number(c['le'])} or less.",
    "less_than": lambda c: f"must be less than {_number(c['lt'])}.",
    "string_too_short": lambda c: (
        "must not be empty." if c["min_length"] == 1 else f"needs at least {c['min_length']} characters."
    ),
    "string_too_long": lambda c: f"can have at most {c['max_length']} characters.",
    "too_short": lambda c: (
        "must not be empty." if c["min_length"] == 1 else f"needs at least {c['min_length']} entries."
    ),
    "too_long": lambda c: f"can have at most {c['max_length']} entries.",
}
"""pydantic's error type → the rest of a sentence that begins with the field."""


# ---- types of fields


def text_like(form: Format) -> AfterValidator:
    """Build a validator that requires a format."""

    def matches(value: str) -> str:
        if not form.matches(value):
            raise PydanticCustomError("format", "{expected}", {"expected": form.description})
        return value

    return AfterValidator(matches)


def read_as(canonical: Callable[[str], str | None], description: str) -> AfterValidator:
    """Build a validator that converts text to its canonical form. Refuses unknown text unless it is stored already."""

    def read(value: str, info: ValidationInfo) -> str:
        found = canonical(value)
        if found is None and not is_stored(value, info):
            raise PydanticCustomError("format", "{expected}", {"expected": description})
        return found or value

    return AfterValidator(read)


def _age_band(text: str) -> str | None:
    band = read_age_band(text)
    return str(band) if band and not text.isdigit() else None


_SENTENCES["format"] = lambda c: f"must be {c['expected']}."
_SENTENCES["invalid_time"] = lambda c: "must be a time such as 2026-11-20T12:00:00Z, or seconds since 1970."


def _distinct(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


@lru_cache
def _links(form: type[Form]) -> frozenset[str]:
    """Return the fields that hold links; links are normalized differently from text."""
    fields = form.model_fields.items()
    return frozenset(
        field.alias or name for name, field in fields if LINK in field.metadata or _names(field.annotation, LINK)
    )


def _names(annotation: object, validator: object) -> bool:
    return annotation is validator or any(_names(part, validator) for part in get_args(annotation))


VideoId = Annotated[str, text_like(VIDEO_ID)]
SeriesId = Annotated[str, text_like(SERIES_ID)]
Slug = Annotated[str, text_like(SLUG)]
Country = Annotated[str, read_as(canonical_country, "a country of two letters (ISO 3166-1)")]
Language = Annotated[str, read_as(canonical_language, "a language tag such as en or pt-BR")]
AgeBand = Annotated[str, read_as(_age_band, "an age band such as 13-17 or 65+")]
Platform = Annotated[str, read_as(canonical_platform, PLATFORM.description)]
Url = Annotated[str, LINK]
Name = Annotated[str, Field(min_length=1, max_length=64)]
"""A category or a tag."""
Distinct = AfterValidator(_distinct)
NullMeansAbsent = BeforeValidator(without_nulls)
"""For maps: drops members that are null."""
