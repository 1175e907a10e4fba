"""Interface to the media store of stories. The bytes of pictures and clips never pass through the app."""

from __future__ import annotations

from typing import Protocol

from stories.identity import Person
from stories.story import Media


class MediaCheck(Protocol):
    """Checks, links and deletes media. Every method can raise `BlobsUnavailable`."""

    async def accepted(self, author: Person, media_key: str) -> Media | None:
        """Return a completed and checked upload of this author; None for any other key."""
        ...

    async def link(self, tenant_id: str, media_key: str) -> str | None:
        """Return a URL that reads the media for an hour; None for a key that no media can have.

        Give it only to viewers who can see the story.
        """
        ...

    async def remove(self, tenant_id: str, media_key: str) -> None:
        """Delete the media. Does nothing if it is gone already."""
        ...


class NoMedia:
    """Used where no media store is configured: no upload is ever accepted."""

    async def accepted(self, author: Person, media_key: str) -> Media | None:
        return None

    async def link(self, tenant_id: str, media_key: str) -> str | None:
        return None

    async def remove(self, tenant_id: str, media_key: str) -> None:
        return None
