"""Every document store behaves like a dictionary with etags and a clock, whatever is done to it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.documents.port import (
    VIDEOS,
    Create,
    Delete,
    Document,
    DocumentStore,
    Failure,
    Operation,
    Replace,
    Upsert,
    WriteRejected,
    query_all,
)
from tests.contracts.backends import Rig

IDS = st.sampled_from(["a", "a-1", "b", "é"])
# Time moves by 60 s and items live 100 s, so that no step lands near an expiry.
BODIES = st.fixed_dictionaries(
    {"id": IDS, "n": st.one_of(st.none(), st.integers(-(2**53), 2**53), st.floats(-1e300, 1e300), st.text(max_size=5))},
    optional={"ttl": st.sampled_from([100, -1]), "inner": st.dictionaries(st.text(max_size=3), st.booleans())},
)
WHICH_ETAG = st.sampled_from(["latest", "earlier"])
STEPS = st.one_of(
    st.just(60.0),
    st.lists(
        st.one_of(
            st.tuples(st.just("create"), BODIES),
            st.tuples(st.just("upsert"), BODIES),
            st.tuples(st.just("replace"), BODIES, WHICH_ETAG),
            st.tuples(st.just("delete"), IDS, st.one_of(st.none(), WHICH_ETAG)),
        ),
        min_size=1,
        max_size=4,
    ),
)
_examples = itertools.count()


@dataclass
class Model:
    """One partition as a dictionary. `etags` holds every etag an id ever had, the latest last."""

    now: float = 0.0
    items: dict[str, tuple[dict[str, Any], float]] = field(default_factory=dict)
    etags: dict[str, list[str]] = field(default_factory=dict)

    def etag(self, id: str, which: str) -> str:
        known = self.etags.get(id, [])
        if which == "latest":
            return known[-1] if known else '"none"'
        return known[-2] if len(known) > 1 else '"none"'

    def alive(self) -> dict[str, dict[str, Any]]:
        return {id: body for id, (body, until) in sorted(self.items.items()) if until > self.now}

    def operation(self, step: tuple[Any, ...]) -> Operation:
        match step:
            case ("create", body):
                return Create(body)
            case ("upsert", body):
                return Upsert(body)
            case ("replace", body, which):
                return Replace(body, self.etag(body["id"], which))
            case _:
                _, id, which = step
                return Delete(id, None if which is None else self.etag(id, which))

    def write(self, operations: list[Operation]) -> dict[int, Failure]:
        """Apply a batch, or return the failure of its first refused operation."""
        draft, rewritten = dict(self.items), set()
        for index, operation in enumerate(operations):
            id = operation.id if isinstance(operation, Delete) else operation.body["id"]
            exists = id in draft and draft[id][1] > self.now
            if isinstance(operation, Create) and exists:
                return {index: Failure.ALREADY_EXISTS}
            if isinstance(operation, Replace | Delete) and not exists:
                return {index: Failure.NOT_FOUND}
            # An item already written by this batch has an etag that no caller can know yet.
            asked = None if isinstance(operation, Create | Upsert) else operation.etag
            if asked is not None and (id in rewritten or asked != self.etag(id, "latest")):
                return {index: Failure.CONFLICT}
            if isinstance(operation, Delete):
                del draft[id]
            else:
                ttl = operation.body.get("ttl", -1)
                draft[id] = (operation.body, self.now + ttl if ttl > 0 else float("inf"))
                rewritten.add(id)
        self.items = draft
        return {}

    def remember(self, operations: list[Operation], etags: list[str | None]) -> None:
        for operation, etag in zip(operations, etags, strict=True):
            if not isinstance(operation, Delete) and etag is not None:
                self.etags.setdefault(operation.body["id"], []).append(etag)


@given(steps=st.lists(STEPS, max_size=12))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_partition_behaves_like_a_dictionary(documents: Rig[DocumentStore], steps: list[Any]) -> None:
    partition = f"example-{next(_examples)}"  # a fresh one each time, in the same store
    model, store = Model(), documents.port
    token = (await store.changes(VIDEOS, "now")).token
    for step in steps:
        if isinstance(step, float):
            model.now += step
            await documents.advance(step)
            continue
        operations = [model.operation(part) for part in step]
        expected = model.write(operations)
        try:
            etags = await store.write(VIDEOS, partition, operations)
        except WriteRejected as rejected:
            assert rejected.failures == expected  # noqa: PT017 (either outcome may be the right one)
        else:
            assert expected == {}
            model.remember(operations, etags)

    def as_stored(found: list[Document]) -> dict[str, Any]:
        return {document.id: (document.body, document.etag) for document in found}

    stored = {id: ({**body, "tenantId": partition}, model.etags[id][-1]) for id, body in model.alive().items()}
    assert as_stored(await query_all(store, VIDEOS, partition)) == stored
    assert as_stored(await query_all(store, VIDEOS, partition, "a")) == {
        id: item for id, item in stored.items() if id.startswith("a")
    }
    for id in ("a", "a-1", "b", "é"):
        found = await store.read(VIDEOS, partition, id, latest=True)
        assert (as_stored([found]) if found else {}) == ({id: stored[id]} if id in stored else {})
    changed: dict[str, Any] = {}
    more = True
    while more:
        changes = await store.changes(VIDEOS, token, limit=2)
        changed |= as_stored([document for document in changes.documents if document.partition == partition])
        token, more = changes.token, changes.more
    assert changed == stored
