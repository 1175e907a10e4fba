"""Commands and routes named on pages exist, with the options shown."""

from __future__ import annotations

import re

import pytest

from tests.docs.commands import Command, route_is_there, shown_commands, wrong_with
from tests.docs.pages import Place, pages

METHODS = r"(?:GET|POST|PUT|PATCH|DELETE)"


def test_every_command_exists_with_its_options() -> None:
    commands = list(shown_commands())
    assert len(commands) > 50
    assert [f"{command} ({wrong})" for command in commands if (wrong := wrong_with(command)) is not None] == []


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("make tset", "no target"),
        ("make bench MINUTES=3", "does not look at MINUTES"),
        ("python -m locale", "no module"),
        ("python -m local serve --prot 1", "no option --prot"),
        ("python -m local import --tenant t --port 1", "no option --port"),
        ("python -m shared.story", "no module"),
        ("python -m local.story --fast", "takes no options"),
        ("python -m local.demo", "does nothing"),
        ("python -m benchmarks tea", "no benchmark tea"),
        ("python -m pytest tests/feed/test_nothing.py", "there is no"),
        ("python infra/capacitor.py", "there is no"),
        ("pip install -r requirements-wishes.txt", "there is no"),
        ("az deployment sub create --template-file infra/bicep/bootstrap.bicep --parameters regoin=x", "no parameter"),
        ("npm --prefix sdk/kotlin ci", "there is no package"),
        ("npm --prefix sdk/typescript run shout", "no script shout"),
        ("curl http://127.0.0.1:7071/v1/fed", "has no GET"),
        ("curl $CONTROL/fires/cosmos", "do not know"),
        ("frobnicate all", "nobody knows"),
    ],
)
def test_wrong_command_is_found(words: str, wrong: str) -> None:
    found = wrong_with(Command(Place("a page", "", 1), tuple(words.split())))
    assert found is not None
    assert wrong in found


def test_every_route_named_on_a_page_exists() -> None:
    wrong = []
    for page in pages().values():
        for passage, code in page.inline_code():
            named = re.fullmatch(rf"({METHODS}(?:, {METHODS})*) (/[^\s?]*)(?:\?\S*)?", code)
            if named is None or "…" in code or "NAME" in code or code == "GET /metrics":
                continue
            for method in named[1].split(", "):
                if (odd := route_is_there(method, named[2])) is not None:
                    wrong.append(f"{passage.place}: {odd}")
    assert wrong == []
