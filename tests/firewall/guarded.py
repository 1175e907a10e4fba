"""The served app behind the firewall, as outside clients see it."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yarl

from tests.api import contract
from tests.firewall.server import Wall, is_refusal, walled
from tests.infra.compiler import compiled
from tests.infra.firewall import Firewall, Policy
from tests.infra.snapshot import Snapshot
from tests.served_app import Answer, App, served

INSIDE = ("/v1/debug/", "/metrics", "/admin/")
"""Requests of operators inside the network; the firewall refuses them to everybody."""
STRICT, UNREAD = "strict", "unread"
"""Policies for comparison that no path has: every rule, without exclusions. `UNREAD` does not inspect bodies."""


@dataclass
class Tally:
    """Counts sent and refused requests, as `method path` with a description."""

    sent: int = 0
    refused: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    """Unexpected responses of the app."""

    def expect(self, answer: Answer, *statuses: int, of: str) -> None:
        """Record an unexpected response."""
        if answer.status not in statuses:
            self.unexpected.append(f"{of}: {answer.status} {answer.body[:200].decode(errors='replace')}")

    @property
    def passed(self) -> bool:
        return self.sent > 0 and not self.refused and not self.unexpected


@dataclass
class Guarded(App):
    """An app whose clients connect through the firewall. `direct` is its own address."""

    direct: str = ""
    wall: Wall = field(default_factory=lambda: Wall("", {}, Path()))
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def behind(cls, wall: Wall, app: App) -> Guarded:
        parts = {each.name: getattr(app, each.name) for each in fields(App)}
        return cls(**{**parts, "url": wall.url}, direct=app.url, wall=wall)

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send like `App.request`; a refused request is counted, and repeated inside the firewall for later steps."""
        inside = path.startswith(INSIDE)
        answer = await self.ask(self.direct if inside else self.url, method, path, headers, query, body)
        if not inside:
            self.tally.sent += 1
            if is_refusal(answer.status, answer.body):
                self.tally.refused.append(f"{method} {path} {dict(query or {})}: {self.wall.last_refusal()}")
                answer = await self.ask(self.direct, method, path, headers, query, body)
        contract.check(method, path, answer.status, answer.headers, answer.body)
        return answer

    def new_tally(self) -> Tally:
        """Start a new count."""
        self.tally = Tally()
        return self.tally

    async def ask(
        self,
        url: str,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request to an address; an already percent-encoded path stays as it is."""
        target = yarl.URL(url + path, encoded=True)
        if query:
            target = target.update_query({name: str(value) for name, value in query.items()})
        async with self.http.request(method, target, headers=headers, data=body, allow_redirects=False) as response:
            sent = dict(response.headers)
            if "Vary" in sent:
                sent["Vary"] = re.sub(r",\s*", ", ", sent["Vary"])  # Apache strips the spaces
            return Answer(response.status, sent, await response.read())


def deployed(environment: str = "prod") -> Firewall:
    """Return the firewall of a deployment. Skips the test, or fails it, where there is no Bicep compiler."""
    return Firewall.of(Snapshot.of(environment, compiled().snapshots[environment]))


def comparisons(firewall: Firewall) -> dict[str, Policy]:
    """Return the feed's policy without exclusions, with and without inspection of bodies."""
    found = {}
    for name, inspects in ((STRICT, True), (UNREAD, False)):
        resource = copy.deepcopy(firewall.policy_of("/v1/feed").resource)
        resource["properties"]["managedRules"]["exclusions"] = []
        resource["properties"]["policySettings"]["requestBodyCheck"] = inspects
        found[name] = Policy(name, resource)
    return found


@asynccontextmanager
async def guarded(folder: Path, firewall: Firewall, **settings: Any) -> AsyncIterator[Guarded]:
    """The served app behind the firewall. `settings` are fields of the app's `Settings`."""
    async with (
        served(folder, **settings) as app,
        walled(firewall, app.url, comparisons(firewall)) as wall,
    ):
        yield Guarded.behind(wall, app)
