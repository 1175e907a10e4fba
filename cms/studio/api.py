"""`/studio`: the Studio's page and its files. They load nothing from other hosts."""

from __future__ import annotations

from pathlib import Path

import azure.functions as func

from shared.web.declaration import Response
from shared.web.endpoint import Edge, endpoint
from shared.web.problems import Problem
from shared.web.static_files import StaticFiles

FOLDER = Path(__file__).parent
PAGE = "index.html"
_RESPONSES = {
    200: Response("A file of the Studio.", {"type": "string"}, media_type="text/html"),
    304: Response("As you have it."),
}


class StudioApi:
    """The Studio: a page for content teams, which calls the CMS endpoints with the key of whoever signs in."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self._files = StaticFiles(FOLDER.iterdir)

    @endpoint("GET", "studio", "The page for content teams", tag="steering", responses=_RESPONSES)
    async def open_studio(self, request: func.HttpRequest) -> func.HttpResponse:
        """The page."""
        return self._file(PAGE, request)

    @endpoint(
        "GET",
        "studio/{file}",
        "A file of that page",
        tag="steering",
        responses=_RESPONSES,
        problems=("not_found",),
    )
    async def get_studio_file(self, request: func.HttpRequest) -> func.HttpResponse:
        """A file of the page. Raises a 404 `Problem` for any name that is not in the folder."""
        return self._file(request.route_params["file"], request)

    def _file(self, name: str, request: func.HttpRequest) -> func.HttpResponse:
        response = self._files.response(name, request, "no-cache")
        if response is None:
            raise Problem(404, "not_found", "The Studio has no such file.")
        return response
