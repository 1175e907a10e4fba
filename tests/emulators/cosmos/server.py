"""Implements the HTTP API: paths, keys, headers, faults.

A fault label is the kind, the container, and where present the partition and the id: `read videos tenant_1 video:7`,
`batch user-activity`, `query tenants`, `changes videos`, `ranges videos`, `container videos`, `account`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import urllib.parse
import uuid
from typing import Any

from aiohttp import web

from tests.emulators.clock import MovableClock
from tests.emulators.cosmos import sql
from tests.emulators.cosmos.entra import Entra
from tests.emulators.cosmos.storage import NO_SUCH_OWNER, NOT_FOUND, ContainerState, Json, Refused
from tests.emulators.faults import AFTER, BEFORE, FaultPlan, wait
from tests.emulators.http import HttpServer, cut, replaced

KEY = base64.b64encode(b"the key of the Cosmos DB test server; it opens nothing else.....").decode()
CODES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    408: "RequestTimeout",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    449: "RetryWith",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}
"""Name of each status in the service's error bodies."""
SESSION_NOT_AVAILABLE = 1002
MAX_PAGE = 1000
OF_ENTRA = "type=aad&ver=1.0&sig="


class CosmosServer(HttpServer):
    """One account. `partitions` is the number of physical partitions of a new container."""

    def __init__(self, clock: MovableClock | None = None, *, partitions: int = 1, port: int = 0) -> None:
        self.clock = clock or MovableClock()
        super().__init__(FaultPlan(self.clock), port=port)
        self.partitions = partitions
        self.databases: dict[str, dict[str, ContainerState]] = {}
        self._rids = itertools.count(1)
        self.charged = 0.0
        self.entra = Entra()

    @property
    def connection_string(self) -> str:
        return f"AccountEndpoint={self.url}/;AccountKey={KEY};"

    def container(self, name: str, database: str | None = None) -> ContainerState:
        """Return a container's state; without a database name there must be only one database."""
        if database is None:
            (database,) = self.databases
        return self.databases[database][name]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        path = [urllib.parse.unquote(part) for part in request.rel_url.raw_path.split("/") if part]
        label = _label(request, path)
        fault = self.faults.take(label)
        await wait(fault)
        if fault.cut == BEFORE:
            return cut(request)
        if (answer := await replaced(request, fault)) is not None:
            return answer
        headers: dict[str, str] = dict(fault.headers)
        try:
            _check_signature(request, path, self.entra.valid)
            if fault.status:
                if fault.retry_after_ms is not None:
                    headers["x-ms-retry-after-ms"] = str(fault.retry_after_ms)
                raise Refused(fault.status, "injected", fault.substatus)
            status, body = self._route(request, path, json.loads(raw) if raw else None, headers)
        except Refused as refused:
            code = CODES.get(refused.status, str(refused.status))
            status, body = refused.status, {"code": code, "message": refused.message}
            if refused.substatus:
                headers["x-ms-substatus"] = str(refused.substatus)
        except sql.SyntaxRefused as refused:
            status, body = 400, {"code": "BadRequest", "message": f"Syntax error: {refused}"}
        if fault.cut == AFTER:
            return cut(request)
        out = b"" if body is None or status in (204, 304) else json.dumps(body).encode()
        charge = _charge(label, len(out), len(raw))
        self.charged += charge
        headers |= {
            "x-ms-request-charge": f"{charge:.2f}",
            "x-ms-activity-id": request.headers.get("x-ms-activity-id", str(uuid.uuid4())),
            "Content-Type": "application/json",
        }
        return web.Response(status=status, body=out, headers=headers)

    # Routes

    def _route(self, request: web.Request, path: list[str], body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        match path:
            case []:
                return 200, self._account()
            case ["dbs"] if request.method == "POST":
                return self._create_database(body)
            case ["dbs", database] if request.method == "GET":
                if database not in self.databases:
                    raise Refused(404, NOT_FOUND)
                return 200, {"id": database, "_rid": database, "_self": f"dbs/{database}/"}
            case ["dbs", database, "colls"] if request.method == "POST":
                return self._create_container(database, body)
            case ["dbs", database, "colls", name]:
                return 200, self._open(database, name, None).properties
            case ["dbs", database, "colls", name, "pkranges"]:
                return self._ranges(self._open(database, name, NO_SUCH_OWNER), request, headers)
            case ["dbs", database, "colls", name, "docs", *rest]:
                container = self._open(database, name, NO_SUCH_OWNER)
                if (rid := request.headers.get("x-ms-cosmos-intended-collection-rid")) and rid != container.rid:
                    raise Refused(400, "Collection rid mismatch.", 1024)
                headers["x-ms-alt-content-path"] = f"dbs/{database}/colls/{name}"
                return self._documents(container, request, rest, body, headers)
        raise Refused(400, f"the test server does not know {request.method} /{'/'.join(path)}")

    def _documents(
        self, container: ContainerState, request: web.Request, rest: list[str], body: Any, headers: dict[str, str]
    ) -> tuple[int, Any]:
        h = request.headers
        if h.get("A-IM"):
            return self._changes(container, h, headers)
        partition = _partition(h)
        if partition is None:
            raise Refused(400, "PartitionKey value must be supplied for this operation.")
        physical = container.range_of(partition)
        stale = self._answer_from_replica(container, h)
        try:
            if h.get("x-ms-cosmos-is-batch-request"):
                return container.batch(partition, body)
            if h.get("x-ms-documentdb-isquery"):
                found = sql.run(
                    body["query"],
                    body.get("parameters") or [],
                    [item.body for item in container.visible(partition, stale=stale)],
                )
                return 200, _page(container, found, h, headers)
            if request.method != "GET" or len(rest) != 1:
                raise Refused(400, "the test server writes through batches only")
            item = container.get(partition, rest[0], stale=stale)
            if item is None:
                raise Refused(404, NOT_FOUND)
            headers["etag"] = item.body["_etag"]
            return (304 if h.get("If-None-Match") == item.body["_etag"] else 200), item.body
        finally:
            lsn = container.stale.lsn if stale and container.stale else container.lsn
            headers["x-ms-session-token"] = f"{physical.id}:-1#{lsn}"
            headers["x-ms-documentdb-partitionkeyrangeid"] = physical.id

    def _answer_from_replica(self, container: ContainerState, h: Any) -> bool:
        """Return whether a lagging replica can answer: not when the session has seen a later write."""
        if h.get("x-ms-cosmos-is-batch-request"):
            return False
        token = h.get("x-ms-session-token", "") if h.get("x-ms-consistency-level") == "Session" else ""
        seen = max((int(part.rsplit("#", 1)[-1]) for part in token.split(",") if part), default=0)
        if seen > container.lsn:  # the session of a container restored since
            raise Refused(404, "The read session is not available for the input session token.", SESSION_NOT_AVAILABLE)
        return container.stale is not None and seen <= container.stale.lsn

    def _changes(self, container: ContainerState, h: Any, headers: dict[str, str]) -> tuple[int, Any]:
        """Return items of one physical partition, or of a part of one, written after the client's etag."""
        physical = container.range_by_id(h.get("x-ms-documentdb-partitionkeyrangeid", ""))
        low, high = h.get("x-ms-start-epk"), h.get("x-ms-end-epk")
        token = h.get("If-None-Match", "")
        since = container.lsn if token == "*" else int(token.strip('"') or 0)
        limit = min(int(h.get("x-ms-max-item-count") or MAX_PAGE), MAX_PAGE)
        found = [item for item in container.visible() if item.lsn > since]
        found = [
            item
            for item in found
            if physical.holds(container.hashed(item.partition))
            and (low is None or low <= container.hashed(item.partition) < high)
        ]
        if len(found) > limit:  # a page ends between transactions, never inside one
            found = [item for item in found if item.lsn <= found[limit - 1].lsn]
        headers["etag"] = f'"{found[-1].lsn if found else max(since, container.lsn)}"'
        headers["lsn"] = str(container.lsn)
        headers["x-ms-session-token"] = f"{physical.id}:-1#{container.lsn}"
        headers["x-ms-documentdb-partitionkeyrangeid"] = physical.id
        if not found:
            return 304, None
        return 200, _feed(container, "Documents", [{**item.body, "_lsn": item.lsn} for item in found])

    def _ranges(self, container: ContainerState, request: web.Request, headers: dict[str, str]) -> tuple[int, Any]:
        etag = f'"{"-".join(r.id for r in container.ranges)}"'
        headers["etag"] = etag
        if request.headers.get("If-None-Match") == etag:
            return 304, None
        ranges = [
            {
                "id": r.id,
                "_rid": f"{container.rid}{r.id}",
                "minInclusive": r.low,
                "maxExclusive": r.high,
                "ridPrefix": int(r.id),
                "throughputFraction": 1 / len(container.ranges),
                "status": "online",
                "parents": list(r.parents),
                "_etag": etag,
                "_self": "",
                "_ts": 0,
            }
            for r in container.ranges
        ]
        return 200, _feed(container, "PartitionKeyRanges", ranges)

    # Account, databases, containers

    def _account(self) -> Json:
        here = [{"name": "Test", "databaseAccountEndpoint": f"{self.url}/"}]
        replicas = {"asyncReplication": False, "minReplicaSetSize": 3, "maxReplicasetSize": 4}
        return {
            "_self": "",
            "id": "test",
            "_rid": "test",
            "media": "//media/",
            "addresses": "//addresses/",
            "_dbs": "//dbs/",
            "writableLocations": here,
            "readableLocations": here,
            "enableMultipleWriteLocations": False,
            "userReplicationPolicy": replicas,
            "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
            "systemReplicationPolicy": replicas,
            "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
            "queryEngineConfiguration": "{}",
        }

    def _create_database(self, body: Json) -> tuple[int, Json]:
        if body["id"] in self.databases:
            raise Refused(409, "Resource with specified id or name already exists.")
        self.databases[body["id"]] = {}
        return 201, {"id": body["id"], "_rid": body["id"], "_self": f"dbs/{body['id']}/"}

    def _create_container(self, database: str, body: Json) -> tuple[int, Json]:
        containers = self.databases.get(database)
        if containers is None:
            raise Refused(404, NOT_FOUND, NO_SUCH_OWNER)
        if body["id"] in containers:
            raise Refused(409, "Resource with specified id or name already exists.")
        rid = base64.b64encode(next(self._rids).to_bytes(8, "big")).decode().replace("/", "-")
        state = ContainerState(self.clock, rid, body, self.partitions)
        state.properties["_self"] = f"dbs/{database}/colls/{rid}/"
        containers[body["id"]] = state
        return 201, state.properties

    def _open(self, database: str, name: str, substatus: int | None) -> ContainerState:
        try:
            return self.databases[database][name]
        except KeyError:
            raise Refused(404, NOT_FOUND, substatus or 0) from None


def _label(request: web.Request, path: list[str]) -> str:
    if not path:
        return "account"
    if len(path) < 4:
        return f"{request.method} {'/'.join(path)}"
    h, name = request.headers, path[3]
    kind = {4: "container", 5: "documents", 6: "read"}.get(len(path), "other")
    if path[4:5] == ["pkranges"]:
        kind = "ranges"
    elif h.get("A-IM"):
        kind = "changes"
    elif h.get("x-ms-cosmos-is-batch-request"):
        kind = "batch"
    elif h.get("x-ms-documentdb-isquery"):
        kind = "query"
    partition = _partition(h)
    return " ".join([kind, name, *([partition] if isinstance(partition, str) else []), *path[5:6]])


def _check_signature(request: web.Request, path: list[str], tokens: set[str]) -> None:
    """Check an Entra ID token, or the master-key signature over verb, resource type, resource link and date."""
    given = urllib.parse.unquote(request.headers.get("authorization", ""))
    if not given:
        raise Refused(401, "Required Header authorization is missing.")
    if given.startswith(OF_ENTRA):
        if given.removeprefix(OF_ENTRA) not in tokens:
            raise Refused(401, "The token is not valid any more.")
        return
    odd = len(path) % 2 == 1
    kind = path[-1] if odd else (path[-2] if path else "")
    link = "/".join(path[:-1] if odd else path)
    text = f"{request.method.lower()}\n{kind}\n{link}\n{request.headers.get('x-ms-date', '').lower()}\n\n"
    signed = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    if not hmac.compare_digest(given, f"type=master&ver=1.0&sig={signed}"):
        raise Refused(401, "The input authorization token can't serve the request.")


def _partition(h: Any) -> str | None:
    raw = h.get("x-ms-documentdb-partitionkey")
    if not raw:
        return None
    values = json.loads(raw)
    return values[0] if values else None


def _feed(container: ContainerState, name: str, found: list[Json]) -> Json:
    return {"_rid": container.rid, name: found, "_count": len(found)}


def _page(container: ContainerState, found: list[Json], h: Any, headers: dict[str, str]) -> Json:
    """Return one page of a query's result; the continuation is the number of items returned before."""
    size = min(int(h.get("x-ms-max-item-count") or 100), MAX_PAGE)
    start = int(json.loads(h["x-ms-continuation"])["start"]) if h.get("x-ms-continuation") else 0
    if start + size < len(found):
        headers["x-ms-continuation"] = json.dumps({"start": start + size})
    return _feed(container, "Documents", found[start : start + size])


def _charge(label: str, answered: int, sent: int) -> float:
    """Return request units, roughly as the service charges: 1 a kB read, 5 a kB written, 2.3 and more a query."""
    kind = label.split(" ", 1)[0]
    if kind == "batch":
        return 5.0 * max(1.0, sent / 1024)
    if kind == "query":
        return 2.3 + answered / 1024
    return max(1.0, answered / 1024)
