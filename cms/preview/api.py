"""`POST /v1/cms/preview`: the feed of a user, or of somebody described, now and under a draft."""

from __future__ import annotations

import secrets
from typing import Annotated

import azure.functions as func
from pydantic import Field

from bootstrap import Services
from cms.configuration.api import stored_configuration
from cms.configuration.models import ConfigurationForm, editable, raised_maturity
from cms.experiments.models import Version
from cms.forms import AgeBand, Country, Fault, Form, Language, Platform, Slug, VideoId, checked, refused
from cms.preview.run import PreviewInput, PreviewResult, candidates_of, run_preview, seed_of, to_response, with_rules
from cms.preview.synthetic_viewer import described_signals
from cms.request import CmsRequest, authenticate
from cms.rules.models import NewRuleForm, Texts, rule_document
from feed.catalog import Catalog
from feed.cursor import Served
from feed.experiments import arm_of
from feed.pipeline import Feed
from feed.query import FeedQuery, Hints
from ranking.model import InvalidModel
from ranking.user_features import COLD_START_EVENTS
from shared.adapters.documents.port import USER_ACTIVITY, StoreUnavailable
from shared.adapters.flags.evaluation import CO_WATCH, NEW_DIVERSIFIER
from shared.adapters.retry import with_timeout
from shared.adapters.tenant_directory import user_hash
from shared.domain.records import MAX_LIMIT, Tenant
from shared.domain.rules import Editorial, Rule
from shared.domain.user_signals import SIGNALS_ID, Signals, UnreadableSignals, from_document
from shared.web.endpoint import endpoint, json_response

READ_SECONDS = 2.0


class ViewerForm(Form):
    """Somebody in words. A newcomer likes and skips nothing yet."""

    country: Country | None = None
    language: Language | None = None
    age_band: AgeBand | None = None
    platform: Platform | None = None
    liked_categories: Texts = []
    skipped_categories: Texts = []
    liked_tags: Texts = []


class DraftForm(Form):
    """What is different: fields of the configuration, rules by id, rules left out, playlists, another model."""

    configuration: dict[str, object] = {}
    rules: Annotated[list[NewRuleForm], Field(max_length=200)] = []
    without_rules: Annotated[list[Slug], Field(max_length=200)] = []
    playlists: Annotated[dict[Slug, list[VideoId]], Field(max_length=20)] = {}
    model_version: Version | None = None


class PreviewForm(Form):
    """What is asked. The user comes in the header `X-User`, never in a body or URL; without one, `viewer` describes."""

    viewer: ViewerForm = ViewerForm()
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] | None = None
    draft: DraftForm | None = None
    why: Annotated[list[VideoId], Field(max_length=50)] = []


@endpoint("cms_preview")
async def preview(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """The live feed, the drafted one beside it when a draft is sent, and why the videos named are or are not there."""
    call = authenticate(request, services)
    form = checked(PreviewForm, call.optional_body())
    feed = services.room(Feed)
    asked = bool(request.headers.get("x-user"))
    hashed = user_hash(request.headers) if asked else secrets.token_hex(32)
    user_key = services.identity.user_key(call.tenant_id, hashed)
    query = _query(form, call.tenant)
    signals, late = await _stored_signals(call, user_key) if asked else (None, False)
    configuration = (await stored_configuration(call)).body
    catalog = await feed.catalogs.get(call.tenant_id, call.now)

    # No await from here on: the catalog may not change under the preview.
    served = Served(int(call.now), seed_of(hashed if asked else call.tenant_id))
    if not asked:
        signals = _described(form.viewer, catalog, call)
    tenant = Tenant.from_document(configuration)
    editorial = services.tenants.editorial(call.tenant_id)

    def picture(of: Tenant, rules: Editorial = editorial) -> PreviewResult:
        reason = feed.why_not_personalized(query, of, user_key)
        if reason in ("not_in_rollout", "dark_launch") and not asked:
            reason = None  # somebody described stands for those who are in
        if reason is None and late:
            reason = "signals_unavailable"
        if reason is None and (signals is None or signals.events < COLD_START_EVENTS):
            reason = "cold_start"
        experiment = services.tenants.experiment(of.id) if asked else None
        arm = arm_of(experiment, user_key) if experiment else None
        version = (arm.model_version if arm else None) or of.model_version
        stored = services.tenants.model(of.id, version) if version else None
        varied, cowatch = (
            services.flags.on(flag, of.id, user_key, of.feature_flags) for flag in (NEW_DIVERSIFIER, CO_WATCH)
        )
        scene = PreviewInput(of, rules, stored, query, signals, reason, call.now, arm, varied, cowatch)
        return run_preview(catalog, scene, served)

    try:
        live = picture(tenant)
        answer = {"live": to_response(live), "switch": services.flags.state(), "why": candidates_of(live, form.why)}
        if form.draft is not None:
            proposed = _proposed(form.draft, configuration, services, call)
            rules = [_rule(each, call) for each in form.draft.rules]
            drafted = picture(proposed, with_rules(editorial, rules, form.draft.without_rules, form.draft.playlists))
            answer["draft"] = to_response(drafted, live)
            answer["why"] = candidates_of(drafted, form.why)
            answer["needsConfirmation"] = raised_maturity(tenant, proposed)
    except InvalidModel as error:
        raise refused([Fault("draft", "invalid_model", str(error))]) from None
    return json_response(answer)


def _query(form: PreviewForm, tenant: Tenant) -> FeedQuery:
    viewer = form.viewer
    hints = Hints(viewer.country, viewer.language, viewer.age_band, viewer.platform)
    return FeedQuery(form.limit or tenant.default_limit, None, hints, True)


def _described(viewer: ViewerForm, catalog: Catalog, call: CmsRequest) -> Signals | None:
    return described_signals(
        viewer.liked_categories,
        viewer.skipped_categories,
        viewer.liked_tags,
        catalog.columns,
        call.tenant.affinity_half_life_days,
        call.now,
    )


async def _stored_signals(call: CmsRequest, user_key: str) -> tuple[Signals | None, bool]:
    """A user's signals, and whether they could not be read. Read past the feed's cache, which stays as it is."""
    try:
        document = await with_timeout(
            READ_SECONDS, call.services.documents.read(USER_ACTIVITY, user_key, SIGNALS_ID), StoreUnavailable
        )
        return (from_document(document.body) if document else None), False
    except (StoreUnavailable, UnreadableSignals):
        return None, True


def _proposed(draft: DraftForm, stored: dict[str, object], services: Services, call: CmsRequest) -> Tenant:
    """The configuration as it would be, checked as if it were saved."""
    form = checked(ConfigurationForm, {**editable(stored), **draft.configuration})
    body = {**stored, **form.model_dump(by_alias=True)}
    if draft.model_version is not None:
        if services.tenants.model(call.tenant_id, draft.model_version) is None:
            raise refused([Fault("draft.modelVersion", "unknown_model", "There is no such model version.")])
        body["modelVersion"] = draft.model_version
    return Tenant.from_document(body)


def _rule(form: NewRuleForm, call: CmsRequest) -> Rule:
    read = Rule.from_document(rule_document(form.id, form, call.now, ""))
    assert read is not None
    return read
