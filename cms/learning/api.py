"""CMS endpoint of a tenant's learning: served models and the reason, nightly results, holdout, suggested model."""

from __future__ import annotations

import azure.functions as func

from cms.configuration.stored import stored_configuration
from cms.documents import DocumentFlow
from cms.endpoint import cms_endpoint
from cms.experiments.models import model_id
from cms.learning.models import Learning, learning_view
from cms.request import CmsRequest
from feed.tenant_models import ServedModels, served_models
from ranking.model import InvalidModel
from shared.adapters.documents.port import Json
from shared.adapters.flags.evaluation import AUTO_MODELS, Flags
from shared.domain.auto_model import AUTO_MODEL_ID, AutoModel
from shared.domain.records import Tenant
from shared.web.endpoint import Edge, json_response


class LearningApi:
    """Shows the stored results of a tenant's nightly learning."""

    def __init__(self, edge: Edge, flow: DocumentFlow, flags: Flags) -> None:
        self.edge = edge
        self._flow = flow
        self._flags = flags

    @cms_endpoint("GET", "learning", "Read the results of learning", {200: Learning}, problems=("not_found",))
    async def get_learning(self, call: CmsRequest) -> func.HttpResponse:
        """Return the stored state: served models and the reason, the latest night's results, the holdout's watch time,
        taken-back versions, and the suggested version."""
        tenant = Tenant.from_document((await stored_configuration(self._flow, call.tenant_id)).body)
        stored = await self._flow.read(call.tenant_id, AUTO_MODEL_ID)
        auto = AutoModel.from_document(stored.body) if stored else None
        versions = await self._versions(call.tenant_id, tenant, auto)
        suggested = auto is not None and auto.suggested in versions
        view = learning_view(
            tenant, auto, _servable(tenant, auto, versions), suggested, self._flags.on(AUTO_MODELS, call.tenant_id)
        )
        return json_response(view)

    async def _versions(self, tenant_id: str, tenant: Tenant, auto: AutoModel | None) -> dict[str, Json]:
        """Read the model versions that are served or suggested; deleted ones are left out."""
        named = {tenant.model_version, *((auto.popularity, auto.personal, auto.suggested) if auto else ())}
        found: dict[str, Json] = {}
        for version in sorted(each for each in named if each is not None):
            stored = await self._flow.read(tenant_id, model_id(version))
            if stored is not None:
                found[version] = stored.body
        return found


def _servable(tenant: Tenant, auto: AutoModel | None, versions: dict[str, Json]) -> ServedModels | None:
    try:
        return served_models(tenant, auto, versions.get)
    except InvalidModel:
        return None
