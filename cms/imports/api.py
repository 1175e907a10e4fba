"""CMS endpoints of video imports: up to 1,000 rows are written within the request, more become a background job."""

from __future__ import annotations

import asyncio

import azure.functions as func

from cms.endpoint import REASON, cms_endpoint
from cms.imports.files import MAX_FILE_BYTES, count_rows, read_file, too_large
from cms.imports.jobs import Importer
from cms.imports.models import JOB_ID, ImportFile, ImportJob, ImportJobs, ImportReport, job_view, report_view
from cms.imports.rows import MAX_ROWS_AT_ONCE, VIDEO_FILE
from cms.request import CmsRequest
from cms.videos.api import VIDEO_EXAMPLE
from feed.catalog import Catalogs
from shared.adapters.blobs.port import BlobsUnavailable
from shared.web.bodies import decoded_body
from shared.web.declaration import Parameter
from shared.web.endpoint import Edge, json_response
from shared.web.problems import bad_request, unavailable

MAX_IDEMPOTENCY_KEY = 200
_IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key", "header", "A key that the client makes up for each file.", {"type": "string"}
)


class ImportsApi:
    """Imports files of videos, and shows the jobs of large files."""

    def __init__(self, edge: Edge, importer: Importer, catalogs: Catalogs) -> None:
        self.edge = edge
        self._importer = importer
        self._catalogs = catalogs

    @cms_endpoint("GET", "imports", "List import jobs", {200: ImportJobs}, tag="videos")
    async def list_imports(self, call: CmsRequest) -> func.HttpResponse:
        """Return the jobs of the last 30 days, the latest first."""
        found = await self._importer.jobs(call.tenant_id)
        found.sort(key=lambda each: each.job.author.at, reverse=True)
        return json_response(ImportJobs.unchecked(imports=[job_view(each) for each in found]))

    @cms_endpoint(
        "POST",
        "imports",
        "Import a file of videos",
        {200: ImportReport, 202: ImportJob},
        tag="videos",
        description="Accepts JSON, application/x-ndjson and text/csv. Up to 1,000 rows return a report of each row; "
        "more become a background job.",
        body=ImportFile,
        example={"videos": [{"id": "vid_core", **VIDEO_EXAMPLE}]},
        parameters=(_IDEMPOTENCY_KEY, REASON),
        problems=(
            "invalid_file",
            "invalid_csv",
            "invalid_json",
            "duplicate_column",
            "empty_file",
            "file_too_large",
            "too_many_rows",
            "invalid_idempotency_key",
            "conflict",
        ),
    )
    async def import_videos(self, call: CmsRequest) -> func.HttpResponse:
        """Import a file: 200 with a report of each row, or 202 with a job."""
        key = call.headers.get("idempotency-key", "")
        if len(key) > MAX_IDEMPOTENCY_KEY:
            raise bad_request(
                "invalid_idempotency_key",
                f"Idempotency-Key can have at most {MAX_IDEMPOTENCY_KEY} characters. Send a shorter one.",
            )
        sent = call.request.get_body()
        body = await asyncio.to_thread(decoded_body, sent, call.headers, MAX_FILE_BYTES, too_large())
        lines = await asyncio.to_thread(read_file, body, call.headers.get("content-type", ""), VIDEO_FILE)
        if count_rows(lines) <= MAX_ROWS_AT_ONCE:
            outcomes = await self._importer.import_now(call.tenant_id, lines, call.author())
            await self._catalogs.refresh_if_loaded(call.tenant_id)
            return json_response(report_view(outcomes))
        try:
            id = await self._importer.queue(call.tenant_id, lines, call.author(), key)
        except BlobsUnavailable as error:
            raise unavailable("The file could not be stored. Send it again.") from error
        queued = await self._importer.job(call.tenant_id, id)
        return json_response(job_view(queued), 202, headers={"Location": f"/v1/cms/imports/{id}"})

    @cms_endpoint("GET", "imports/{id}", "Read the progress of an import", {200: ImportJob}, tag="videos")
    async def get_import(self, call: CmsRequest) -> func.HttpResponse:
        """Return a job's progress: state, rows processed, counts, and rejected rows with their errors."""
        return json_response(job_view(await self._importer.job(call.tenant_id, call.path("id", JOB_ID))))
