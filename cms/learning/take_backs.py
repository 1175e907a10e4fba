"""Takes back learned models whose users watch less than the holdout. Runs each night, even with `auto-models` off."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cms.changes import Author, Change, Overtaken, apply_change
from learning.take_back import judge, take_back
from shared.adapters.documents.port import TENANTS, DocumentStore, StoreError
from shared.adapters.refresh import Refresher
from shared.adapters.retry import retry
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.auto_model import AUTO_MODEL_ID, AutoModel
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry
from shared.observability.tracebacks import traceback_without_values
from shared.web.problems import Problem

log = logging.getLogger("feed.cms")

WHO = "nightly learning"
"""Author name in the audit."""
ATTEMPTS = 5


class TakeBacks:
    """Compares the watch time of holdout and other users, and takes back models that lost."""

    def __init__(
        self,
        documents: DocumentStore,
        tenants: TenantDirectory,
        refresher: Refresher,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._documents = documents
        self._tenants = tenants
        self._refresher = refresher
        self._telemetry = telemetry
        self._clock = clock

    async def run(self) -> int:
        """Check every tenant with a learned personal model; return how many models were taken back.

        Can be repeated at any time. A tenant's failure is counted and logged, does not affect other tenants, and is
        retried by the next call.
        """
        await self._refresher.refresh()  # the learning step of the same night can just have written
        taken_back = 0
        for tenant_id in self._tenants.ids():
            known = self._tenants.auto_model(tenant_id)
            if known is None or known.personal is None:
                continue
            try:
                taken_back += await self._look_at(tenant_id)
            except (StoreError, Problem) as error:
                self._telemetry.count("model_take_backs", tenant_id, "failed")
                log.error("the look at the holdout of tenant %s failed: %s", tenant_id, type(error).__name__)
            except Exception as error:  # one tenant's damaged data must not stop the others
                self._telemetry.count("model_take_backs", tenant_id, "failed")
                log.error("the look at the holdout of tenant %s failed\n%s", tenant_id, traceback_without_values(error))
        if taken_back:
            await self._refresher.refresh()
        return taken_back

    async def _look_at(self, tenant_id: str) -> bool:
        """Judge one tenant's model; return whether it was taken back.

        Raises `StoreUnavailable`, and `Overtaken` after repeated write conflicts.
        """
        meant: AutoModel | None = None

        async def attempt() -> AutoModel | None:
            nonlocal meant
            stored = await self._documents.read(TENANTS, tenant_id, AUTO_MODEL_ID, latest=True)
            auto = None if stored is None or stored.body.get("deleted") else AutoModel.from_document(stored.body)
            if stored is None or auto is None:
                return None
            if meant is not None and meant.personal == auto.personal and meant.taken_back == auto.taken_back:
                return meant  # an earlier attempt wrote it, and the store's response was lost
            left = take_back(auto, judge(auto))
            if left is auto:
                return None
            meant = left
            after = {**stored.body, **left.to_document()}
            change = Change(TENANTS, tenant_id, AUTO_MODEL_ID, auto.personal or "", "take_back", stored, after)
            await apply_change(self._documents, change, Author(WHO, self._clock(), left.why))
            return left

        left = await retry(attempt, (Overtaken,), attempts=ATTEMPTS)
        if left is None:
            return False
        self._telemetry.count("model_take_backs", tenant_id, "taken_back")
        log_event(log, logging.WARNING, "model_taken_back", tenant=tenant_id, why=left.why)
        return True
