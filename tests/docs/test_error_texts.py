"""Error texts are found in the code, and each is a complete sentence."""

from __future__ import annotations

import ast
from pathlib import Path

from shared.web.problem_codes import CODES
from tests.docs import error_texts


def test_every_error_text_is_a_sentence() -> None:
    texts = [each.text for each in error_texts.error_texts()] + [each.meaning for each in CODES.values()]
    assert [text for text in texts if not text.endswith((".", "}"))] == []


def test_error_texts_are_found_however_they_are_built(tmp_path: Path) -> None:
    file = tmp_path / "feed.py"
    file.write_text(
        'raise Problem(404, "gone", "It is gone.")\n'
        'raise bad_request("odd", f"At most {MOST:,} of {names[0]}: send two.")\n'
        'raise unavailable("Try " "again.")\n'
        'raise Problem(409, "taken", "One." if first else "Two.")\n'
        'raise Problem(409, "taken", given)\n'
    )
    tree = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    assert [(each.code, each.text) for call in tree for each in error_texts.made_by(call, "feed.py")] == [
        ("gone", "It is gone."),
        ("odd", "At most {MOST} of {names 0}: send two."),
        ("unavailable", "Try again."),
        ("taken", "One."),
        ("taken", "Two."),
    ]
