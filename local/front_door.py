"""Serves the start page of the local host, `/`, which plays the demo's feed, with its files and clips.

Only the local host has it. The page gets the demo's keys, which are public; without the demo it gets none. Its switch
does the same as `python -m commands.switch_flag`.
"""

from __future__ import annotations

import asyncio
import json
from functools import cached_property
from pathlib import Path

import azure.functions as func
import orjson

from bootstrap import App
from commands.switch_flag import switch
from feed.pipeline import REASONS
from local.demo import OPS_KEY, TENANTS
from local.operators import refuse_other_origins
from local.page_files import MEDIA_TYPES, page_file
from shared.adapters.flags.evaluation import FLAGS, PERSONALIZED_FEED
from shared.web.declaration import Parameter, Response
from shared.web.endpoint import JSON, Call, Edge, endpoint
from shared.web.http_response import HttpResponse
from shared.web.problems import bad_request

FOLDER = Path(__file__).parent / "front"
SDK = Path(__file__).parent.parent / "sdk" / "typescript" / "dist" / "video-feed.js"
PAGE, DEMO = "index.html", "demo.json"
VIEWERS = ("Ana", "Ben", "Chi", "Dov")
_RESPONSES = {
    200: Response("A file of the page.", {"type": "string"}, media_type="text/html"),
    304: Response("As you have it."),
}
_FLAG = Parameter("flag", "query", f"A flag's name; without it, `{PERSONALIZED_FEED}`.", {"type": "string"})
_STATE = Response("Whether the flag's own switch is on.", {"type": "object"})


class FrontDoorApi:
    """Endpoints of the start page."""

    def __init__(self, edge: Edge, app: App, demo: bool) -> None:
        self.edge = edge
        self._app = app
        self._demo = demo

    @endpoint("GET", "", "The page that plays the demo's feed", tag="service", responses=_RESPONSES)
    async def open_front_door(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer the page."""
        return self._file(PAGE, request)

    @endpoint(
        "GET", "front/{file}", "A file of that page", tag="service", responses=_RESPONSES, problems=("not_found",)
    )
    async def get_front_file(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer a file or a clip. Raises a 404 `Problem` for an unknown name, and for the keys without the demo."""
        return self._file(request.route_params["file"], request)

    @endpoint(
        "GET",
        "front/switch",
        "A flag's switch",
        tag="service",
        responses={200: _STATE},
        scopes=("ops",),
        operator=True,
        parameters=(_FLAG,),
        problems=("invalid_flag",),
    )
    async def get_switch(self, call: Call) -> func.HttpResponse:
        """Answer whether a flag's own switch is on."""
        refuse_other_origins(call.headers)
        return self._state(_flag_of(call))

    @endpoint(
        "POST",
        "front/switch",
        "Switch a flag for everyone",
        tag="service",
        responses={200: _STATE},
        scopes=("ops",),
        operator=True,
        parameters=(
            Parameter("on", "query", "`true` or `false`.", {"type": "string"}, required=True),
            _FLAG,
        ),
        problems=("invalid_enable", "invalid_flag"),
    )
    async def set_switch(self, call: Call) -> func.HttpResponse:
        """Switch a flag; this process applies it at once."""
        refuse_other_origins(call.headers)
        on = call.request.params.get("on")
        if on not in ("true", "false"):
            raise bad_request("invalid_enable", "on must be true or false.")
        flag = _flag_of(call)
        await asyncio.to_thread(switch, self._app.settings, flag, on == "true")
        await self._app.flags_refresher.refresh()
        return self._state(flag)

    def _state(self, flag: str) -> func.HttpResponse:
        on = bool(self._app.flags.state().get(flag))
        return HttpResponse(orjson.dumps({"on": on}), headers={"Cache-Control": "no-store"}, mimetype=JSON)

    def _file(self, name: str, request: func.HttpRequest) -> func.HttpResponse:
        return page_file(self._files, name, request)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        """Content of every file by name, read at the first request."""
        paths = [*FOLDER.iterdir(), *(FOLDER / "clips").iterdir(), SDK]
        files = {path.name: path.read_bytes() for path in paths if path.suffix in MEDIA_TYPES and path.is_file()}
        if self._demo:
            files[DEMO] = json.dumps(_demo(sorted(files))).encode()
        else:
            files[PAGE] = files[PAGE].replace(b'<script type="module" src="/front/front.js"></script>', b"")
        return files


def _flag_of(call: Call) -> str:
    """Return the flag of a request. Raises a 400 `Problem` for an unknown one."""
    flag: str = call.request.params.get("flag", PERSONALIZED_FEED)
    if flag not in FLAGS:
        raise bad_request("invalid_flag", f"flag must be one of: {', '.join(FLAGS)}.")
    return flag


def _demo(names: list[str]) -> dict[str, object]:
    """Return the data that the page needs to play the demo: its people, its keys, the clips by category."""
    clips: dict[str, list[str]] = {}
    for name in names:
        if name.endswith(".mp4"):
            clips.setdefault(name.partition("-")[0], []).append(name.removesuffix(".mp4"))
    tenants = [
        {"id": tenant.id, "key": key, "says": f"{tenant.id}, up to {tenant.maturity_policy}"}
        for tenant, _, key in TENANTS
    ]
    return {"viewers": VIEWERS, "tenants": tenants, "opsKey": OPS_KEY, "clips": clips, "reasons": REASONS}
