"""Generated pages and parts of pages are up to date."""

from __future__ import annotations

import pytest

from tests.docs.generated import PARTS, WHOLE, with_part
from tests.docs.pages import pages

ADVICE = "run: .venv/bin/python -m tests.docs.generated"


@pytest.mark.parametrize("name", WHOLE)
def test_generated_page_of_docs_is_up_to_date(name: str) -> None:
    assert pages()[name].text == WHOLE[name](), ADVICE


@pytest.mark.parametrize(("name", "mark"), PARTS)
def test_generated_part_of_a_page_is_up_to_date(name: str, mark: str) -> None:
    text = pages()[name].text
    assert text == with_part(text, mark, PARTS[name, mark]()), ADVICE


def test_missing_markers_of_a_generated_part_are_reported() -> None:
    with pytest.raises(ValueError, match="missing"):
        with_part("<!-- one -->\n", "one", "text\n")
