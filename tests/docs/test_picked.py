"""The programs for reading trials pick equally for equal seeds and list hard-to-read text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import hard_to_read, picked


def test_equal_seeds_pick_the_same_thirty() -> None:
    first = picked.pick(1)
    assert first == picked.pick(1)
    assert [each.kind for each in first] == ["module"] * 10 + ["test"] * 10 + ["paragraph"] * 10
    assert all(len(each.sentence) > 5 for each in first)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1. Takes 1.5 s, e.g.\nso. More.", "Takes 1.5 s, e.g. so."),
        ("**Choice.** (c). It is one. Two.", "**Choice.** (c). It is one."),
        ("Without an end", "Without an end"),
    ],
)
def test_first_sentence_ends_where_a_reader_ends_it(text: str, sentence: str) -> None:
    assert picked.first_sentence(text) == sentence


def test_long_sentences_and_openings_without_a_verb_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard_to_read, "ROOT", tmp_path)
    file = tmp_path / "one.py"
    file.write_text(f'"""What this is."""\n\n\ndef add():\n    """Add. {"word " * 31}end."""\n    # Short.\n')
    assert sorted((each.place, each.why) for each in hard_to_read.hard_in(file)) == [
        ("one.py:1", "opens without a verb"),
        ("one.py:4", "32 words"),
    ]
