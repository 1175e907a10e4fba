"""Endpoints of people: public ids, follows, followers and blocks."""

from __future__ import annotations

import azure.functions as func

from shared.adapters.flags.evaluation import STORIES
from shared.domain.formats import USER_HASH, iso_time
from shared.web.admission import Kind, Limits
from shared.web.bodies import read_object
from shared.web.declaration import Body, Response
from shared.web.endpoint import BASE_HEADERS, Call, Edge, endpoint, json_response
from shared.web.http_response import HttpResponse
from shared.web.problems import Problem, bad_request
from shared.web.social_endpoint import MAX_BODY_BYTES, PRIVATE, social_endpoint
from stories.graph import Graph
from stories.identity import person_of
from stories.people_pages import PeoplePages
from stories.person_call import PAGE, PAGE_PROBLEMS, PersonCalls
from stories.requests import MAX_IDS, UserHashes
from stories.responses import (
    BlockedPerson,
    BlocksPage,
    FollowedPeople,
    FollowedPerson,
    FollowerItem,
    FollowersPage,
    FollowState,
    Me,
    PublicIds,
)

EXAMPLE_ID = "Zq3_vX.b81LkPw0aGt5YhA"
_HASH = "5f" * 32
_FOLLOWED = {200: Response("The state of the follow.", FollowState, {"state": "accepted"})}
_DONE = {204: Response("Done. Repeating the call has no further effect.")}
_FOLLOW_PROBLEMS = ("cannot_follow", "too_many_follows", "not_found")
_FOLLOW_SAYS = (
    "Repeating the call has no further effect. If the tenant's `followPolicy` is `approval`, the state is `requested` "
    "until the followed person accepts. To follow creators, categories and series, send events instead."
)


class PeopleApi:
    """Serves public ids, and reads and changes follows and blocks."""

    def __init__(self, edge: Edge, calls: PersonCalls, graph: Graph, pages: PeoplePages, limits: Limits) -> None:
        self.edge = edge
        self._calls = calls
        self._graph = graph
        self._pages = pages
        self._limits = limits

    @social_endpoint(
        "GET",
        "v1/me",
        "Read the caller's public id",
        brand=True,
        description="The id never changes. It has no meaning outside the tenant and cannot be sent as `X-User`.",
        responses={200: Response("The public id.", Me, {"id": EXAMPLE_ID})},
    )
    async def get_me(self, call: Call) -> func.HttpResponse:
        """Return the caller's public id."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            return json_response(Me(id=self._calls.me(call).id), cache=PRIVATE)

    @endpoint(
        "POST",
        "v1/social/ids",
        "Look up public ids of users",
        tag="people",
        description="For the tenant's backend, which can compute the hashes of its users. The users need not have used "
        "the service yet.",
        responses={200: Response("Public ids by hash.", PublicIds, {"ids": {_HASH: EXAMPLE_ID}})},
        scopes=("privacy", "cms", "ops"),
        flag=STORIES,
        body=Body(UserHashes, {"users": [_HASH]}),
        problems=("invalid_json", "invalid_body", "invalid_user"),
    )
    async def post_social_ids(self, call: Call) -> func.HttpResponse:
        """Return the public ids of up to `MAX_IDS` users, given their `X-User` hashes."""
        users = read_object(call.request, MAX_BODY_BYTES).get("users")
        if not isinstance(users, list) or len(users) > MAX_IDS:
            raise bad_request("invalid_body", f"users must be a list of at most {MAX_IDS} user hashes.")
        if not all(isinstance(each, str) and USER_HASH.matches(each) for each in users):
            raise bad_request("invalid_user", "Every user must be 64 lower-case hex digits. Never send an id itself.")
        tenant_id, identity = call.tenant.id, self._calls.identity
        ids = {each: person_of(identity, tenant_id, identity.user_key(tenant_id, each)).id for each in users}
        return json_response(PublicIds(ids=ids))

    # ---- follows

    @social_endpoint(
        "PUT",
        "v1/follow/{id}",
        "Follow a person",
        description=_FOLLOW_SAYS,
        responses=_FOLLOWED,
        problems=_FOLLOW_PROBLEMS,
    )
    async def put_follow(self, call: Call) -> func.HttpResponse:
        """Follow a person, or request to."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            whom = self._calls.other(call)
            state = await self._graph.follow(self._calls.me(call), whom, call.tenant.follow_policy)
        return json_response(FollowState(state=state), cache=PRIVATE)

    @social_endpoint(
        "POST",
        "v1/follow/{id}",
        "Follow a person, as PUT does",
        responses=_FOLLOWED,
        problems=_FOLLOW_PROBLEMS,
    )
    async def post_follow(self, call: Call) -> func.HttpResponse:
        """Do the same for clients that cannot send PUT."""
        return await self.put_follow(call)

    @social_endpoint(
        "DELETE",
        "v1/follow/{id}",
        "Unfollow a person",
        responses=_DONE,
        problems=("not_found",),
    )
    async def delete_follow(self, call: Call) -> func.HttpResponse:
        """End a follow or a request."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            await self._graph.unfollow(self._calls.me(call), self._calls.other(call))
        return _done()

    @social_endpoint(
        "GET",
        "v1/me/followers",
        "List followers",
        parameters=PAGE,
        responses={
            200: Response(
                "A page.",
                FollowersPage,
                {
                    "items": [{"id": EXAMPLE_ID, "state": "accepted", "since": "2026-11-20T12:00:00Z"}],
                    "nextCursor": None,
                },
            )
        },
        problems=PAGE_PROBLEMS,
    )
    async def get_followers(self, call: Call) -> func.HttpResponse:
        """Return a page of followers and of people who request to follow."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            after, limit = self._calls.after(call, "followers"), self._calls.limit(call)
            page = await self._pages.followers(self._calls.me(call), after, limit)
        items = [
            FollowerItem(id=id, state=each.body["state"], since=iso_time(each.body["since"]))
            for id, each in zip(page.ids(), page.documents, strict=True)
        ]
        cursor = self._calls.cursor(call, page.next, "followers")
        return json_response(FollowersPage(items=items, next_cursor=cursor), cache=PRIVATE)

    @social_endpoint(
        "PUT",
        "v1/me/followers/{id}",
        "Accept a follow request",
        responses=_DONE,
        problems=("not_found",),
    )
    async def put_follower(self, call: Call) -> func.HttpResponse:
        """Accept a follow request."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            await self._graph.accept(self._calls.me(call), self._calls.other(call))
        return _done()

    @social_endpoint(
        "DELETE",
        "v1/me/followers/{id}",
        "Refuse a follow request, or remove a follower",
        responses=_DONE,
        problems=("not_found",),
    )
    async def delete_follower(self, call: Call) -> func.HttpResponse:
        """End another person's follow of the caller."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            await self._graph.unfollow(self._calls.other(call), self._calls.me(call))
        return _done()

    async def followed_people(self, call: Call) -> func.HttpResponse:
        """Return a page of the people the user follows, for `GET /v1/me/following?kind=person`.

        Raises a 400 `Problem` where stories are off.
        """
        if not self.edge.is_on(STORIES, call.tenant):
            raise Problem(
                400, "invalid_kind", "kind person is not available: stories are switched off for this tenant."
            )
        after, limit = self._calls.after(call, "following"), self._calls.limit(call)
        page = await self._pages.following(self._calls.me(call), after, limit)
        items = [
            FollowedPerson(kind="person", id=id, state=each.body["state"], followed_at=iso_time(each.body["createdAt"]))
            for id, each in zip(page.ids(), page.documents, strict=True)
        ]
        cursor = self._calls.cursor(call, page.next, "following")
        return json_response(FollowedPeople(items=items, next_cursor=cursor), cache=PRIVATE)

    # ---- blocks

    @social_endpoint(
        "PUT",
        "v1/blocks/{id}",
        "Block a person",
        description="Neither sees anything of the other any more, and their follows of each other end. The blocked "
        "person is not notified.",
        responses=_DONE,
        problems=("cannot_block", "too_many", "not_found"),
    )
    async def put_block(self, call: Call) -> func.HttpResponse:
        """Block a person."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            await self._graph.block(self._calls.me(call), self._calls.other(call))
        return _done()

    @social_endpoint(
        "DELETE",
        "v1/blocks/{id}",
        "Unblock a person",
        description="Follows that the block ended stay ended.",
        responses=_DONE,
        problems=("not_found",),
    )
    async def delete_block(self, call: Call) -> func.HttpResponse:
        """Unblock a person."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            await self._graph.unblock(self._calls.me(call), self._calls.other(call))
        return _done()

    @social_endpoint(
        "GET",
        "v1/me/blocks",
        "List blocked people",
        parameters=PAGE,
        responses={
            200: Response(
                "A page.",
                BlocksPage,
                {"items": [{"id": EXAMPLE_ID, "at": "2026-11-20T12:00:00Z"}], "nextCursor": None},
            )
        },
        problems=PAGE_PROBLEMS,
    )
    async def get_blocks(self, call: Call) -> func.HttpResponse:
        """Return a page of the people the caller blocks."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            after, limit = self._calls.after(call, "blocks"), self._calls.limit(call)
            page = await self._pages.blocks(self._calls.me(call), after, limit)
        items = [
            BlockedPerson(id=id, at=iso_time(each.body["at"]))
            for id, each in zip(page.ids(), page.documents, strict=True)
        ]
        cursor = self._calls.cursor(call, page.next, "blocks")
        return json_response(BlocksPage(items=items, next_cursor=cursor), cache=PRIVATE)


def _done() -> func.HttpResponse:
    return HttpResponse(status_code=204, headers={**BASE_HEADERS, "Cache-Control": PRIVATE})
