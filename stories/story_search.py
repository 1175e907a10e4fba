"""Searches the stories that a viewer can see. Pure.

A searched word matches every word that begins with it, ignoring case and accents. A story must match all searched
words.
"""

from __future__ import annotations

import re

from shared.domain.search_text import folded
from stories.story import Story
from stories.story_columns import StoryColumns
from stories.visibility import StoryViewer

MAX_QUERY = 100
_BETWEEN = re.compile(r"[\s!-/:-@\[-`{-~¡-¿‐-⁞、-〃「-』！-／：-＠]+")
"""Separators of words: white space and punctuation."""
_DIGITS = 14


def words_of(text: str) -> list[str]:
    """Split a text into its distinct words, without case and accents."""
    return list(dict.fromkeys(word for word in _BETWEEN.split(folded(text)) if word))


def place_of(story: Story) -> str:
    """Return the sort key of a story in the results, as text; later stories have smaller keys."""
    return f"{int(story.created_at * 1000):0{_DIGITS}d}{story.id}"


def candidates(columns: StoryColumns, viewer: StoryViewer, now: float, after: str | None) -> list[Story]:
    """Return every story that the viewer can see and that comes after a place, the newest first."""
    visible = [columns.stories[row] for row in columns.visible_rows(viewer, now).tolist()]
    behind = [each for each in visible if each is not None and (after is None or place_of(each) < after)]
    return sorted(behind, key=place_of, reverse=True)


def has_words(columns: StoryColumns, story: Story, words: list[str]) -> bool:
    """Return whether each of the words begins a word of the story's text. Caches folded texts in the columns."""
    kept = columns.folded.get(story.id)
    if kept is None:
        kept = columns.folded[story.id] = "".join(f" {word}" for word in words_of(story.text or ""))
    return all(f" {word}" in kept for word in words)
