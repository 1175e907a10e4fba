"""What stories ask of whoever keeps pictures and clips. The app itself never holds a byte of them."""

from __future__ import annotations

from typing import Protocol

from stories.identity import Person
from stories.story import Media


class MediaCheck(Protocol):
    """Every method may raise `BlobsUnavailable`."""

    async def accepted(self, author: Person, media_key: str) -> Media | None:
        """An upload of this author that was completed and checked; None for any other."""
        ...

    async def link(self, tenant_id: str, media_key: str) -> str | None:
        """Where a viewer who may see it fetches it, for an hour; None where it is gone."""
        ...

    async def remove(self, tenant_id: str, media_key: str) -> None:
        """Delete it. What is gone already is fine."""
        ...


class NoMedia:
    """Where nothing can be uploaded: no media is ever ready."""

    async def accepted(self, author: Person, media_key: str) -> Media | None:
        return None

    async def link(self, tenant_id: str, media_key: str) -> str | None:
        return None

    async def remove(self, tenant_id: str, media_key: str) -> None:
        return None
