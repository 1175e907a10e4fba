"""Finds commands on pages, and reports a missing target, module, file, option or route.

Nothing is executed but our own programs with `--help`.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.__main__ import BENCHMARKS
from tests.api.contract import documented_path
from tests.docs.pages import ROOT, Block, Place, pages

PYTHONS = ("python", "python3", ".venv/bin/python")
OTHERS = {"sleep", "printf", "seq", "ruff", "mypy", "npx", "gh", "git"}
"""Programs of others, which are not checked."""
_BEGINNING = re.compile(
    r"(?:\w+=\S+ )*(?:make|python3?|\.venv/bin/\w+|pip|az|docker|npm|curl|git|npx|ruff|mypy)(?: |$)"
)
_OPTIONAL = re.compile(r"[\[\]]")


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command, as words. Values a reader must fill in are still `…` or capitals."""

    place: Place
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.place}: {' '.join(self.words)}"


def shown_commands() -> Iterator[Command]:
    """Yield all commands of all pages: in blocks, and in backticks within a sentence."""
    for page in pages().values():
        for block in page.blocks:
            if is_shell(block):
                yield from _commands(block.place, block.text)
        for passage, code in page.inline_code():
            if _BEGINNING.match(code):
                yield from _commands(passage.place, code)
            elif operated := re.fullmatch(r"run ([a-z_.]+) ?(.*)", code):  # a command of the operations job
                yield from _commands(passage.place, f"python -m {operated[1]} {operated[2]}")


def is_shell(block: Block) -> bool:
    """Return whether a block holds commands to type."""
    first = block.text.lstrip().partition("\n")[0]
    return block.language in ("sh", "bash") or (not block.language and _BEGINNING.match(first) is not None)


def _commands(place: Place, text: str) -> Iterator[Command]:
    text = re.sub(r"\\\n\s*", " ", text)
    text = re.sub(r"(?<=\w)\|(?=\w)", "/", text)  # `on|off` is a choice, not a pipe
    inner: list[str] = []
    while found := re.search(r"\$\(([^()]*)\)", text):
        inner.append(found[1])
        text = text[: found.start()] + "VALUE" + text[found.end() :]
    for line in [*text.splitlines(), *inner]:
        lexer = shlex.shlex(_OPTIONAL.sub("", line), posix=True, punctuation_chars=";&|>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words: list[str] = []
        for word in [*_tokens(lexer, place), ";"]:
            if word and set(word) <= set(";&|"):
                if words := _without_assignments(words):
                    yield Command(place, tuple(words))
                words = []
            else:
                words.append(word)


def _tokens(lexer: shlex.shlex, place: Place) -> list[str]:
    try:
        return [word for word in lexer if word not in ("{", "}")]
    except ValueError as error:
        raise AssertionError(f"{place}: no shell could read this: {error}") from error


def _without_assignments(words: list[str]) -> list[str]:
    while words and (words[0] == "export" or re.fullmatch(r"\w+=.*", words[0], re.DOTALL)):
        words = words[1:]
    return words


def wrong_with(command: Command) -> str | None:
    """Return what a command names that does not exist; None when everything exists or cannot be checked."""
    program, *rest = command.words
    if ">" in rest:
        rest = rest[: rest.index(">")]
    if program == "make":
        return _make(rest)
    if program in PYTHONS:
        return _python(rest)
    if program in ("pip", ".venv/bin/pip"):
        return _files(word for word in rest if word.endswith(".txt"))
    if program == "npm":
        return _npm(rest)
    if program == "az":
        return _az(rest)
    if program == "curl":
        return _curl(rest)
    if program == "docker":
        return None if (ROOT / "compose.yaml").exists() and rest[0] == "compose" else "there is no compose.yaml"
    return None if program.removeprefix(".venv/bin/") in OTHERS else f"nobody knows the program {program}"


def _files(names: Iterator[str]) -> str | None:
    return next((f"there is no {name}" for name in names if not (ROOT / name).exists()), None)


# ---- make


@cache
def _makefile() -> tuple[frozenset[str], dict[str, str]]:
    """Return every target with its commands."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^(\w+) [:?]?= (.*)$", text, re.MULTILINE))
    for _ in range(3):
        text = re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), text)
    rules = re.findall(r"^([^\s:#=]+):(?!=).*\n((?:\t.*\n)*)", text, re.MULTILINE)
    return frozenset(name for name, _ in rules), dict(rules)


def _make(words: list[str]) -> str | None:
    targets, rules = _makefile()
    asked = [word for word in words if "=" not in word]
    for word in asked:
        if word not in targets:
            return f"make has no target {word}"
    given = [word.partition("=")[0] for word in words if "=" in word]
    does = "".join(rules.get(word, "") for word in asked)
    for name in given:
        if name != "PYTHON" and f"$({name})" not in does and not re.search(rf"\b{name}\b", does):
            return f"make {' '.join(asked)} does not look at {name}"
    return None


# ---- python


def _python(words: list[str]) -> str | None:
    if words[:2] == ["-m", "pytest"]:
        return _files(word.partition("::")[0] for word in words[2:] if word.startswith("tests"))
    if words and words[0] == "-m":
        return _module(words[1], words[2:])
    if words and words[0].endswith(".py"):
        path = ROOT / words[0]
        return _options(path, words[0], words[1:]) if path.exists() else f"there is no {words[0]}"
    return "this is no module and no file" if words else None


def _module(name: str, arguments: list[str]) -> str | None:
    if name == "http.server":  # Python's own
        return None
    place = ROOT / Path(*name.split("."))
    path = next((each for each in (place.with_suffix(".py"), place / "__main__.py") if each.exists()), None)
    if path is None:
        return f"there is no module {name} to run"
    if name == "benchmarks":
        return next((f"there is no benchmark {each}" for each in arguments if each not in BENCHMARKS), None)
    return _options(path, name, arguments)


def _options(path: Path, name: str, arguments: list[str]) -> str | None:
    if '__name__ == "__main__"' not in path.read_text(encoding="utf-8"):
        return f"{name} does nothing when it is run"
    options = [word.partition("=")[0] for word in arguments if word.startswith("-")]
    plain = [word for word in arguments if re.fullmatch(r"[a-z][a-z-]*", word)]
    if not options and not plain:
        return None
    if "argparse" not in path.read_text(encoding="utf-8"):
        return f"{name} takes no options"
    general = _help(name)
    commands = [word for word in plain if re.search(rf"[{{,]{re.escape(word)}[,}}]", general)]
    text = general + "".join(_help(name, command) for command in commands[:1])
    return next((f"{name} has no option {each}" for each in options if not re.search(rf"{each}(?![\w-])", text)), None)


@cache
def _help(name: str, *command: str) -> str:
    """Return the `--help` output of one of our programs, run in this process. Only for programs that use argparse."""
    said, before = io.StringIO(), sys.argv
    sys.argv = [name, *command, "--help"]
    with (
        contextlib.redirect_stdout(said),
        contextlib.suppress(SystemExit),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", RuntimeWarning)  # the module can already be imported
        if name.endswith(".py"):
            runpy.run_path(str(ROOT / name), run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__")
    sys.argv = before
    return said.getvalue()


# ---- npm


def _npm(words: list[str]) -> str | None:
    """Check `npm --prefix FOLDER COMMAND`: the folder has a package, and the package has that command."""
    if words[:1] != ["--prefix"] or not (ROOT / words[1] / "package.json").exists():
        return "there is no package"
    package = json.loads((ROOT / words[1] / "package.json").read_text(encoding="utf-8"))
    asked = words[3] if words[2] == "run" else words[2]
    return None if asked in ("ci", *package.get("scripts", ())) else f"{words[1]} has no script {asked}"


# ---- az, curl


def _az(words: list[str]) -> str | None:
    """Check the template and the parameters that a deployment names."""
    if "--template-file" not in words:
        return _files(word for word in words if word.startswith("infra/"))
    template = ROOT / words[words.index("--template-file") + 1]
    if not template.exists():
        return f"there is no {template.name}"
    known = set(re.findall(r"^param (\w+)", template.read_text(encoding="utf-8"), re.MULTILINE))
    given = [word.partition("=")[0] for word in words if re.fullmatch(r"\w+=.*", word)]
    return next((f"{template.name} has no parameter {name}" for name in given if name not in known), None)


def _curl(words: list[str]) -> str | None:
    address = next((word for word in words if re.match(r"https?://|\$\w+/", word)), None)
    if address is None:
        return "nobody knows the address"
    base, path = re.match(r"(https?://[^/]+|\$\w+)(/[^?]*)", address).groups()  # type: ignore[union-attr]
    if base == "$CONTROL":
        known = (ROOT / "tests" / "emulators" / "program.py").read_text(encoding="utf-8")
        return None if f" /{path.split('/')[1]}" in known else f"the test servers do not know {path}"
    return route_is_there("POST" if {"-d", "--json"} & set(words) else "GET", path)


def route_is_there(method: str, path: str) -> str | None:
    """Return why a route named on a page does not exist; None when it does."""
    if path.startswith("/admin/functions/"):  # the local host's own, as the Functions host has it
        return None
    known = documented_path(method, re.sub(r"\{\w+\}|\$\w+", "x", path))
    return None if known else f"the app has no {method} {path}"
