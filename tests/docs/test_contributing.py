"""The import diagram of CONTRIBUTING.md has the arrows that `tests/test_house.py` checks."""

from __future__ import annotations

import re

from tests.docs.pages import pages
from tests.test_house import ARROWS

PAGE = pages()["CONTRIBUTING.md"]


def test_import_diagram_equals_the_checked_arrows() -> None:
    (drawn,) = [block.text for block in PAGE.blocks if block.place.section == "who-may-import-whom"]
    arrows: dict[str, set[str]] = {}
    for source, targets in re.findall(r"^\s*(\w+) --(?: [^>]*? --)?> (.+)$", drawn, re.MULTILINE):
        arrows.setdefault(source, set()).update(targets.split(" & "))

    def node(target: str) -> str:
        """Return a package as drawn; a single module of one as its package."""
        return (target if target in ARROWS else target.partition(".")[0]).replace(".", "_")

    assert arrows == {node(package): set(map(node, targets)) for package, targets in ARROWS.items() if targets}
