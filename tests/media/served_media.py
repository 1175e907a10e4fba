"""The served app with a media store whose links work: a folder and the endpoint that accepts its links."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from local.blob_door import BlobDoor
from local.doors import Doors
from shared.adapters.blobs.door_links import DoorLinks
from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import MEDIA_CONTAINERS
from tests.served_app import App, served


@asynccontextmanager
async def served_with_media(folder: Path, **settings: Any) -> AsyncIterator[App]:
    """`settings` are fields of the app's `Settings`."""
    doors = Doors(0)
    links = DoorLinks(b"k" * 32, f"http://{doors.origin}")
    media = FolderBlobs(folder / "media", containers=MEDIA_CONTAINERS, links=links)
    async with served(folder, media=media, **settings) as app:
        await doors.start(BlobDoor(media, links, app.clock.now).routes())
        yield app
        await doors.stop()
