"""The OpenAPI document as one page: no script, nothing loaded from anywhere. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#0a7d55}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:2rem 1rem}
h1,h2,h3{line-height:1.2}h2{margin-top:3rem;border-bottom:1px solid var(--line)}
code,pre{font:14px/1.45 ui-monospace,monospace}pre{background:var(--soft);padding:.8rem;overflow:auto;border-radius:6px}
article{border:1px solid var(--line);border-radius:8px;padding:.2rem 1rem 1rem;margin:1rem 0}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0}
tr+tr td{border-top:1px solid var(--line)}summary{cursor:pointer}nav a{margin-right:1rem}
.method{color:var(--accent);font-weight:700}
"""


def render(document: Mapping[str, Any]) -> str:
    """The page, as HTML."""
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{_text(document['info']['title'])}</title><style>{STYLE}</style>",
        f"<h1>{_text(document['info']['title'])} <small>{_text(document['info']['version'])}</small></h1>",
        _paragraphs(document["info"]["description"]),
        "<p>The same as data: <a href='/openapi.json'>/openapi.json</a></p><nav>",
        *(f"<a href='#{_text(tag['name'])}'>{_text(tag['name'])}</a>" for tag in document["tags"]),
        "<a href='#schemas'>schemas</a></nav>",
    ]
    for tag in document["tags"]:
        parts.append(f"<h2 id='{_text(tag['name'])}'>{_text(tag['name'])}</h2>{_paragraphs(tag['description'])}")
        for method, path, operation in operations:
            if tag["name"] in operation["tags"]:
                parts += _operation(method, path, operation)
    parts.append("<h2 id=schemas>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"<details id='schema-{_text(name)}'><summary>{_text(name)}</summary>{_json(schema)}</details>")
    return "".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<article id='{_text(operation['operationId'])}'>"
    yield f"<h3><span class=method>{method.upper()}</span> <code>{_text(path)}</code></h3>"
    yield f"<p>{_text(operation['summary'])}.</p>{_paragraphs(operation.get('description', ''))}"
    if operation.get("security"):
        scopes = [way["apiKey"][0] for way in operation["security"] if "userToken" not in way]
        token = ", or any key beside a user token" if any("userToken" in way for way in operation["security"]) else ""
        yield f"<p>Needs a key with one of the scopes {_text(', '.join(scopes))}{token}.</p>"
    if operation.get("parameters"):
        yield "<table><tr><th>parameter<th>in<th>what</tr>"
        for each in operation["parameters"]:
            where = f"{each['in']}, required" if each["required"] else each["in"]
            yield f"<tr><td><code>{_text(each['name'])}</code><td>{where}<td>{_text(each['description'])}</tr>"
        yield "</table>"
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for example in content.get("examples", {}).values():
            yield f"<p>Send {_schema_link(content['schema'])}:</p>{_json(example['value'])}"
    yield "<table><tr><th>status<th>what</tr>"
    for status, answer in operation["responses"].items():
        yield f"<tr><td>{status}<td>{_description(answer['description'])}"
        for media, content in answer.get("content", {}).items():
            if media == "application/json":
                yield f" {_schema_link(content['schema'])}"
            if "example" in content:
                yield f"<details><summary>example</summary>{_json(content['example'])}</details>"
        yield "</tr>"
    yield "</table></article>"


def _schema_link(schema: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return f"<a href='#schema-{_text(name)}'>{_text(name)}</a>" if name else "JSON"


def _description(text: str) -> str:
    """Text, or a list where every line is an entry of one."""
    lines = text.split("\n")
    if all(line.startswith("- `") for line in lines):
        entries = (line.removeprefix("- `").partition("`: ") for line in lines)
        return "".join(f"<div><code>{_text(code)}</code> {_text(meaning)}</div>" for code, _, meaning in entries)
    return _text(text)


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_text(part)}</p>" for part in text.split("\n\n") if part.strip())


def _json(value: Any) -> str:
    return f"<pre>{_text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"


def _text(text: str) -> str:
    return html.escape(str(text))
