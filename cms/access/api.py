"""CMS endpoints of API keys and public keys; all require scope `ops`.

A tenant's own `ops` key manages that tenant's keys; only the platform's keys can manage several tenants. Other
instances see a change at their next refresh of tenants.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import azure.functions as func

from cms.access.models import (
    PUBLIC_KEY_PREFIX,
    KeyNameForm,
    Keys,
    ListedKey,
    ListedPublicKey,
    NewKey,
    NewKeyForm,
    PublicKey,
    PublicKeys,
    RotatedKey,
    RotationForm,
    StoredKey,
    UserTokenKeyForm,
    issue,
    key_fields,
    public_key_document,
    public_key_fields,
    public_key_view,
)
from cms.changes import already_exists, not_found, without_tombstone
from cms.documents import Check, DocumentFlow, no_content, require_match_if_given
from cms.endpoint import OPTIONAL_IF_MATCH, OPTIONAL_IF_MATCH_PROBLEMS, REASON, cms_endpoint
from cms.forms import Fault, checked, refused
from cms.request import CmsRequest, quoted
from shared.adapters.documents.port import Create, Document, Json
from shared.adapters.tenant_directory import KEY_PREFIX, PLATFORM, ApiKey
from shared.domain.formats import KEY_ID, TOKEN_KEY_ID, iso_time
from shared.domain.keys import Identity
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem, forbidden

_key_endpoint = partial(cms_endpoint, tag="access", scopes=("ops",), platform=True)


class KeysApi:
    """Lists, issues, renames, rotates and revokes API keys of a tenant or the platform."""

    def __init__(self, edge: Edge, flow: DocumentFlow, identity: Identity) -> None:
        self.edge = edge
        self._flow = flow
        self._identity = identity

    @_key_endpoint("GET", "keys", "List keys", {200: Keys})
    async def list_keys(self, call: CmsRequest) -> func.HttpResponse:
        """Return the tenant's keys, sorted by name."""
        found = [(_record(each), quoted(each.etag)) for each in await self._flow.list(call.tenant_id, KEY_PREFIX)]
        keys = [
            ListedKey.unchecked(**key_fields(record, call.now), etag=etag)
            for record, etag in found
            if record is not None
        ]
        return json_response(Keys.unchecked(keys=sorted(keys, key=lambda each: (each.name, each.id))))

    @_key_endpoint(
        "POST",
        "keys",
        "Issue a key, shown once",
        {201: NewKey},
        body=NewKeyForm,
        example={"name": "Anna", "scopes": ["cms"]},
        parameters=(REASON,),
        problems=("invalid_document", "already_active", "already_exists", "too_many", "conflict"),
    )
    async def issue_key(self, call: CmsRequest) -> func.HttpResponse:
        """Issue a key. Only this response shows it."""
        form = checked(NewKeyForm, call.body())
        if form.expires_at is not None and form.expires_at <= call.now:
            raise refused([Fault("expiresAt", "in_the_past", "expiresAt must be in the future.")])
        _require_operator_for_ops(call, form.scopes)
        author = call.author()
        key, record = issue(self._identity, form.name, form.scopes, form.expires_at, author.at, author.who)

        async def check() -> None:
            await self._require_free_name(call, form.name)

        document = record.to_document()
        await self._flow.write(call.tenant_id, "key", record.name, "issue", None, document, author, check=check)
        return json_response(NewKey.unchecked(**key_fields(record, call.now), key=key), 201)

    @_key_endpoint(
        "PATCH",
        "keys/{id}",
        "Rename a key",
        {200: StoredKey},
        body=KeyNameForm,
        example={"name": "Anna"},
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=("invalid_document", "already_active", *OPTIONAL_IF_MATCH_PROBLEMS),
    )
    async def rename_key(self, call: CmsRequest) -> func.HttpResponse:
        """Rename a key."""
        stored = await self._stored(call)
        require_match_if_given(call, stored)
        old = _require_record(stored)
        form = checked(KeyNameForm, call.body())
        body = {**stored.body, "name": form.name}

        async def check() -> None:
            if form.name != old.name:
                await self._require_free_name(call, form.name)

        await self._write(call, "rename", stored, body, check)
        return json_response(StoredKey.unchecked(**key_fields(ApiKey.from_document(body), call.now)))

    @_key_endpoint(
        "DELETE",
        "keys/{id}",
        "Revoke a key",
        {204: None},
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=("last_key", "invalid_reason", *OPTIONAL_IF_MATCH_PROBLEMS),
    )
    async def revoke_key(self, call: CmsRequest) -> func.HttpResponse:
        """Revoke a key, even if its document is damaged."""
        stored = await self._stored(call)
        require_match_if_given(call, stored)

        async def check() -> None:
            if call.tenant_id == PLATFORM and not _is_operable_without(await self._records(call), stored.id):
                raise Problem(409, "last_key", "This is the last key of the platform. Issue another one first.")

        await self._write(call, "revoke", stored, None, check)
        return no_content()

    @_key_endpoint(
        "POST",
        "keys/{id}/rotate",
        "Issue a key's successor",
        {201: RotatedKey},
        body=RotationForm,
        example={"overlapHours": 24},
        body_required=False,
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=("invalid_document", "already_active", "already_exists", "too_many", *OPTIONAL_IF_MATCH_PROBLEMS),
    )
    async def rotate_key(self, call: CmsRequest) -> func.HttpResponse:
        """Issue a successor of the same name and scopes. The old key works for another `overlapHours`."""
        form = checked(RotationForm, call.optional_body())
        stored = await self._stored(call)
        require_match_if_given(call, stored)
        old = _require_record(stored)
        _require_operator_for_ops(call, old.scopes)
        ends_at = call.now + form.overlap_hours * 3_600.0
        if old.expires_at is not None:
            ends_at = min(ends_at, old.expires_at)
        author = call.author()
        key, record = issue(self._identity, old.name, old.scopes, None, author.at, author.who)

        async def check() -> None:
            if _active_keys(await self._records(call), old.name, call.now) > 1:
                what = "Two keys of that name are active already: revoke one, or wait for the old one to end."
                raise Problem(409, "already_active", what)

        ending = {**stored.body, "expiresAt": ends_at}
        await self._write(call, "rotate", stored, ending, check, Create(record.to_document()))
        rotated = RotatedKey.unchecked(**key_fields(record, call.now), key=key, old_key_ends_at=iso_time(ends_at))
        return json_response(rotated, 201)

    async def _records(self, call: CmsRequest) -> list[ApiKey]:
        """Read the tenant's keys, sorted by name, without damaged ones, which authenticate nobody."""
        found = [_record(each) for each in await self._flow.list(call.tenant_id, KEY_PREFIX)]
        return sorted((each for each in found if each is not None), key=lambda each: (each.name, each.id))

    async def _stored(self, call: CmsRequest) -> Document:
        """Read the key in the path. Raises a 404 `Problem`."""
        return await self._flow.require(call.tenant_id, f"{KEY_PREFIX}{call.path('id', KEY_ID)}", "key")

    async def _require_free_name(self, call: CmsRequest, name: str) -> None:
        """Raise a 409 `Problem` if an active key has this name."""
        if _active_keys(await self._records(call), name, call.now):
            what = "There is an active key of that name: rotate it, or choose another name."
            raise Problem(409, "already_active", what)

    async def _write(
        self, call: CmsRequest, action: str, stored: Document, after: Json | None, check: Check, *also: Create
    ) -> None:
        name = str(stored.body.get("name"))
        await self._flow.write(call.tenant_id, "key", name, action, stored, after, call.author(), also, check)


class PublicKeysApi:
    """Lists, adds and removes public keys that verify user tokens. Several can be active, so a key can be replaced."""

    def __init__(self, edge: Edge, flow: DocumentFlow) -> None:
        self.edge = edge
        self._flow = flow

    @_key_endpoint("GET", "user-token-keys", "List public keys for user tokens", {200: PublicKeys})
    async def list_public_keys(self, call: CmsRequest) -> func.HttpResponse:
        """Return the tenant's public keys."""
        stored = await self._flow.list(call.tenant_id, PUBLIC_KEY_PREFIX)
        keys = [ListedPublicKey.unchecked(**public_key_fields(each.body), etag=quoted(each.etag)) for each in stored]
        return json_response(PublicKeys.unchecked(keys=keys))

    @_key_endpoint(
        "POST",
        "user-token-keys",
        "Add a public key for user tokens",
        {201: PublicKey},
        body=UserTokenKeyForm,
        example={"keyId": "2026", "publicKey": "-----BEGIN PUBLIC KEY-----…"},
        problems=("invalid_document", "already_exists", "too_many", "conflict", "stale_etag"),
    )
    async def add_public_key(self, call: CmsRequest) -> func.HttpResponse:
        """Add a public key."""
        form = checked(UserTokenKeyForm, call.body())
        author = call.author()
        body = public_key_document(form, call.now, author.who)
        before = await self._flow.stored(call.tenant_id, body["id"])
        if without_tombstone(before):
            raise already_exists("public key")
        await self._flow.write(call.tenant_id, "public key", form.key_id, "add", before, body, author)
        return json_response(public_key_view(body), 201)

    @_key_endpoint(
        "DELETE",
        "user-token-keys/{id}",
        "Remove a public key",
        {204: None},
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=("invalid_reason", *OPTIONAL_IF_MATCH_PROBLEMS),
    )
    async def remove_public_key(self, call: CmsRequest) -> func.HttpResponse:
        """Remove a public key. Tokens signed with it are refused from then on."""
        key_id = call.path("id", TOKEN_KEY_ID)
        stored = await self._flow.require(call.tenant_id, f"{PUBLIC_KEY_PREFIX}{key_id}", "public key")
        require_match_if_given(call, stored)
        await self._flow.write(call.tenant_id, "public key", key_id, "remove", stored, None, call.author())
        return no_content()


def _require_operator_for_ops(call: CmsRequest, scopes: Iterable[str]) -> None:
    """Raise a 403 `Problem` if the key would have scope `ops` and the caller is not an operator."""
    if "ops" in scopes and not call.caller.operator:
        raise forbidden("ops of the platform")


def _active_keys(records: Iterable[ApiKey], name: str, now: float) -> int:
    """Count the active keys of a name. A name belongs to one holder: one key, or two during a rotation."""
    return sum(each.name == name and each.active(now) for each in records)


def _is_operable_without(records: Iterable[ApiKey], id: str) -> bool:
    """Return whether another key of scope `ops` without expiry remains if the key of this id is revoked."""
    return any("ops" in each.scopes and each.expires_at is None for each in records if each.id != id)


def _record(stored: Document) -> ApiKey | None:
    """Parse a stored key; None if its document is damaged."""
    try:
        return ApiKey.from_document(stored.body)
    except ValueError:
        return None


def _require_record(stored: Document) -> ApiKey:
    """Parse a stored key. Raises a 404 `Problem` if its document is damaged."""
    record = _record(stored)
    if record is None:
        raise not_found("key")
    return record
