"""CMS endpoint of the preview: the feed of a stored user or a described viewer, live and with a draft applied."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import azure.functions as func

from cms.configuration.models import ConfigurationForm, editable, raised_maturity
from cms.configuration.stored import stored_configuration
from cms.documents import DocumentFlow
from cms.endpoint import cms_endpoint
from cms.forms import Fault, checked, refused
from cms.preview.models import DraftForm, Preview, PreviewForm, ViewerForm
from cms.preview.result_views import asked_videos, draft_feed, live_feed
from cms.preview.run import PreviewInput, run_preview, with_rules
from cms.preview.synthetic_viewer import synthetic_signals
from cms.request import CmsRequest
from cms.rules.models import NewRuleForm, rule_document
from feed.catalog import Catalog
from feed.cursor import Served
from feed.experiments import arm_of
from feed.pipeline import Feed
from feed.query import FeedQuery, read_hints
from feed.session import FeedSession
from feed.tenant_models import served_models, with_weights_of
from ranking.model import InvalidModel, parse
from ranking.user_features import COLD_START_EVENTS
from shared.adapters.documents.port import USER_ACTIVITY, Json, StoreError, StoreUnavailable
from shared.adapters.flags.evaluation import CO_WATCH, NEW_DIVERSIFIER, Flags
from shared.adapters.retry import with_timeout
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.fingerprint import fingerprint
from shared.domain.keys import Identity
from shared.domain.records import HOME, Tenant
from shared.domain.rules import Editorial, Rule
from shared.domain.signals_columns import UnreadableSignals
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID, Signals
from shared.web.authentication import user_hash
from shared.web.declaration import Parameter
from shared.web.endpoint import Edge, json_response

READ_SECONDS = 2.0
DAY_SECONDS = 86_400.0
MOST_DAYS_AHEAD = 366

_X_USER = Parameter("X-User", "header", "The user whose feed is previewed.", {"type": "string"})


@dataclass(frozen=True, slots=True)
class _Viewer:
    """The previewed viewer. `synthetic`: described by the request; `unavailable`: the signals could not be read."""

    signals: Signals | None
    synthetic: bool = False
    unavailable: bool = False


class PreviewApi:
    """Serves previews, which record nothing."""

    def __init__(
        self,
        edge: Edge,
        flow: DocumentFlow,
        *,
        tenants: TenantDirectory,
        feed: Feed,
        flags: Flags,
        identity: Identity,
    ) -> None:
        self.edge = edge
        self._flow = flow
        self._tenants = tenants
        self._feed = feed
        self._flags = flags
        self._identity = identity

    @cms_endpoint(
        "POST",
        "preview",
        "Preview the feed of a user or a described viewer, live and with a draft",
        {200: Preview},
        description="A preview records no events, statistics or signals.",
        body=PreviewForm,
        example={"viewer": {"likedCategories": ["fitness"]}},
        body_required=False,
        parameters=(_X_USER,),
        problems=("invalid_document", "invalid_user", "not_found"),
    )
    async def preview(self, call: CmsRequest) -> func.HttpResponse:
        """Return the live feed, the drafted feed if a draft is sent, and explanations of the videos in `why`."""
        form = checked(PreviewForm, call.optional_body())
        at = _moment(form, call.now)
        synthetic = not call.headers.get("x-user")
        hashed = secrets.token_hex(32) if synthetic else user_hash(call.headers)
        user_key = self._identity.user_key(call.tenant_id, hashed)
        stored = None if synthetic else await self._stored_viewer(user_key)
        configuration = (await stored_configuration(self._flow, call.tenant_id)).body
        catalog = await self._feed.catalogs.get(call.tenant_id)

        # No await from here on: the catalog must not change during the preview.
        viewer = stored or _Viewer(_described_signals(form.viewer, catalog, call), synthetic=True)
        seed = fingerprint(call.tenant_id if synthetic else hashed)  # the same for both feeds: only the draft differs
        tenant = Tenant.from_document(configuration)
        editorial = self._tenants.editorial(call.tenant_id)
        session = FeedSession(_query(form, call.tenant), tenant, user_key, Served(int(call.now), seed), call.now)
        fields: dict[str, Any] = {"switch": self._flags.state()}
        try:
            shown = live = run_preview(catalog, self._input(session, at, viewer, editorial))
            if form.draft is not None:
                proposed = self._proposed(form.draft, configuration, call)
                rules = [_rule(each, call.now) for each in form.draft.rules]
                drafted = with_rules(editorial, rules, form.draft.without_rules, form.draft.playlists)
                shown = run_preview(catalog, self._input(replace(session, tenant=proposed), at, viewer, drafted))
                fields |= {
                    "draft": draft_feed(shown, live),
                    "needs_confirmation": raised_maturity(tenant, proposed),
                }
        except InvalidModel as error:
            raise refused([Fault("draft", "invalid_model", str(error))]) from None
        return json_response(Preview.unchecked(**fields, live=live_feed(live), why=asked_videos(shown, form.why)))

    async def _stored_viewer(self, user_key: str) -> _Viewer:
        """Read a stored user's signals. The read bypasses the feed's cache and does not change it."""
        try:
            read = self._flow.store.read(USER_ACTIVITY, user_key, SIGNALS_ID)
            document = await with_timeout(READ_SECONDS, read, StoreUnavailable)
            return _Viewer(from_document(document.body) if document else None)
        except (StoreError, UnreadableSignals):
            return _Viewer(None, unavailable=True)

    def _input(self, session: FeedSession, at: float, viewer: _Viewer, editorial: Editorial) -> PreviewInput:
        """Build the inputs that the feed would use for this viewer and tenant. Raises `InvalidModel`."""
        tenant, user_key = session.tenant, session.user_key
        stored = partial(self._tenants.model, tenant.id)
        models = served_models(tenant, self._tenants.auto_model(tenant.id), stored)
        held_out = not viewer.synthetic and self._feed.is_held_out(tenant, user_key, models)
        experiment = None if viewer.synthetic or held_out else self._tenants.experiment(tenant.id)
        arm = arm_of(experiment, user_key) if experiment and HOME in experiment.feeds else None
        if arm is not None:
            base = models.base if arm.model_version is None else parse(stored(arm.model_version))
            assert base is not None
            personal = with_weights_of(replace(tenant, weights={**tenant.weights, **arm.weights}), base)
        else:
            personal = (models.held_out if held_out else None) or models.personal
        return PreviewInput(
            session=session,
            at=at,
            editorial=editorial,
            personal=personal,
            popularity=models.popularity,
            signals=viewer.signals,
            reason=self._reason(session, viewer),
            arm=arm,
            diverse=self._flags.on(NEW_DIVERSIFIER, tenant.id, user_key, tenant.feature_flags),
            cowatch=self._flags.on(CO_WATCH, tenant.id, user_key, tenant.feature_flags),
        )

    def _reason(self, session: FeedSession, viewer: _Viewer) -> str | None:
        """Return why the feed is not personalized; None if it is. A described viewer counts as part of a rollout."""
        reason = self._feed.why_not_personalized(session.query, session.tenant, session.user_key)
        if reason is not None and not (viewer.synthetic and reason in ("not_in_rollout", "dark_launch")):
            return reason
        if viewer.unavailable:
            return "signals_unavailable"
        if viewer.signals is None or viewer.signals.events < COLD_START_EVENTS:
            return "cold_start"
        return None

    def _proposed(self, draft: DraftForm, stored: Json, call: CmsRequest) -> Tenant:
        """Return the tenant with a draft applied. Raises a 422 `Problem` if the draft could not be saved."""
        form = checked(ConfigurationForm, {**editable(stored), **draft.configuration})
        body = {**stored, **form.model_dump(by_alias=True)}
        if draft.model_version is not None:
            if self._tenants.model(call.tenant_id, draft.model_version) is None:
                raise refused(
                    [
                        Fault(
                            "draft.modelVersion",
                            "unknown_model",
                            "There is no model version with this name. GET /v1/cms/models lists them.",
                        )
                    ]
                )
            body["modelVersion"] = draft.model_version
        return Tenant.from_document(body)


def _moment(form: PreviewForm, now: float) -> float:
    """Return the time at which schedules are evaluated. Raises a 422 `Problem` if it is too far away."""
    if form.at is not None and not now - DAY_SECONDS <= form.at <= now + MOST_DAYS_AHEAD * DAY_SECONDS:
        raise refused([Fault("at", "out_of_range", f"at must be from yesterday to {MOST_DAYS_AHEAD} days ahead.")])
    return now if form.at is None else form.at


def _query(form: PreviewForm, tenant: Tenant) -> FeedQuery:
    viewer = form.viewer
    hints = read_hints(viewer.country, viewer.language, viewer.age_band, viewer.platform)
    return FeedQuery(form.limit or tenant.default_limit, None, hints, viewer.consented)


def _described_signals(viewer: ViewerForm, catalog: Catalog, call: CmsRequest) -> Signals | None:
    return synthetic_signals(
        viewer.liked_categories,
        viewer.skipped_categories,
        viewer.liked_tags,
        catalog.columns,
        call.tenant.affinity_half_life_days,
        call.now,
    )


def _rule(form: NewRuleForm, now: float) -> Rule:
    rule = Rule.from_document(rule_document(form.id, form, now, ""))
    assert rule is not None
    return rule
