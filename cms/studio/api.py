"""Endpoints that serve the Studio's page and files. The page loads media only from hosts that the tenant declares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import azure.functions as func
from pydantic import Field

from cms.configuration.stored import stored_configuration
from cms.documents import DocumentFlow
from cms.endpoint import cms_endpoint, query
from cms.request import CmsRequest
from shared.domain.formats import iso_time
from shared.domain.keys import SigningKeys
from shared.domain.media_ticket import TICKET_SECONDS, hosts_of_ticket, sign_ticket
from shared.domain.records import Tenant
from shared.web.declaration import Response
from shared.web.endpoint import BASE_HEADERS, Edge, endpoint, json_response
from shared.web.http_response import HttpResponse
from shared.web.problems import Problem
from shared.web.responses import Time, View
from shared.web.static_files import SECURITY_HEADERS, TYPES, StaticFiles, policy_with

FOLDER = Path(__file__).parent
PAGE = "index.html"
_NO_HOSTS = '<meta name="media-hosts" content="">'
"""Lists the hosts from which the page's Content-Security-Policy allows media."""
_RESPONSES = {
    200: Response("A file of the Studio.", {"type": "string"}, media_type="text/html"),
    304: Response("Not modified."),
}


class MediaTicket(View):
    """Signed list of hosts from which the Studio can load pictures and clips."""

    hosts: Annotated[list[str], Field(description="`mediaHosts` of the configuration.")]
    ticket: Annotated[
        str | None, Field(description="Send it as `/studio?media=` to allow these hosts; null without hosts.")
    ]
    expires_at: Time | None


class StudioApi:
    """Serves the Studio, a page for content teams. It calls the CMS endpoints with the signed-in person's key."""

    def __init__(self, edge: Edge, flow: DocumentFlow, keys: SigningKeys) -> None:
        self.edge = edge
        self._flow = flow
        self._keys = keys
        self._files = StaticFiles(FOLDER.iterdir)

    @cms_endpoint(
        "GET", "media-ticket", "Get the ticket for the Studio's pictures", {200: MediaTicket}, problems=("not_found",)
    )
    async def get_media_ticket(self, call: CmsRequest) -> func.HttpResponse:
        """Return a ticket for the hosts that the tenant declares now."""
        hosts = Tenant.from_document((await stored_configuration(self._flow, call.tenant_id)).body).media_hosts
        ticket = sign_ticket(hosts, self._keys, call.now) if hosts else None
        ends = iso_time(int(call.now) + TICKET_SECONDS) if hosts else None
        return json_response(MediaTicket(hosts=list(hosts), ticket=ticket, expires_at=ends))

    @endpoint(
        "GET",
        "studio",
        "Get the page for content teams",
        tag="steering",
        description="With a ticket, the page's Content-Security-Policy allows pictures and clips from the ticket's "
        "hosts. An invalid or expired ticket has no effect.",
        parameters=(query("media", "The ticket of `GET /v1/cms/media-ticket`."),),
        responses=_RESPONSES,
    )
    async def open_studio(self, request: func.HttpRequest) -> func.HttpResponse:
        """Return the page."""
        ticket = request.params.get("media")
        hosts = hosts_of_ticket(ticket, self._keys, self.edge.now()) if ticket else ()
        if not hosts:
            return self._file(PAGE, request)
        page = self._files.text(PAGE).replace(_NO_HOSTS, _NO_HOSTS.replace('""', f'"{" ".join(hosts)}"'))
        headers = {**BASE_HEADERS, **SECURITY_HEADERS, "Cache-Control": "no-store"}
        headers["Content-Security-Policy"] = policy_with(hosts)
        return HttpResponse(page.encode(), headers=headers, mimetype=TYPES[Path(PAGE).suffix])

    @endpoint(
        "GET",
        "studio/{file}",
        "Get a file of the page for content teams",
        tag="steering",
        responses=_RESPONSES,
        problems=("not_found",),
    )
    async def get_studio_file(self, request: func.HttpRequest) -> func.HttpResponse:
        """Return a file of the page. Raises a 404 `Problem` for any name that is not in the folder."""
        return self._file(request.route_params["file"], request)

    def _file(self, name: str, request: func.HttpRequest) -> func.HttpResponse:
        response = self._files.response(name, request, "no-cache")
        if response is None:
            raise Problem(404, "not_found", "The Studio has no file with this name.")
        return response
