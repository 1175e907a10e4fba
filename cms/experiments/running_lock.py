"""Lock of a tenant's running experiment: allows one experiment at a time, and protects its models from deletion.

The lock is a document that names the running experiment and its model versions. A change that depends on it writes the
lock back with its ETag in the same batch. Of two changes that read the same version one is refused and tries again.
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
"""How often a change is tried on write conflicts."""
Result = TypeVar("Result")


async def running_lock(flow: DocumentFlow, tenant_id: str) -> Document | None:
    """Read the tenant's lock; None if no experiment has ever started."""
    return await flow.stored(tenant_id, RUNNING_ID)


def write_running_lock(lock: Document | None, body: Json) -> Operation:
    """Build the operation that writes the lock over the version that was read."""
    return Create(body) if lock is None else Replace(body, lock.etag)


async def retry_on_conflict(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Repeat `attempt` on write conflicts; it reads and decides anew, so its response reflects the other write.

    Raises a 409 `Problem` after `ATTEMPTS`.
    """
    try:
        return await retry(attempt, (Overtaken,), attempts=ATTEMPTS)
    except Overtaken:
        message = "Others keep changing it at the same time. Read it again and repeat."
        raise Problem(409, "conflict", message) from None
