"""The lock of running experiments: lets one experiment of a tenant run, and keeps the models it shows from deletion.

The lock is a document that names the running experiment and its model versions. A change that depends on it writes it
back with its ETag in the same batch: of two changes that read the same version one is refused, and is tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cms.changes import Overtaken
from cms.documents import DocumentFlow
from cms.experiments.models import RUNNING_ID
from shared.adapters.documents.port import Create, Document, Json, Operation, Replace
from shared.adapters.retry import retry
from shared.web.problems import Problem

ATTEMPTS = 4
"""How often a change is tried when others write first."""
Result = TypeVar("Result")


async def running_lock(flow: DocumentFlow, tenant_id: str) -> Document | None:
    """The tenant's lock, None before the first experiment started."""
    return await flow.stored(tenant_id, RUNNING_ID)


def write_running_lock(lock: Document | None, body: Json) -> Operation:
    """Write the lock over the version that was read."""
    return Create(body) if lock is None else Replace(body, lock.etag)


async def retry_on_conflict(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Read, decide and write again when somebody else wrote first, so that the answer says what they did.

    Raises a 409 `Problem` after some attempts.
    """
    try:
        return await retry(attempt, (Overtaken,), attempts=ATTEMPTS)
    except Overtaken:
        message = "Others keep changing it at the same time. Read it again and repeat."
        raise Problem(409, "conflict", message) from None
