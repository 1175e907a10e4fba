"""Reads Bicep files into plain values, as far as they are literal; what is computed stays as its source text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))


@dataclass(frozen=True)
class Computed:
    """An expression that only a deployment can evaluate."""

    text: str


@dataclass(frozen=True)
class Resource:
    """A declared resource, or a module (`type` is then its path)."""

    file: str
    symbol: str
    type: str
    version: str
    body: dict[str, Any]
    existing: bool
    line: int

    def at(self, path: str) -> Any:
        """The value at a dotted path, or None."""
        value: Any = self.body
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                return None
            value = value[name]
        return value

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line} {self.symbol}"


@dataclass
class BicepFile:
    """One file: syntax errors by line, variables, parameters (name → (decorators, default)), resources and modules."""

    name: str
    text: str
    errors: list[int] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, tuple[dict[str, Any], Any]] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    resources: list[Resource] = field(default_factory=list)
    modules: list[Resource] = field(default_factory=list)


def read_folder(folder: Path) -> dict[str, BicepFile]:
    """Every Bicep and parameter file below a folder, by its path from there."""
    paths = sorted([*folder.rglob("*.bicep"), *folder.rglob("*.bicepparam")])
    return {path.relative_to(folder).as_posix(): read(path.relative_to(folder).as_posix(), path) for path in paths}


def read(name: str, path: Path) -> BicepFile:
    source = path.read_bytes()
    file = BicepFile(name, source.decode())
    if path.suffix == ".bicepparam":  # the grammar knows Bicep only: its values read like variables
        source = re.sub(rb"^param (\w+ =)", rb"var \1", re.sub(rb"^using .*", b"", source, flags=re.M), flags=re.M)
    root = _PARSER.parse(source).root_node
    file.errors = [node.start_point[0] + 1 for node in _walk(root) if node.type == "ERROR" or node.is_missing]
    decorators: Node | None = None
    for node in root.named_children:
        if node.type == "decorators":
            decorators = node
            continue
        if node.type == "variable_declaration":
            file.variables[_text(node.named_children[0])] = _value(node.named_children[-1], file)
        elif node.type == "parameter_declaration":
            _read_parameter(node, decorators, file)
        elif node.type in ("resource_declaration", "module_declaration"):
            declared = _read_declaration(node, file)
            (file.resources if node.type == "resource_declaration" else file.modules).append(declared)
        decorators = None
    return file


def _read_parameter(node: Node, decorators: Node | None, file: BicepFile) -> None:
    said: dict[str, Any] = {}
    for decorator in decorators.named_children if decorators else []:
        call = decorator.named_children[0]
        arguments = call.named_children[1].named_children if call.type == "call_expression" else []
        said[_text(call.named_children[0] if arguments else call)] = _value(arguments[0], file) if arguments else True
    name = _text(node.named_children[0])
    defaults = [child for child in node.named_children[1:] if child.type not in ("type", "comment")]
    file.parameters[name] = (said, _value(defaults[0], file) if defaults else None)
    if not defaults:
        file.required.add(name)


def _read_declaration(node: Node, file: BicepFile) -> Resource:
    symbol = next(child for child in node.named_children if child.type == "identifier")
    kind = next(child for child in node.named_children if child.type == "string")
    type_name, _, version = _text(kind).strip("'").partition("@")
    body = _object_inside(node)
    value = _value(body, file) if body is not None else {}
    existing = any(_text(child) == "existing" for child in node.children)
    return Resource(file.name, _text(symbol), type_name, version, value, existing, node.start_point[0] + 1)


def _object_inside(node: Node) -> Node | None:
    for child in node.named_children:
        if child.type == "object":
            return child
        if child.type in ("if_statement", "for_statement", "parenthesized_expression"):
            found = _object_inside(child)
            if found is not None:
                return found
    return None


def _value(node: Node, file: BicepFile) -> Any:
    if node.type == "object":
        return _read_object(node, file)
    if node.type == "array":
        return [_value(child, file) for child in node.named_children if child.type != "comment"]
    if node.type == "string" and not any(child.type == "interpolation" for child in node.named_children):
        return "".join(_text(child).removeprefix("\\") for child in node.named_children)
    if node.type == "boolean":
        return _text(node) == "true"
    if node.type in ("number", "unary_expression"):
        digits = _text(node)
        return int(digits) if digits.lstrip("-").isdigit() else Computed(digits)
    if node.type == "identifier" and _text(node) in file.variables:
        return file.variables[_text(node)]
    return Computed(_text(node))


def _read_object(node: Node, file: BicepFile) -> dict[str, Any]:
    found = {}
    for child in node.named_children:
        if child.type == "object_property" and len(child.named_children) > 1:
            key = child.named_children[0]
            name = _text(key).strip("'")
            found[name] = _value(child.named_children[-1], file)
    return found


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _text(node: Node) -> str:
    return (node.text or b"").decode()
