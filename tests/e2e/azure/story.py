"""Runs the commands of `docs/tour.md` as written against any served app.

Only the address differs. A step without its result yet is repeated, as a reader would.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from tests.served_app import ROOT
from tests.skip_reasons import leave_out

ADDRESS = "FEED=http://127.0.0.1:7071"
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step: its text on the page, and its commands."""

    number: int
    says: str
    commands: str


@dataclass(frozen=True, slots=True)
class Told:
    """A finished step: its result, and whether it is what the page says."""

    step: Step
    outcome: str
    as_written: bool


def steps_of_the_tour() -> tuple[str, list[Step]]:
    """Return the lines before the first step, and the steps."""
    page = (ROOT / "docs/tour.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if ADDRESS in block)
    preamble, *rest = re.split(r"^# (\d+)\. ", block, flags=re.MULTILINE)
    steps = []
    for number, text in zip(rest[::2], rest[1::2], strict=True):
        says, _, commands = text.partition("\n")
        steps.append(Step(int(number), says.strip(), commands.strip()))
    return preamble, steps


def _feed(mode: str, reason: str | None, first_category: str | None = None) -> Callable[[Any], bool]:
    def is_so(answer: Any) -> bool:
        categories = [item["mainTag"] for item in answer["items"]]
        return (answer["mode"], answer["reason"]) == (mode, reason) and first_category in (None, categories[0])

    return is_so


EXPECTED: dict[int, Callable[[Any], bool]] = {
    1: _feed("fallback", "cold_start"),
    2: lambda answer: answer["accepted"] == 10 and answer["rejected"] == [],
    3: _feed("personalized", None, "fitness"),
    4: _feed("fallback", "kill_switch"),
    5: _feed("fallback", "cold_start"),
    6: lambda answer: (
        answer["categoryStats"]["fitness"]["views"] > 5 and answer["categoryStats"]["cooking"]["skips"] > 3
    ),
}
"""Expected content of the first JSON response of each step."""


async def tell(url: str, environment: dict[str, str]) -> AsyncIterator[Told]:
    """Run the steps one by one against the app at `url`; `environment` is the app's own, which `make switch` needs."""
    for program in ("bash", "curl", "make"):
        if shutil.which(program) is None:
            leave_out(f"the tour needs {program}")
    preamble, steps = steps_of_the_tour()
    assert [step.number for step in steps] == list(EXPECTED), "the tour has other steps than are checked"
    preamble = preamble.replace(ADDRESS, f"FEED={url}")
    for step in steps:
        yield await _told(step, preamble, environment)


async def _told(step: Step, preamble: str, environment: dict[str, str]) -> Told:
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        answer = _first_json(await _shell(f"{preamble}\n{step.commands}", environment))
        as_written = answer is not None and _is_so(step.number, answer)
        if as_written or asyncio.get_running_loop().time() > deadline:
            return Told(step, _in_short(answer), as_written)


async def _shell(script: str, environment: dict[str, str]) -> str:
    ended = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await ended.communicate()
    return printed.decode()


def _first_json(printed: str) -> Any:
    start = printed.find("{")
    try:
        return json.JSONDecoder().raw_decode(printed[start:])[0] if start >= 0 else None
    except json.JSONDecodeError:
        return None


def _is_so(number: int, answer: Any) -> bool:
    try:
        return EXPECTED[number](answer)
    except (KeyError, IndexError, TypeError):
        return False


def _in_short(answer: Any) -> str:
    if not isinstance(answer, dict):
        return "no answer"
    if "items" in answer:
        videos = ", ".join(item["videoId"] for item in answer["items"])
        return f"{answer['mode']} ({answer['reason'] or 'no reason'}): {videos}"
    if "categoryStats" in answer:
        views = ", ".join(f"{name} {stats['views']:g}" for name, stats in answer["categoryStats"].items())
        return f"views {views}"
    return json.dumps(answer)
