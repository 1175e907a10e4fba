"""CMS endpoints of a tenant's configuration and its draft, and the operators' switch of personalization."""

from __future__ import annotations

from collections.abc import Sequence

import azure.functions as func

from cms.changes import Author
from cms.configuration.models import (
    Configuration,
    ConfigurationDraft,
    ConfigurationForm,
    PersonalizationSwitch,
    configuration_document,
    configuration_view,
    draft_content,
    draft_view,
    editable,
    require_confirmation,
    require_read_only_unchanged,
)
from cms.configuration.privileges import OPS_ONLY, protected_fields, require_may_change
from cms.configuration.stored import CONFIGURATION, stored_configuration
from cms.documents import (
    DocumentFlow,
    Drafts,
    no_content,
    reason_if_text,
    require_match,
    require_match_if_given,
    with_etag,
)
from cms.endpoint import (
    IF_MATCH,
    IF_MATCH_PROBLEMS,
    OPTIONAL_IF_MATCH,
    OPTIONAL_IF_MATCH_PROBLEMS,
    REASON,
    acts,
    changes,
    cms_endpoint,
    reads,
    replaces,
)
from cms.forms import checked
from cms.request import CmsRequest
from shared.adapters.documents.port import Document, Json, Operation
from shared.adapters.tenant_directory import CONFIGURATION_ID
from shared.domain.records import Tenant
from shared.web.declaration import ANY_OBJECT, Parameter, Response
from shared.web.endpoint import Edge, endpoint, json_response
from shared.web.problems import Problem, bad_request

_EXAMPLE = {"maturityPolicy": "PG13"}
_ENABLE = Parameter(
    "enable",
    "query",
    "`true` switches personalization on, `false` off.",
    {"type": "boolean"},
    required=True,
    example=False,
)


class ConfigurationApi:
    """Reads, changes, drafts and publishes a tenant's configuration."""

    def __init__(self, edge: Edge, flow: DocumentFlow) -> None:
        self.edge = edge
        self._flow = flow
        self._drafts = Drafts(flow, CONFIGURATION)

    @reads("configuration", "Read the configuration", Configuration, "not_found")
    async def get_configuration(self, call: CmsRequest) -> func.HttpResponse:
        """Return the live configuration."""
        return _answer(await self._live(call))

    @replaces(
        "configuration",
        "Replace the configuration",
        Configuration,
        ConfigurationForm,
        _EXAMPLE,
        "not_found",
        "ops_only",
        confirm=True,
    )
    async def replace_configuration(self, call: CmsRequest) -> func.HttpResponse:
        """Replace the whole configuration."""
        return await self._update(call, partial=False)

    @changes(
        "configuration",
        "Change fields of the configuration",
        Configuration,
        {"streakCap": 3},
        "not_found",
        "ops_only",
        confirm=True,
    )
    async def change_configuration(self, call: CmsRequest) -> func.HttpResponse:
        """Change the fields in the body."""
        return await self._update(call, partial=True)

    # ---- draft

    @reads("configuration/draft", "Read the draft", ConfigurationDraft, "not_found")
    async def get_configuration_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Return the draft, compared with the live configuration."""
        live = await self._live(call)
        return self._answer_draft(await self._drafts.require(call.tenant_id, CONFIGURATION_ID), live)

    @cms_endpoint(
        "PUT",
        "configuration/draft",
        "Save a draft",
        {200: ConfigurationDraft},
        body=ConfigurationForm,
        example=_EXAMPLE,
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, "invalid_document", "not_found", "ops_only"),
        etag=True,
    )
    async def save_configuration_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Save a whole draft, replacing the one that `If-Match` names."""
        return await self._save_draft(call, partial=False)

    @cms_endpoint(
        "PATCH",
        "configuration/draft",
        "Change fields of the draft",
        {200: ConfigurationDraft},
        body=ANY_OBJECT,
        example={"streakCap": 3},
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, "invalid_document", "not_found", "ops_only"),
        etag=True,
    )
    async def change_configuration_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Change the fields in the body; without a draft, start one from the live configuration."""
        return await self._save_draft(call, partial=True)

    @cms_endpoint(
        "DELETE",
        "configuration/draft",
        "Delete the draft",
        {204: None},
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, "invalid_reason"),
    )
    async def drop_configuration_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Delete the draft that `If-Match` names. Without a draft and `If-Match` it does nothing."""
        kept = await self._drafts.read(call.tenant_id, CONFIGURATION_ID)
        self._drafts.require_match(call, kept)
        if kept is not None:
            await self._drafts.drop(call, kept, CONFIGURATION)
        return no_content()

    @acts(
        "configuration/draft/publish",
        "Publish the draft",
        Configuration,
        "not_found",
        "draft_outdated",
        "invalid_document",
        "ops_only",
        if_match=IF_MATCH,
        confirm=True,
    )
    async def publish_configuration(self, call: CmsRequest) -> func.HttpResponse:
        """Make the draft that `If-Match` names live, unless the live configuration has changed since."""
        kept = await self._drafts.require(call.tenant_id, CONFIGURATION_ID)
        require_match(call, kept)
        live = await self._live(call)
        self._drafts.require_current(kept, live)
        form = checked(ConfigurationForm, kept.body["configuration"])
        author = call.author(reason_if_text(call.optional_body()))
        return await self._save(call, live, form, "publish", author, self._drafts.dropping(kept))

    # ---- the operators' switch

    @endpoint(
        "POST",
        "v1/debug/set-personalization",
        "Switch personalization for one tenant",
        tag="operators",
        call=CmsRequest,
        scopes=("ops",),
        parameters=(_ENABLE, OPTIONAL_IF_MATCH, REASON),
        responses={
            200: Response(
                "Saved. Every instance applies it within seconds.",
                PersonalizationSwitch,
                {"tenantId": "tenant_1", "usePersonalization": False},
            )
        },
        problems=("invalid_enable", "invalid_reason", "no_configuration", "conflict", *OPTIONAL_IF_MATCH_PROBLEMS),
    )
    async def set_personalization(self, call: CmsRequest) -> func.HttpResponse:
        """Switch the tenant's `usePersonalization`; instances apply it at their next refresh."""
        given = (call.request.params.get("enable") or "").lower()
        if given not in ("true", "false"):
            raise bad_request("invalid_enable", "enable must be true or false.")
        enable = given == "true"
        stored = await self._flow.read(call.tenant_id, CONFIGURATION_ID)
        if stored is None:
            raise Problem(
                404,
                "no_configuration",
                "This tenant has no configuration yet. Write one with PUT /v1/cms/configuration.",
            )
        require_match_if_given(call, stored)
        body = {**stored.body, "usePersonalization": enable}
        try:
            await self._write(call, stored, body, "switch_personalization", call.author())
        except Problem as problem:
            if problem.code != "stale_etag":
                raise
            raise Problem(
                409, "conflict", "Somebody else changed the configuration at the same time. Send the request again."
            ) from None
        return json_response(PersonalizationSwitch(tenant_id=call.tenant_id, use_personalization=enable))

    async def _live(self, call: CmsRequest) -> Document:
        return await stored_configuration(self._flow, call.tenant_id)

    async def _update(self, call: CmsRequest, partial: bool) -> func.HttpResponse:
        live = await self._live(call)
        require_match(call, live)
        form, why = _form(call, editable(live.body) if partial else protected_fields(live.body), live)
        return await self._save(call, live, form, "update", call.author(why))

    async def _save(
        self,
        call: CmsRequest,
        live: Document,
        form: ConfigurationForm,
        action: str,
        author: Author,
        also: Sequence[Operation] = (),
    ) -> func.HttpResponse:
        """Write a checked configuration over the live one.

        Raises a `Problem`: 422 if stronger ratings are not confirmed, 403 if a field needs scope `ops`.
        """
        body = configuration_document(form, live.body, call.tenant_id)
        require_may_change(call.caller, editable(body), live.body)
        raised = require_confirmation(Tenant.from_document(live.body), Tenant.from_document(body), call.confirmed())
        action = f"{action}_raising_maturity" if raised else action
        return _answer(await self._write(call, live, body, action, author, also))

    async def _write(
        self, call: CmsRequest, live: Document, body: Json, action: str, author: Author, also: Sequence[Operation] = ()
    ) -> Document:
        return await self._flow.write(call.tenant_id, CONFIGURATION, CONFIGURATION, action, live, body, author, also)

    async def _save_draft(self, call: CmsRequest, partial: bool) -> func.HttpResponse:
        kept = await self._drafts.read(call.tenant_id, CONFIGURATION_ID)
        live = await self._live(call)
        self._drafts.require_match(call, kept)
        base = kept.body["configuration"] if kept else editable(live.body)
        form, _ = _form(call, base if partial else {name: base[name] for name in OPS_ONLY if name in base}, live)
        drafted = configuration_document(form, live.body, call.tenant_id)
        require_may_change(call.caller, editable(drafted), live.body, *([{**live.body, **base}] if kept else []))
        content = draft_content(form, call.now, call.author().who)
        saved = await self._drafts.save(call, CONFIGURATION_ID, CONFIGURATION, kept, live, content)
        return self._answer_draft(saved, live)

    def _answer_draft(self, draft: Document, live: Document) -> func.HttpResponse:
        return with_etag(draft_view(draft.body, live.body, self._drafts.is_outdated(draft, live)), draft)


def _answer(live: Document) -> func.HttpResponse:
    return with_etag(configuration_view(live.body), live)


def _form(call: CmsRequest, base: Json, live: Document) -> tuple[ConfigurationForm, str | None]:
    """Apply the body to `base`; return the validated configuration and the reason. Raises a `Problem`.

    The response of a draft can be sent back: its field `configuration` is used.
    """
    payload = call.body()
    if isinstance(payload.get("configuration"), dict):
        payload = payload["configuration"]
    why = reason_if_text(payload)
    payload.pop("reason", None)
    require_read_only_unchanged(payload, live.body)
    return checked(ConfigurationForm, {**base, **payload}), why
