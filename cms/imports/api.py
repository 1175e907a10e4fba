"""`/v1/cms/imports`: a file of videos. Up to a thousand rows are answered at once, more become a job."""

from __future__ import annotations

import asyncio

import azure.functions as func

from bootstrap import Services
from cms.changes import not_found, without_tombstone
from cms.imports.jobs import Imports, import_now, queue_import, read_ticket, shown_job, ticket_id
from cms.imports.rows import MAX_ROWS_AT_ONCE, count_rows, read_file
from cms.request import authenticate
from cms.videos.api import show_soon
from shared.adapters.blobs.port import BlobsUnavailable
from shared.adapters.documents.port import TENANTS, VIDEOS, Document, query_all
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import bad_request, unavailable

MAX_IDEMPOTENCY_KEY = 200
JOB_ID = r"[0-9a-f]{24}"


@endpoint("cms_imports")
async def imports(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists the jobs of the last 30 days; `POST` takes a file: 200 with a report per row, or 202 with a job."""
    call = authenticate(request, services)
    if request.method == "GET":
        tickets = await query_all(services.documents, TENANTS, call.tenant_id, "import:")
        shown = [
            shown_job(ticket, await _progress(services, ticket)) for ticket in tickets if without_tombstone(ticket)
        ]
        return json_response({"imports": sorted(shown, key=lambda job: job["queuedAt"] or "", reverse=True)})
    key = request.headers.get("idempotency-key", "")
    if len(key) > MAX_IDEMPOTENCY_KEY:
        raise bad_request("invalid_idempotency_key", f"Idempotency-Key has more than {MAX_IDEMPOTENCY_KEY} characters.")
    lines = await asyncio.to_thread(read_file, request.get_body(), request.headers.get("content-type", ""))
    if count_rows(lines) <= MAX_ROWS_AT_ONCE:
        outcomes = await import_now(services, call.tenant_id, lines, call.author())
        await show_soon(services, call.tenant_id)
        counts: dict[str, int] = {}
        for outcome in outcomes:
            counts[outcome.status] = counts.get(outcome.status, 0) + 1
        return json_response({"rows": [outcome.to_json() for outcome in outcomes], "counts": counts})
    try:
        job = await queue_import(services, call.tenant_id, lines, call.author(), key)
    except BlobsUnavailable as error:
        raise unavailable("The file could not be stored. Send it again.") from error
    ticket = await services.documents.read(TENANTS, call.tenant_id, ticket_id(job.id), latest=True)
    assert ticket is not None
    location = {"Location": f"/v1/cms/imports/{job.id}"}
    return json_response(shown_job(ticket, await _progress(services, ticket)), 202, headers=location)


@endpoint("cms_import")
async def import_job(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """How far a job is: state, rows processed, counts, and the rows that were refused with why."""
    call = authenticate(request, services)
    id = call.path("id", JOB_ID)
    ticket = without_tombstone(await services.documents.read(TENANTS, call.tenant_id, ticket_id(id), latest=True))
    if ticket is None:
        raise not_found("import")
    return json_response(shown_job(ticket, await _progress(services, ticket)))


async def run_imports(services: Services) -> None:
    """The timer's work: go on with what waits."""
    await services.room(Imports).run()


async def _progress(services: Services, ticket: Document) -> Document | None:
    job = read_ticket(ticket)
    return await services.documents.read(VIDEOS, job.tenant_id, job.progress_id, latest=True)
