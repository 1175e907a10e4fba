"""Builds response views of stories."""

from __future__ import annotations

from typing import Any

from shared.adapters.blobs.port import BlobsError
from shared.domain.formats import iso_time
from stories.media_check import MediaCheck
from stories.responses import StoryCounts, StoryItem
from stories.story import Story
from stories.story_forms import EMOJI
from stories.visibility import StoryViewer


async def story_view(
    story: Story,
    viewer: StoryViewer,
    tenant_id: str,
    media: MediaCheck,
    *,
    seen: bool = False,
    counts: StoryCounts | None = None,
) -> StoryItem:
    """Build the view of one story. The caller has checked that the viewer can see it.

    `mediaUrl` is null while the media store cannot be reached.
    """
    own = story.author_id == viewer.id
    link = None
    if story.media is not None:
        try:
            link = await media.link(tenant_id, story.media.key)
        except BlobsError:
            link = None
    fields: dict[str, Any] = {"audience_user_ids": list(story.audience)} if own else {"seen": seen}
    if counts is not None:
        fields["counts"] = counts
    held = story.media
    return StoryItem(
        id=story.id,
        author_id=story.author_id,
        kind=story.kind,
        text=story.text,
        media_key=held.key if held else None,
        media_url=link,
        media_type=held.content_type if held else None,
        width=held.width if held else None,
        height=held.height if held else None,
        duration_seconds=held.duration_seconds if held else None,
        visibility=story.visibility,
        maturity_rating=story.rating,
        category=story.category,
        tags=list(story.tags),
        state=story.state,
        created_at=iso_time(story.created_at),
        expires_at=iso_time(story.expires_at),
        **fields,
    )


def by_emoji(amounts: list[int]) -> dict[str, int]:
    """Map the emoji to their counts, which are in the order of `EMOJI`."""
    return dict(zip(EMOJI, amounts, strict=True))
