"""Connects stories to uploads: accepts the author's own completed uploads, and links to media for an hour."""

from __future__ import annotations

from media.uploads import Uploads
from stories.identity import Person
from stories.story import Media


class UploadedMedia:
    """`MediaCheck` implemented with `Uploads`."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def accepted(self, author: Person, media_key: str) -> Media | None:
        """See `MediaCheck`."""
        found = await self._uploads.media(author.partition, media_key)
        if found is None:
            return None
        return Media(found.key, found.content_type.partition("/")[0], found.content_type)

    async def link(self, tenant_id: str, media_key: str) -> str | None:
        """See `MediaCheck`. Does not check that the media exists: a link to deleted media answers 404."""
        return await self._uploads.media_url(tenant_id, media_key)

    async def remove(self, tenant_id: str, media_key: str) -> None:
        """See `MediaCheck`."""
        await self._uploads.delete_media(tenant_id, media_key)
