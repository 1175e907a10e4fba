"""CMS endpoints of editorial rules and their drafts, and of playlists."""

from __future__ import annotations

from typing import Any

import azure.functions as func

from cms.documents import (
    DocumentFlow,
    Kind,
    NamedDocuments,
    no_content,
    require_match,
    with_etag,
)
from cms.drafted import DraftedDocuments
from cms.endpoint import (
    IF_MATCH,
    IF_MATCH_PROBLEMS,
    OPTIONAL_IF_MATCH,
    REASON,
    acts,
    changes,
    cms_endpoint,
    creates,
    deletes,
    reads,
    replaces,
)
from cms.feeds.models import feed_uses_playlist
from cms.request import CmsRequest, quoted
from cms.rules.models import (
    PLAYLIST_PREFIX,
    RULE_PREFIX,
    ListedPlaylist,
    ListedRule,
    NewPlaylistForm,
    NewRule,
    NewRuleForm,
    PlaylistForm,
    Playlists,
    RuleDraft,
    RuleForm,
    Rules,
    StoredPlaylist,
    StoredRule,
    draft_view,
    editable_playlist,
    editable_rule,
    listed_rule_view,
    playlist_document,
    playlist_fields,
    rule_document,
    rule_view,
    uses_playlist,
)
from feed.catalog import Catalogs
from shared.adapters.documents.port import Document, StoreUnavailable
from shared.domain.feeds import FEED_PREFIX
from shared.domain.formats import SLUG, iso_time
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem

RULE = Kind("rule", RuleForm, NewRuleForm, rule_document, editable_rule, RULE_PREFIX)
PLAYLIST = Kind("playlist", PlaylistForm, NewPlaylistForm, playlist_document, editable_playlist, PLAYLIST_PREFIX)

_RULE_EXAMPLE = {"name": "Cup", "action": "pin", "positions": [1], "match": {"playlists": ["cup"]}}
_PLAYLIST_EXAMPLE = {"name": "Cup", "videoIds": ["vid_core"]}


class RulesApi:
    """Manages rules and their drafts."""

    def __init__(self, edge: Edge, flow: DocumentFlow) -> None:
        self.edge = edge
        self._rules = NamedDocuments(flow, RULE)
        self._drafts = DraftedDocuments(flow, RULE)

    @cms_endpoint("GET", "rules", "List rules", {200: Rules})
    async def list_rules(self, call: CmsRequest) -> func.HttpResponse:
        """Return every rule, the highest priority first, each with its draft if it has one."""
        live = await self._rules.list(call)
        drafts = await self._drafts.by_live_id(call.tenant_id)
        rules: list[ListedRule | NewRule] = []
        for each in sorted(live, key=lambda each: (-each.body.get("priority", 0), each.id)):
            draft = drafts.pop(each.id, None)
            shown = _draft_view(draft, call.now) if draft else None
            rules.append(listed_rule_view(each.body, quoted(each.etag), shown, call.now))
        for draft in drafts.values():
            id = draft.body["rule"]["ruleId"]
            rules.append(NewRule.unchecked(id=id, state="draft", draft=_draft_view(draft, call.now)))
        return json_response(Rules.unchecked(rules=rules, now=iso_time(call.now)))

    @creates("rules", "Create a rule", StoredRule, NewRuleForm, {"id": "cup", **_RULE_EXAMPLE}, "too_many")
    async def create_rule(self, call: CmsRequest) -> func.HttpResponse:
        """Create a live rule."""
        return self._answer(call, await self._rules.create(call), 201)

    @reads("rules/{id}", "Read a rule", StoredRule)
    async def get_rule(self, call: CmsRequest) -> func.HttpResponse:
        """Return the live rule."""
        return self._answer(call, await self._rules.get(call))

    @replaces("rules/{id}", "Replace a rule", StoredRule, RuleForm, _RULE_EXAMPLE)
    async def replace_rule(self, call: CmsRequest) -> func.HttpResponse:
        """Replace the whole rule."""
        return self._answer(call, await self._rules.replace(call))

    @changes("rules/{id}", "Change fields of a rule", StoredRule, {"name": "Cup"})
    async def change_rule(self, call: CmsRequest) -> func.HttpResponse:
        """Change the fields in the body."""
        return self._answer(call, await self._rules.change(call))

    @deletes("rules/{id}", "Delete a rule")
    async def delete_rule(self, call: CmsRequest) -> func.HttpResponse:
        """Delete the live rule. Its draft stays."""
        stored = await self._rules.get(call)
        require_match(call, stored)
        await self._rules.delete(call, stored)
        return no_content()

    # ---- drafts

    @reads("rules/{id}/draft", "Read a rule's draft", StoredRule)
    async def get_rule_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Return the draft of a rule; the live rule need not exist."""
        return self._answer_draft(call, await self._drafts.get(call))

    @cms_endpoint(
        "PUT",
        "rules/{id}/draft",
        "Save a rule's draft",
        {200: StoredRule},
        body=RuleForm,
        example=_RULE_EXAMPLE,
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, "invalid_document"),
        etag=True,
    )
    async def save_rule_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Save the draft, replacing the one that `If-Match` names; the first one needs no `If-Match`."""
        return self._answer_draft(call, await self._drafts.save(call))

    @deletes("rules/{id}/draft", "Delete a rule's draft")
    async def drop_rule_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Delete the draft that `If-Match` names."""
        await self._drafts.drop(call)
        return no_content()

    @acts(
        "rules/{id}/draft/publish",
        "Publish a rule's draft",
        StoredRule,
        "draft_outdated",
        "already_exists",
        "too_many",
        "conflict",
        if_match=IF_MATCH,
    )
    async def publish_rule(self, call: CmsRequest) -> func.HttpResponse:
        """Make the draft that `If-Match` names live, unless the live rule has changed since."""
        return self._answer(call, await self._drafts.publish(call))

    def _answer(self, call: CmsRequest, document: Document, status: int = 200) -> func.HttpResponse:
        return with_etag(rule_view(document.body, call.now), document, status)

    def _answer_draft(self, call: CmsRequest, draft: Document) -> func.HttpResponse:
        return with_etag(rule_view(draft.body["rule"], call.now), draft)


def _draft_view(draft: Document, now: float) -> RuleDraft:
    return draft_view(draft.body, quoted(draft.etag), now)


class PlaylistsApi:
    """Manages playlists. `catalogs` know which of their videos exist."""

    def __init__(self, edge: Edge, flow: DocumentFlow, catalogs: Catalogs) -> None:
        self.edge = edge
        self._flow = flow
        self._playlists = NamedDocuments(flow, PLAYLIST)
        self._catalogs = catalogs

    @cms_endpoint("GET", "playlists", "List playlists", {200: Playlists})
    async def list_playlists(self, call: CmsRequest) -> func.HttpResponse:
        """Return every playlist."""
        documents = await self._playlists.list(call)
        known = await self._known_videos(call)
        playlists = [
            ListedPlaylist.unchecked(**playlist_fields(each.body, known), etag=quoted(each.etag)) for each in documents
        ]
        return json_response(Playlists.unchecked(playlists=playlists))

    @creates(
        "playlists",
        "Create a playlist",
        StoredPlaylist,
        NewPlaylistForm,
        {"id": "cup", **_PLAYLIST_EXAMPLE},
        "too_many",
    )
    async def create_playlist(self, call: CmsRequest) -> func.HttpResponse:
        """Create a playlist."""
        return await self._answer(call, await self._playlists.create(call), 201)

    @reads("playlists/{id}", "Read a playlist", StoredPlaylist)
    async def get_playlist(self, call: CmsRequest) -> func.HttpResponse:
        """Return one playlist."""
        return await self._answer(call, await self._playlists.get(call))

    @replaces("playlists/{id}", "Replace a playlist", StoredPlaylist, PlaylistForm, _PLAYLIST_EXAMPLE)
    async def replace_playlist(self, call: CmsRequest) -> func.HttpResponse:
        """Replace the whole playlist."""
        return await self._answer(call, await self._playlists.replace(call))

    @changes("playlists/{id}", "Change fields of a playlist", StoredPlaylist, {"name": "Cup"})
    async def change_playlist(self, call: CmsRequest) -> func.HttpResponse:
        """Change the fields in the body."""
        return await self._answer(call, await self._playlists.change(call))

    @deletes("playlists/{id}", "Delete a playlist", "in_use")
    async def delete_playlist(self, call: CmsRequest) -> func.HttpResponse:
        """Delete a playlist that no rule and no feed uses."""
        stored = await self._playlists.get(call)
        require_match(call, stored)
        id = call.path("id", SLUG)
        rules = await self._flow.list(call.tenant_id, RULE.prefix)
        feeds = await self._flow.list(call.tenant_id, FEED_PREFIX)
        users: list[Any] = [each.body["name"] for each in rules if uses_playlist(each.body, id)]
        users += [each.body["title"] for each in feeds if feed_uses_playlist(each.body, id)]
        if users:
            raise Problem(
                409, "in_use", f"Rules or feeds use this playlist: {', '.join(users[:5])}. Remove it from them first."
            )
        await self._playlists.delete(call, stored)
        return no_content()

    async def _answer(self, call: CmsRequest, document: Document, status: int = 200) -> func.HttpResponse:
        known = await self._known_videos(call)
        return with_etag(StoredPlaylist.unchecked(**playlist_fields(document.body, known)), document, status)

    async def _known_videos(self, call: CmsRequest) -> set[str] | None:
        """Return the video ids in the catalog; None while the catalog cannot be loaded."""
        try:
            catalog = await self._catalogs.get(call.tenant_id)
        except StoreUnavailable:
            return None
        return set(catalog.columns.ids)
