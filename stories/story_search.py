"""Finds stories by words, among those that a viewer may see and no others. Pure.

A word finds every word that begins with it, without case and accents; all words of a search must be there.
"""

from __future__ import annotations

import re

from shared.domain.search_text import folded
from stories.story import Story
from stories.story_columns import StoryColumns
from stories.visibility import StoryViewer

MAX_QUERY = 100
_BETWEEN = re.compile(r"[\s!-/:-@\[-`{-~¡-¿‐-⁞、-〃「-』！-／：-＠]+")
"""What stands between words: white space and marks."""
_DIGITS = 14


def words_of(text: str) -> list[str]:
    """The folded words of a text, each once."""
    return list(dict.fromkeys(word for word in _BETWEEN.split(folded(text)) if word))


def place_of(story: Story) -> str:
    """Where a story stands among what is found; later is smaller as text."""
    return f"{int(story.created_at * 1000):0{_DIGITS}d}{story.id}"


def candidates(columns: StoryColumns, viewer: StoryViewer, now: float, after: str | None) -> list[Story]:
    """Every story that the viewer may see and that stands behind a place, the newest first."""
    visible = [columns.stories[row] for row in columns.visible_rows(viewer, now).tolist()]
    behind = [each for each in visible if each is not None and (after is None or place_of(each) < after)]
    return sorted(behind, key=place_of, reverse=True)


def has_words(columns: StoryColumns, story: Story, words: list[str]) -> bool:
    """Whether a story's text has a word for each of these. What a text folds to is kept with the columns."""
    kept = columns.folded.get(story.id)
    if kept is None:
        kept = columns.folded[story.id] = "".join(f" {word}" for word in words_of(story.text or ""))
    return all(f" {word}" in kept for word in words)
