"""CMS endpoints of model versions, which are immutable: upload, delete, promote, roll back."""

from __future__ import annotations

from collections.abc import Sequence

import azure.functions as func

from cms.changes import without_tombstone
from cms.configuration.models import Configuration, configuration_view
from cms.configuration.stored import CONFIGURATION, stored_configuration
from cms.documents import DocumentFlow, no_content, reason_if_text, require_match_if_given, with_etag
from cms.endpoint import OPTIONAL_IF_MATCH, OPTIONAL_IF_MATCH_PROBLEMS, REASON, acts, cms_endpoint
from cms.experiments.models import (
    GLOBAL,
    MAX_HISTORY,
    MODEL_PREFIX,
    Models,
    StoredModel,
    checked_model,
    listed_model_view,
    model_document,
    model_id,
    model_view,
    running_document,
    shipped_model_view,
)
from cms.experiments.running_lock import retry_on_conflict, running_lock, write_running_lock
from cms.forms import Fault, refused
from cms.request import CmsRequest, quoted
from shared.adapters.documents.port import Document, Operation, Replace
from shared.domain.auto_model import AUTO_MODEL_ID, LEARNED_PREFIX, AutoModel
from shared.domain.formats import MODEL_VERSION
from shared.domain.records import Tenant
from shared.web.declaration import ANY_OBJECT
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem

MODEL = "model"
"""The kind of a model version in the audit and in messages."""


class ModelsApi:
    """Manages model versions. A field of the configuration names the live one."""

    def __init__(self, edge: Edge, flow: DocumentFlow) -> None:
        self.edge = edge
        self._flow = flow

    @cms_endpoint("GET", "models", "List model versions", {200: Models}, problems=("not_found",))
    async def list_models(self, call: CmsRequest) -> func.HttpResponse:
        """Return the shipped model and the tenant's own versions."""
        stored = await self._flow.list(call.tenant_id, MODEL_PREFIX)
        tenant = await self._tenant(call)
        live = tenant.model_version
        models = [shipped_model_view(live), *(listed_model_view(each.body, live, quoted(each.etag)) for each in stored)]
        return json_response(Models.unchecked(models=models, live=live, history=list(tenant.model_history)))

    @cms_endpoint(
        "POST",
        "models",
        "Store a model version",
        {200: StoredModel, 201: StoredModel},
        body=ANY_OBJECT,
        example={"type": "linear", "version": "2026-11-a", "weights": {"quality": 1}},
        parameters=(REASON,),
        problems=("invalid_document", "already_exists", "too_many", "conflict", "not_found"),
    )
    async def upload_model(self, call: CmsRequest) -> func.HttpResponse:
        """Store a version. Repeating it with the same weights changes nothing; with other weights it is refused."""
        live = (await self._tenant(call)).model_version
        model = checked_model(call.body())
        author = call.author()
        body = model_document(model, call.now, author.who)
        known = await self._flow.stored(call.tenant_id, body["id"])
        if known is not None:
            return json_response(_same_model(known, body["weights"], live))
        if model.version.startswith(LEARNED_PREFIX):
            what = f"version must not begin with {LEARNED_PREFIX}: versions learned at night have such names."
            raise refused([Fault("version", "format", what)])
        await self._flow.write(call.tenant_id, MODEL, model.version, "upload", None, body, author)
        return json_response(model_view(body, live), 201)

    @cms_endpoint(
        "DELETE",
        "models/{version}",
        "Delete a model version that is not served",
        {204: None},
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=("in_use", "conflict", "invalid_reason", *OPTIONAL_IF_MATCH_PROBLEMS),
    )
    async def delete_model(self, call: CmsRequest) -> func.HttpResponse:
        """Delete a version, and remove it from the history for rollback."""
        version = call.path("version", MODEL_VERSION)
        await retry_on_conflict(lambda: self._delete(call, version))
        return no_content()

    @acts("models/{version}/promote", "Serve a model version from now on", Configuration)
    async def promote_model(self, call: CmsRequest) -> func.HttpResponse:
        """Make a version live; the version `global` is the shipped model."""
        named = call.path("version", MODEL_VERSION)
        version = None if named == GLOBAL else named
        guard = [] if version is None else _unchanged(await self._require_model(call, version))
        live = await self._live(call)
        require_match_if_given(call, live)
        tenant = Tenant.from_document(live.body)
        if tenant.model_version == version:
            return _answer(live)
        history = [tenant.model_version, *tenant.model_history][:MAX_HISTORY]
        return await self._set_live_model(call, live, version, history, "promote_model", guard)

    @acts("models/rollback", "Serve the previous model version", Configuration, "nothing_to_roll_back", "not_found")
    async def roll_back_model(self, call: CmsRequest) -> func.HttpResponse:
        """Make the previous version live, skipping versions that were deleted since."""
        live = await self._live(call)
        history = Tenant.from_document(live.body).model_history
        for at, version in enumerate(history):
            stored = None if version is None else await self._flow.read(call.tenant_id, model_id(version))
            if version is None or stored is not None:
                require_match_if_given(call, live)
                guard = [] if stored is None else _unchanged(stored)
                return await self._set_live_model(call, live, version, history[at + 1 :], "rollback_model", guard)
        raise Problem(
            409, "nothing_to_roll_back", "No version was promoted before this one, so there is nothing to go back to."
        )

    async def _set_live_model(
        self,
        call: CmsRequest,
        live: Document,
        version: str | None,
        history: Sequence[str | None],
        action: str,
        guard: Sequence[Operation],
    ) -> func.HttpResponse:
        """Write the live version and its history. `guard` makes the write fail if the version is deleted meanwhile."""
        body = {**live.body, "modelVersion": version, "modelHistory": list(history)}
        author = call.author(reason_if_text(call.optional_body()))
        saved = await self._flow.write(
            call.tenant_id, CONFIGURATION, version or GLOBAL, action, live, body, author, guard
        )
        return _answer(saved)

    async def _delete(self, call: CmsRequest, version: str) -> None:
        """Delete a version in one batch with the documents that name served versions, so none starts to serve it."""
        stored = await self._require_model(call, version)
        require_match_if_given(call, stored)
        live = await self._live(call)
        if Tenant.from_document(live.body).model_version == version:
            raise Problem(409, "in_use", "This version is live. Promote another one first.")
        lock = await running_lock(self._flow, call.tenant_id)
        if version in ((lock.body.get("modelVersions") or ()) if lock else ()):
            raise Problem(409, "in_use", "The running experiment uses this version. Stop the experiment first.")
        auto = await self._flow.read(call.tenant_id, AUTO_MODEL_ID)
        learned = AutoModel.from_document(auto.body) if auto else None
        if learned is not None and version in (learned.popularity, learned.personal, learned.suggested):
            raise Problem(
                409, "in_use", "Nightly learning serves or suggests this version. Set autoModel to off first."
            )
        history = [each for each in live.body.get("modelHistory") or () if each != version]
        also = [
            Replace({**live.body, "modelHistory": history}, live.etag),
            write_running_lock(lock, lock.body if lock else running_document(None, ())),
            *([Replace(auto.body, auto.etag)] if auto else []),
        ]
        await self._flow.write(call.tenant_id, MODEL, version, "delete", stored, None, call.author(), also)

    async def _live(self, call: CmsRequest) -> Document:
        return await stored_configuration(self._flow, call.tenant_id)

    async def _tenant(self, call: CmsRequest) -> Tenant:
        return Tenant.from_document((await self._live(call)).body)

    async def _require_model(self, call: CmsRequest, version: str) -> Document:
        return await self._flow.require(call.tenant_id, model_id(version), MODEL)


def _answer(live: Document) -> func.HttpResponse:
    return with_etag(configuration_view(live.body), live)


def _same_model(known: Document, weights: object, live: str | None) -> StoredModel:
    """Return the stored version if it has these weights. Raises a 409 `Problem` otherwise, or if it was deleted."""
    if without_tombstone(known) is None:
        raise Problem(
            409,
            "already_exists",
            "A deleted version had this name, and names are never used again. Choose another name.",
        )
    if known.body["weights"] != weights:
        raise Problem(
            409,
            "already_exists",
            "A version with this name has other weights, and versions never change. Choose another name.",
        )
    return model_view(known.body, live)


def _unchanged(model: Document) -> list[Operation]:
    """Return an operation that makes a batch fail if the model was deleted since it was read."""
    return [Replace(model.body, model.etag)]
