"""CMS endpoints of named feeds and their drafts."""

from __future__ import annotations

import azure.functions as func

from cms.documents import DocumentFlow, Kind, NamedDocuments, no_content, require_match, with_etag
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
from cms.feeds.models import (
    FeedForm,
    Feeds,
    ListedFeed,
    NewFeed,
    NewFeedForm,
    StoredFeed,
    draft_view,
    editable_feed,
    feed_document,
    feed_fields,
    feed_view,
)
from cms.request import CmsRequest, quoted
from shared.adapters.documents.port import Document
from shared.domain.feeds import FEED_PREFIX
from shared.domain.formats import iso_time
from shared.web.endpoint import Edge, json_response

FEED = Kind("feed", FeedForm, NewFeedForm, feed_document, editable_feed, FEED_PREFIX)

_EXAMPLE = {"title": "Kitchen", "base": {"categories": ["cooking"]}, "fallbackOrder": "newest"}


class FeedsApi:
    """Manages named feeds and their drafts."""

    def __init__(self, edge: Edge, flow: DocumentFlow) -> None:
        self.edge = edge
        self._feeds = NamedDocuments(flow, FEED)
        self._drafts = DraftedDocuments(flow, FEED)

    @cms_endpoint("GET", "feeds", "List feeds", {200: Feeds})
    async def list_feeds(self, call: CmsRequest) -> func.HttpResponse:
        """Return every named feed, each with its draft if it has one."""
        drafts = await self._drafts.by_live_id(call.tenant_id)
        feeds: list[ListedFeed | NewFeed] = []
        for each in await self._feeds.list(call):
            draft = drafts.pop(each.id, None)
            shown = draft_view(draft.body, quoted(draft.etag)) if draft else None
            feeds.append(ListedFeed.unchecked(**feed_fields(each.body), etag=quoted(each.etag), draft=shown))
        for draft in drafts.values():
            shown = draft_view(draft.body, quoted(draft.etag))
            feeds.append(NewFeed.unchecked(id=draft.body["feed"]["feedId"], draft=shown))
        return json_response(Feeds.unchecked(feeds=feeds, now=iso_time(call.now)))

    @creates("feeds", "Create a feed", StoredFeed, NewFeedForm, {"id": "kitchen", **_EXAMPLE}, "too_many")
    async def create_feed(self, call: CmsRequest) -> func.HttpResponse:
        """Create a live feed."""
        return _answer(await self._feeds.create(call), 201)

    @reads("feeds/{id}", "Read a feed", StoredFeed)
    async def get_named_feed(self, call: CmsRequest) -> func.HttpResponse:
        """Return the live feed's settings."""
        return _answer(await self._feeds.get(call))

    @replaces("feeds/{id}", "Replace a feed", StoredFeed, FeedForm, _EXAMPLE)
    async def replace_feed(self, call: CmsRequest) -> func.HttpResponse:
        """Replace the whole feed."""
        return _answer(await self._feeds.replace(call))

    @changes("feeds/{id}", "Change fields of a feed", StoredFeed, {"enabled": False})
    async def change_feed(self, call: CmsRequest) -> func.HttpResponse:
        """Change the fields in the body."""
        return _answer(await self._feeds.change(call))

    @deletes("feeds/{id}", "Delete a feed")
    async def delete_feed(self, call: CmsRequest) -> func.HttpResponse:
        """Delete the live feed. Its draft stays."""
        stored = await self._feeds.get(call)
        require_match(call, stored)
        await self._feeds.delete(call, stored)
        return no_content()

    # ---- drafts

    @reads("feeds/{id}/draft", "Read a feed's draft", StoredFeed)
    async def get_feed_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Return the draft of a feed; the live feed need not exist."""
        return _answer_draft(await self._drafts.get(call))

    @cms_endpoint(
        "PUT",
        "feeds/{id}/draft",
        "Save a feed's draft",
        {200: StoredFeed},
        body=FeedForm,
        example=_EXAMPLE,
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, "invalid_document"),
        etag=True,
    )
    async def save_feed_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Save the draft, replacing the one that `If-Match` names; the first one needs no `If-Match`."""
        return _answer_draft(await self._drafts.save(call))

    @deletes("feeds/{id}/draft", "Delete a feed's draft")
    async def drop_feed_draft(self, call: CmsRequest) -> func.HttpResponse:
        """Delete the draft that `If-Match` names."""
        await self._drafts.drop(call)
        return no_content()

    @acts(
        "feeds/{id}/draft/publish",
        "Publish a feed's draft",
        StoredFeed,
        "draft_outdated",
        "already_exists",
        "too_many",
        "conflict",
        if_match=IF_MATCH,
    )
    async def publish_feed(self, call: CmsRequest) -> func.HttpResponse:
        """Make the draft that `If-Match` names live, unless the live feed has changed since."""
        return _answer(await self._drafts.publish(call))


def _answer(document: Document, status: int = 200) -> func.HttpResponse:
    return with_etag(feed_view(document.body), document, status)


def _answer_draft(draft: Document) -> func.HttpResponse:
    return with_etag(feed_view(draft.body["feed"]), draft)
