"""A video becomes active only by a restore or an explicit status, for any sequence of writes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import azure.functions as func
import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cms.audit import AuditApi
from cms.changes import Author
from cms.documents import DocumentFlow
from cms.imports.files import LINES_KIND, read_file
from cms.imports.job_queue import JobParts
from cms.imports.jobs import Importer
from cms.imports.rows import VIDEO_FILE
from cms.request import CmsRequest
from cms.rules.api import RulesApi
from cms.videos.api import VideosApi
from local import importer as local_importer
from shared.adapters.documents.port import STORIES, TENANTS, VIDEOS, StoreUnavailable, Upsert
from shared.domain.records import Tenant, Video
from shared.observability.metrics import Telemetry
from shared.web.authentication import Caller
from shared.web.problems import Problem
from tests.cms.editor import RULE, VIDEO
from tests.memory_documents import MemoryDocuments

TENANT = "tenant_1"
IDS = ("v1", "v2")
STATUS_BY_NAME = st.sampled_from(["active", "inactive", "taken_down", None])


class NoCatalogs:
    async def get(self, tenant_id: str) -> Any:
        raise StoreUnavailable("not in this test")


async def nothing(tenant_id: str) -> None:
    """Stands for a refresh that has nothing to do."""


@dataclass
class Tables:
    """The CMS of one tenant over a store in memory, and the statuses that the promise allows."""

    now: float = 1_790_000_000.0
    may_be_on_air: dict[str, bool] = field(default_factory=dict)
    down: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = MemoryDocuments(lambda: self.now)
        flows = [DocumentFlow(self.store, container, nothing) for container in (TENANTS, VIDEOS, STORIES)]
        tenants, videos, _ = flows
        self.videos = VideosApi(None, videos, NoCatalogs(), None)  # type: ignore[arg-type]
        self.rules = RulesApi(None, tenants)  # type: ignore[arg-type]
        self.audit = AuditApi(None, *flows)  # type: ignore[arg-type]
        parts: Any = (self.store, None, None, None, Telemetry(), lambda: self.now)
        self.imports = Importer(JobParts(*parts))

    async def call(self, api: Any, name: str, body: Any = None, etag: str = "", **path: str) -> Any:
        """Call an endpoint's function; return the response body, None when refused."""
        headers = {"Content-Type": "application/json", **({"If-Match": f'"{etag}"'} if etag else {})}
        sent = b"" if body is None else orjson.dumps(body)
        request = func.HttpRequest("POST", "/", headers=headers, route_params=path, body=sent)
        caller = Caller(Tenant(TENANT), frozenset({"cms"}), "Anna")
        call = CmsRequest(request, caller, self.now, 0.0)
        try:
            answer = await getattr(type(api), name)(api, call)
        except Problem:
            return None
        return orjson.loads(answer.get_body() or b"null")

    async def body(self, id: str) -> dict[str, Any] | None:
        found = await self.store.read(VIDEOS, TENANT, id, latest=True)
        return found.body if found else None

    async def etag(self, id: str) -> str:
        found = await self.store.read(VIDEOS, TENANT, id, latest=True)
        return found.etag if found else "0"

    async def import_rows(self, rows: list[dict[str, Any]]) -> None:
        lines = read_file(b"\n".join(map(orjson.dumps, rows)), LINES_KIND, VIDEO_FILE)
        await self.imports.import_now(TENANT, lines, Author("Anna", self.now))


FIELDS = st.fixed_dictionaries({}, optional={"title": st.sampled_from("ab"), "status": STATUS_BY_NAME})
WAYS = (
    "create", "put", "patch", "import", "export", "local import", "takedown", "restore", "publish",
    "take down as before", "much later",
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from((*WAYS, *["revert"] * 4, "patch", "patch")), st.sampled_from(IDS), FIELDS,
              st.integers(0, 5)),
    min_size=3, max_size=25,
)  # fmt: skip


async def write(tables: Tables, kept: list[Any], step: str, id: str, fields: dict[str, Any], number: int) -> None:
    match step:
        case "create":
            await tables.call(tables.videos, "create_video", {"id": id, **VIDEO, **fields})
        case "put":
            await tables.call(tables.videos, "replace_video", {**VIDEO, **fields}, await tables.etag(id), id=id)
        case "patch":
            await tables.call(tables.videos, "change_video", fields, await tables.etag(id), id=id)
        case "import":
            await tables.import_rows([{"id": id, **fields}, {"id": id, **VIDEO, **fields}])
        case "export":  # an older listing, without its explicit status
            rows = [body for each in IDS if (body := await tables.body(each))]
            kept += [{name: row[name] for name in ("id", *VIDEO) if name in row} for row in rows]
            await tables.import_rows(kept[-4:][: number + 1] or [{"id": id, "title": "x"}])
        case "local import":
            row = {"video_id": id, "tag": "a", "video_duration": 9_000, **fields}
            await tables.import_rows([local_importer.to_video(row, local_importer.DEFAULT_COLUMNS, "PG")])
        case "takedown" | "restore":
            await tables.call(tables.videos, f"{step}_video", id=id)
        case "revert":
            entries = (await tables.call(tables.audit, "list_changes"))["entries"]
            if entries:
                entry = entries[number % len(entries)]["id"]
                await tables.call(tables.audit, "revert_change", {"force": number % 2 == 0}, id=entry)
        case "publish":
            await tables.call(tables.rules, "save_rule_draft", {**RULE, "match": {"videoIds": [id]}}, id="r")
            draft = await tables.store.read(TENANTS, TENANT, "draft:rule:r", latest=True)
            await tables.call(tables.rules, "publish_rule", None, draft.etag if draft else "", id="r")
        case "take down as before":  # as the previous release stored it
            body = await tables.body(id)
            if body:
                old = {name: value for name, value in body.items() if name != "statusWhenRestored"}
                await tables.store.write(VIDEOS, TENANT, [Upsert({**old, "status": "taken_down"})])
        case "much later":
            tables.now += 40 * 86_400


def allow(tables: Tables, step: str, id: str, fields: dict[str, Any], was: dict[str, Any] | None) -> None:
    """Record what the step may change: the promise in a few lines, independent of the implementation."""
    sent = fields.get("status")
    if step == "create" and was is None:
        tables.down[id], tables.may_be_on_air[id] = sent == "taken_down", sent in (None, "active")
    if step in ("put", "patch", "import") and was is not None:
        if sent == "taken_down":
            tables.down[id] = True
        elif sent is not None:
            tables.may_be_on_air[id] = sent == "active"
    if step in ("import", "local import", "export") and was is None:
        named = sent if step == "import" else None
        tables.down[id], tables.may_be_on_air[id] = named == "taken_down", named in (None, "active")
    if step in ("takedown", "take down as before") and was is not None:
        tables.down[id] = True
    if step == "restore":
        tables.down[id] = False


@settings(max_examples=200, deadline=None)
@given(STEPS)
@example([("patch", "v1", {"status": "inactive"}, 0), ("revert", "v1", {}, 0)])
@example(
    [("patch", "v1", {"title": "a"}, 0), ("takedown", "v1", {}, 0), ("revert", "v1", {}, 1), ("revert", "v1", {}, 0)]
)
@example([("patch", "v1", {"status": "inactive"}, 0), ("takedown", "v1", {}, 0), ("restore", "v1", {}, 0)])
@example([("export", "v1", {}, 0), ("takedown", "v1", {}, 0), ("export", "v1", {}, 4), ("put", "v1", {}, 0)])
@example([("patch", "v1", {"status": "inactive"}, 0), ("put", "v1", {}, 0), ("local import", "v1", {}, 0)])
def test_only_a_restore_or_an_explicit_status_activates_a_video(
    steps: list[tuple[str, str, dict[str, Any], int]],
) -> None:
    async def run() -> None:
        tables, kept = Tables(), []  # type: ignore[var-annotated]
        for step, id, fields, number in [*(("create", id, {}, 0) for id in IDS), *steps]:
            tables.now += 1
            before = {each: await tables.body(each) for each in IDS}
            await write(tables, kept, step, id, fields, number)
            allow(tables, step, id, fields, before[id])
            for each in IDS:
                body = await tables.body(each)
                if body is None:
                    continue
                if before[each] is None and each != id:  # an export brings both
                    tables.down[each], tables.may_be_on_air[each] = False, True
                if Video.from_document(body).active:
                    assert not tables.down[each], (step, each, "was lifted from its takedown")
                    assert tables.may_be_on_air[each], (step, each, "was activated")
                elif body["status"] == "taken_down":
                    tables.down[each] = True
                else:
                    tables.may_be_on_air[each] = False  # inactive for any reason: it needs an explicit status again

    asyncio.run(run())
