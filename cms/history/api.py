"""CMS endpoints to import a tenant's past events: upload a file, list jobs, read a job's progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import azure.functions as func

from cms.endpoint import REASON, cms_endpoint
from cms.history.history_importer import HistoryImporter
from cms.history.models import HistoryEvents, HistoryJob, HistoryJobs, history_view
from cms.imports.files import MAX_FILE_BYTES, too_large
from cms.imports.models import JOB_ID
from cms.request import CmsRequest
from shared.adapters.blobs.port import BlobsUnavailable
from shared.web.bodies import decoded_body
from shared.web.endpoint import Edge, json_response
from shared.web.problems import clock_wrong, unavailable

_EXAMPLE = {
    "user": "5d41402abc4b2a76b9719d911017c592ae3f5d9b1c6f27e8a0b4c3d2e1f00918",
    "type": "video_view",
    "videoId": "vid_core",
    "timestamp": "2026-09-20T18:30:12Z",
    "watchTimeMs": 20_000,
}


class HistoryApi:
    """Accepts files of past events, and shows their jobs."""

    def __init__(self, edge: Edge, importer: HistoryImporter, clock_trusted: Callable[[], bool]) -> None:
        self.edge = edge
        self._importer = importer
        self._clock_trusted = clock_trusted

    @cms_endpoint("GET", "history", "List imports of past events", {200: HistoryJobs}, tag="events")
    async def list_history(self, call: CmsRequest) -> func.HttpResponse:
        """Return the jobs of the last 91 days, the latest first."""
        found = await self._importer.jobs(call.tenant_id)
        found.sort(key=lambda each: each.job.author.at, reverse=True)
        return json_response(HistoryJobs.unchecked(jobs=[history_view(each) for each in found]))

    @cms_endpoint(
        "POST",
        "history",
        "Import past events",
        {202: HistoryJob},
        tag="events",
        description="Accepts JSON, application/x-ndjson and text/csv. Events can be up to 90 days old, so learning can "
        "start the first night. They count in users' signals and in the learning data, but not in statistics or "
        "current demand. Events with the same user, video, type and second count once.",
        body=HistoryEvents,
        example={"events": [_EXAMPLE]},
        parameters=(REASON,),
        problems=(
            "invalid_file",
            "invalid_csv",
            "invalid_json",
            "duplicate_column",
            "empty_file",
            "file_too_large",
            "too_many_rows",
            "clock_wrong",
        ),
    )
    async def import_history(self, call: CmsRequest) -> func.HttpResponse:
        """Queue a file: 202 with its job. The same file stays the same job as long as any of its events could count."""
        if not self._clock_trusted():
            raise clock_wrong()
        sent = call.request.get_body()
        body = await asyncio.to_thread(decoded_body, sent, call.headers, MAX_FILE_BYTES, too_large())
        kind = call.headers.get("content-type", "")
        lines = await asyncio.to_thread(self._importer.read, call.tenant_id, body, kind)
        try:
            id = await self._importer.queue(call.tenant_id, lines, call.author())
        except BlobsUnavailable as error:
            raise unavailable("The file could not be stored. Send it again.") from error
        queued = await self._importer.job(call.tenant_id, id)
        return json_response(history_view(queued), 202, headers={"Location": f"/v1/cms/history/{id}"})

    @cms_endpoint("GET", "history/{id}", "Read the progress of an import of events", {200: HistoryJob}, tag="events")
    async def get_history(self, call: CmsRequest) -> func.HttpResponse:
        """Return a job's progress: state, rows processed, counts, and rejected rows with their errors."""
        return json_response(history_view(await self._importer.job(call.tenant_id, call.path("id", JOB_ID))))
