"""CMS endpoints of tenants, for the platform's own keys: list, create and remove tenants, and read their progress."""

from __future__ import annotations

import hashlib
from functools import partial

import azure.functions as func
import orjson

from cms.access.app_lines import base_url_of
from cms.access.models import (
    NewTenant,
    NewTenantForm,
    Onboarding,
    RemovalForm,
    TenantRemoval,
    Tenants,
    issue,
    new_tenant_view,
    onboarding_document,
    onboarding_view,
    removal_view,
    tenant_document,
)
from cms.changes import Author, Change, already_exists, audit_entry, without_tombstone
from cms.configuration.models import configuration_view
from cms.documents import DocumentFlow
from cms.endpoint import cms_endpoint
from cms.forms import Fault, checked, refused
from cms.request import MAX_BODY_BYTES, CmsRequest
from shared.adapters.documents.port import TENANTS, Create, Document, Operation, Replace
from shared.adapters.milestones import Milestones
from shared.adapters.tenant_directory import CONFIGURATION_ID, ONBOARDING_ID, PLATFORM, TenantDirectory
from shared.domain.formats import TENANT_ID
from shared.domain.keys import Identity
from shared.domain.records import Tenant
from shared.domain.removal_receipt import DONE, REMOVAL_ID, new_removal
from shared.web.bodies import read_json
from shared.web.declaration import Parameter
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem, bad_request

_operator_endpoint = partial(cms_endpoint, tag="access", scopes=("ops",), operator=True)
MAX_IDEMPOTENCY_KEY = 200
_IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "A key that the client makes up for each tenant.",
    {"type": "string", "maxLength": MAX_IDEMPOTENCY_KEY},
)


class TenantsApi:
    """Lists, creates and removes tenants, for the platform's own keys."""

    def __init__(
        self, edge: Edge, flow: DocumentFlow, tenants: TenantDirectory, identity: Identity, milestones: Milestones
    ) -> None:
        self.edge = edge
        self._flow = flow
        self._tenants = tenants
        self._identity = identity
        self._milestones = milestones

    @_operator_endpoint("GET", "tenants", "List tenants", {200: Tenants})
    async def list_tenants(self, call: CmsRequest) -> func.HttpResponse:
        """Return every tenant, sorted by id."""
        known = [self._tenants.get(id) for id in sorted(self._tenants.ids())]
        tenants = [configuration_view(tenant_document(tenant)) for tenant in known if tenant]
        return json_response(Tenants.unchecked(tenants=tenants))

    @_operator_endpoint(
        "POST",
        "tenants",
        "Create a tenant with its first keys",
        {201: NewTenant, 200: Onboarding},
        description="Issues a key for the content team (`cms`) and one for the app (`sdk`); only the 201 shows them. "
        "Repeating the same body with the same Idempotency-Key returns 200 without the keys and changes nothing: if "
        "the 201 was lost, rotate both keys with `overlapHours` 0. Any other call for the same id returns 409.",
        body=NewTenantForm,
        example={"tenantId": "news", "name": "The News"},
        parameters=(_IDEMPOTENCY_KEY,),
        problems=("invalid_document", "already_exists", "being_removed", "invalid_idempotency_key"),
    )
    async def create_tenant(self, call: CmsRequest) -> func.HttpResponse:
        """Create a tenant with a key of scope `cms` and one of scope `sdk`. Only this response shows them."""
        form = checked(NewTenantForm, read_json(call.request, MAX_BODY_BYTES))
        if form.key_name == form.app_key_name:
            raise refused([Fault("appKeyName", "same_name", "appKeyName must differ from keyName.")])
        request = _request_name(call, form)
        await self._require_not_being_removed(form.tenant_id)
        stored = await self._flow.stored(form.tenant_id, CONFIGURATION_ID)
        onboarding = await self._flow.stored(form.tenant_id, ONBOARDING_ID)
        if without_tombstone(stored):
            if request and onboarding and onboarding.body.get("request") == request:
                return json_response(self._onboarding(call, form.tenant_id, onboarding))
            raise already_exists("tenant")
        author = Author(f"{call.caller.key_name} (operator)", call.now)
        tenant = Tenant(form.tenant_id, form.maturity_policy)
        editors, app = (
            issue(self._identity, name, [scope], None, author.at, author.who)
            for name, scope in ((form.key_name, "cms"), (form.app_key_name, "sdk"))
        )
        record = onboarding_document(form.name, request, author.at, author.who)
        also: list[Operation] = [Create(key.to_document()) for _, key in (editors, app)]
        also.append(Replace(record, onboarding.etag) if onboarding else Create(record))
        document = tenant.to_document()

        async def check() -> None:
            await self._require_not_being_removed(tenant.id)

        await self._flow.write(tenant.id, "tenant", tenant.id, "create", stored, document, author, also, check)
        base_url = base_url_of(call.request.url, call.headers)
        return json_response(new_tenant_view(tenant, form.name, editors, app, base_url, call.now), 201)

    @_operator_endpoint("GET", "tenants/{id}/onboarding", "Read a new tenant's progress", {200: Onboarding})
    async def get_onboarding(self, call: CmsRequest) -> func.HttpResponse:
        """Return when a tenant's app first got a feed and sent an event, exact to a minute, and its code samples."""
        id = call.path("id", TENANT_ID)
        await self._flow.require(id, CONFIGURATION_ID, "tenant")
        await self._milestones.flush()
        return json_response(self._onboarding(call, id, await self._flow.read(id, ONBOARDING_ID)))

    @_operator_endpoint(
        "POST",
        "tenants/{id}/removal",
        "Remove a tenant for good",
        {202: TenantRemoval},
        description="The tenant's keys stop working at once. A job deletes all its data, and continues after a crash. "
        "This cannot be undone. `confirm` repeats the tenant's id. Repeating the call has no further effect.",
        body=RemovalForm,
        example={"confirm": "news"},
        problems=("invalid_document", "conflict", "stale_etag", "already_exists"),
    )
    async def remove_tenant(self, call: CmsRequest) -> func.HttpResponse:
        """Begin to remove a tenant; 202 with its progress. Raises a 404 `Problem` if there is no such tenant."""
        id = call.path("id", TENANT_ID)
        form = checked(RemovalForm, read_json(call.request, MAX_BODY_BYTES))
        if form.confirm != id:
            raise refused([Fault("confirm", "not_confirmed", "To confirm, set confirm to the tenant's id.")])
        stored = await self._flow.read(id, REMOVAL_ID)
        if stored is None or (stored.body.get("state") == DONE and await self._flow.read(id, CONFIGURATION_ID)):
            await self._flow.require(id, CONFIGURATION_ID, "tenant")
            author = call.author(form.reason)
            # The platform's audit gets an entry first, because the tenant's own audit is deleted with the tenant.
            change = Change(TENANTS, PLATFORM, "tenant", id, "remove", None, None)
            await self._flow.store.write(TENANTS, PLATFORM, [Create(audit_entry(change, author))])
            document = new_removal(author.at, author.who, author.why)

            async def check() -> None:
                """Check nothing: with a `check`, the write uses the guard, so a concurrent creation conflicts."""

            stored = await self._flow.write(id, "tenant", id, "remove", stored, document, author, check=check)
        return json_response(removal_view(id, stored.body), 202)

    @_operator_endpoint("GET", "tenants/{id}/removal", "Read a removal's progress or receipt", {200: TenantRemoval})
    async def get_removal(self, call: CmsRequest) -> func.HttpResponse:
        """Return the tenant's latest removal. Raises a 404 `Problem` if there is none."""
        id = call.path("id", TENANT_ID)
        return json_response(removal_view(id, (await self._flow.require(id, REMOVAL_ID, "removal")).body))

    async def _require_not_being_removed(self, tenant_id: str) -> None:
        """Raise a 409 `Problem` while a tenant of this id is being removed."""
        removal = await self._flow.read(tenant_id, REMOVAL_ID)
        if removal and removal.body.get("state") != DONE:
            raise Problem(
                409,
                "being_removed",
                "A tenant with this id is being removed. Wait until GET /v1/cms/tenants/{id}/removal reports done.",
            )

    def _onboarding(self, call: CmsRequest, tenant_id: str, stored: Document | None) -> Onboarding:
        base_url = base_url_of(call.request.url, call.headers)
        keys = self._tenants.keys(tenant_id).values()
        return onboarding_view(tenant_id, stored.body if stored else {}, keys, base_url, call.now)


def _request_name(call: CmsRequest, form: NewTenantForm) -> str:
    """Hash the body and the `Idempotency-Key`, so a repeated call is recognized; empty without the header."""
    key = call.headers.get("idempotency-key", "")
    if len(key) > MAX_IDEMPOTENCY_KEY:
        raise bad_request(
            "invalid_idempotency_key",
            f"Idempotency-Key can have at most {MAX_IDEMPOTENCY_KEY} characters. Send a shorter one.",
        )
    sent = orjson.dumps([key, form.model_dump()], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(sent, digest_size=16).hexdigest() if key else ""
