"""Sends the examples of a page, top to bottom, and compares the responses with those shown.

`docs/api.md` defines the placeholders of its examples; this module implements them.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.docs.pages import Block, Page, Place
from tests.served_app import Answer, App

ANYTHING = "…"
THE_SAME_BODY = "{the same body}"
MOST_REPEATS = 500
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Message:
    """One ```http block. `start` is its first line; header names are lower case; `body` is text, empty if there is
    none."""

    place: Place
    start: str
    headers: Mapping[str, str]
    body: str

    @property
    def status(self) -> int:
        """The status code of a response."""
        return int(self.start.split()[1])


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the answer that follows it on the page."""

    request: Message
    answer: Message


async def replay(page: Page, app: App) -> int:
    """Send every example of a page and run every Python snippet; return how many there were. Raises `AssertionError`
    with the differences between the page and the response."""
    values: dict[str, str] = {}
    variables: dict[str, Any] = {}
    body, count = "", 0
    for step in exchanges_and_snippets(page):
        count += 1
        if not isinstance(step, Exchange):
            values |= _run(*step, variables)
            continue
        values["now"] = datetime.fromtimestamp(app.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if step.request.body != THE_SAME_BODY:
            body = _filled_body(step.request.body, values)
        answer = await _sent(app, step, body if step.request.body else "", values)
        different = _differences(step.answer, answer, values)
        assert not different, "\n".join([f"{step.answer.place} shows another answer", *different, repr(answer.body)])
        values |= _named(answer)
        await app.folded()
    return count


def exchanges_and_snippets(page: Page) -> Iterator[Exchange | tuple[Block, Block | None]]:
    """Yield the examples of the page in order: exchanges, and Python snippets each with its printed output, if
    shown."""
    shown = list(page.blocks)
    while shown:
        block = shown.pop(0)
        if block.language == "python":
            yield block, shown.pop(0) if shown and shown[0].language == "text" else None
        elif block.language == "http":
            assert shown, f"{block.place}: a request without an answer"
            assert shown[0].language == "http", f"{block.place}: a request without an answer"
            request, answer = message(block), message(shown.pop(0))
            assert not request.start.startswith("HTTP/"), f"{block.place}: an answer without a request"
            assert answer.start.startswith("HTTP/1.1 "), f"{block.place}: a request without an answer"
            yield Exchange(request, answer)


def message(block: Block) -> Message:
    head, _, body = block.text.partition("\n\n")
    start, *lines = head.strip().splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return Message(block.place, start, {name.lower(): value for name, value in headers.items()}, body.strip())


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return the text with every `{name}` replaced."""
    return _NAME.sub(lambda found: values[found[1]], text)


def matches(shown: Any, real: Any, where: str = "answer") -> list[str]:
    """Return the differences between a shown and a real response, one line each."""
    if shown == ANYTHING:
        return []
    if isinstance(shown, dict) and isinstance(real, dict):
        odd = [f"{where}.{name} is only {'shown' if name in shown else 'real'}" for name in shown.keys() ^ real.keys()]
        return odd + [
            line for name in shown.keys() & real.keys() for line in matches(shown[name], real[name], f"{where}.{name}")
        ]
    if isinstance(shown, list) and isinstance(real, list):
        if len(shown) != len(real):
            return [f"{where} has {len(real)} entries, {len(shown)} are shown: {json.dumps(real)[:300]}"]
        pairs = enumerate(zip(shown, real, strict=True))
        return [line for at, (one, other) in pairs for line in matches(one, other, f"{where}[{at}]")]
    if isinstance(shown, float) and isinstance(real, float | int) and not isinstance(real, bool):
        return []
    if isinstance(shown, str) and isinstance(real, str) and _alike(shown, real):
        return []
    same = type(shown) is type(real) and shown == real
    return [] if same else [f"{where} is {json.dumps(real)}, shown is {json.dumps(shown, ensure_ascii=False)}"]


def _alike(shown: str, real: str) -> bool:
    """`…` stands for any text, a time for any time."""
    if _TIME.fullmatch(shown):
        return bool(_TIME.fullmatch(real))
    pattern = ".*".join(re.escape(part) for part in shown.split(ANYTHING))
    return re.fullmatch(pattern, real, re.DOTALL) is not None


def _run(snippet: Block, printed: Block | None, variables: dict[str, Any]) -> dict[str, str]:
    """Run a snippet after earlier ones and compare its output; its string variables become values for later
    examples."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(snippet.text, str(snippet.place), "exec"), variables)
    assert said.getvalue() == (printed.text if printed else ""), f"{snippet.place} prints something else"
    return {name: value for name, value in variables.items() if isinstance(value, str)}


async def _sent(app: App, step: Exchange, body: str, values: Mapping[str, str]) -> Answer:
    """Send a request and return the response; one whose example is a 429 is repeated until refused."""
    method, path = filled(step.request.start, values).split(" ")
    headers = {name: filled(value, values) for name, value in step.request.headers.items()}
    answer = await app.request(method, path, headers, body=body.encode() or None)
    for _ in range(MOST_REPEATS if step.answer.status == 429 else 0):
        if answer.status == 429:
            break
        answer = await app.request(method, path, headers, body=body.encode() or None)
    return answer


def _filled_body(text: str, values: Mapping[str, str]) -> str:
    """Fill values into JSON text, with JSON escapes."""
    return filled(text, {name: json.dumps(value)[1:-1] for name, value in values.items()})


def _differences(shown: Message, answer: Answer, values: Mapping[str, str]) -> list[str]:
    if answer.status != shown.status:
        return [f"{answer.status}, not {shown.status}"]
    real = {name.lower(): value for name, value in answer.headers.items()}
    wrong = []
    for name, value in shown.headers.items():
        wrong += matches(filled(value, values), real.get(name), name)
    if not shown.body:
        return wrong if not answer.body else [*wrong, "the answer has a body"]
    return wrong + matches(json.loads(_filled_body(shown.body, values)), answer.json)


def _named(answer: Answer) -> dict[str, str]:
    """Return values for later requests: string fields of the response, and its ETag."""
    fields = answer.json.items() if isinstance(answer.json, dict) else ()
    found = {name: value for name, value in fields if isinstance(value, str)}
    etag = next((value for name, value in answer.headers.items() if name.lower() == "etag"), None)
    return found | ({"ETag": etag} if etag else {})
