"""The classes of endpoints of this package, and how they are built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.adapters.documents.port import DocumentStore
from shared.domain.keys import Identity, KeyRing
from shared.web.admission import Limits
from shared.web.endpoint import Edge
from stories.graph import Graph
from stories.people_api import PeopleApi
from stories.people_pages import PeoplePages
from stories.person_call import PersonCalls


@dataclass(frozen=True, slots=True)
class StoryParts:
    """What the endpoints use. `clock` gives seconds since the epoch."""

    edge: Edge
    documents: DocumentStore
    identity: Identity
    keys: KeyRing
    limits: Limits
    clock: Callable[[], float]


STORY_APIS = (PeopleApi,)


def story_apis(parts: StoryParts) -> dict[type, Any]:
    """The object behind each class."""
    graph = Graph(parts.documents, parts.clock)
    calls = PersonCalls(parts.identity, parts.keys)
    people = PeopleApi(parts.edge, calls, graph, PeoplePages(parts.documents, graph), parts.limits)
    return {PeopleApi: people}
