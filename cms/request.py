"""Parses a CMS request: body, `If-Match`, page, reason and author."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from cms.changes import Author
from shared.domain import alphabet
from shared.domain.formats import VIDEO_ID, Format
from shared.domain.text import without_odd_characters
from shared.web.bodies import read_json
from shared.web.endpoint import Call
from shared.web.problems import Problem, bad_request

MAX_BODY_BYTES = 1_000_000
MAX_PAGE = 200
_ETAG = re.compile(r'(?:W/)?"([^"]{1,200})"|([^"\s,]{1,200})')
_CURSOR = re.compile(r"[A-Za-z0-9._-]{1,400}")
_HEADER_REASON = re.compile(r"[ -~]{0,300}")


@dataclass(slots=True)
class CmsRequest(Call):
    """An authenticated CMS request. Handlers access only the partition of `tenant_id`."""

    @property
    def tenant_id(self) -> str:
        return self.caller.tenant.id

    def author(self, why: str | None = None) -> Author:
        """Return the author of a change. `why` is the body's `reason`; without it the header `X-Reason` counts.

        Raises a 400 `Problem` if the reason is too long, or the header is not printable ASCII.
        """
        header = self.request.headers.get("x-reason") or ""
        if not _HEADER_REASON.fullmatch(header):
            raise bad_request("invalid_reason", "X-Reason must be at most 300 printable ASCII characters.")
        given = why or header
        if len(given) > 300:
            raise bad_request("invalid_reason", "A reason can have at most 300 characters.")
        who = self.caller.key_name
        return Author(
            f"{who} (operator)" if self.caller.operator else who, self.now, without_odd_characters(given) or None
        )

    def path(self, name: str, form: Format = VIDEO_ID) -> str:
        """Return a part of the path. Raises a 404 `Problem` if it does not have the form of an id."""
        value: str = self.request.route_params.get(name, "")
        if not form.matches(value):
            raise Problem(404, "not_found", "Not found.")
        return value

    def body(self) -> dict[str, Any]:
        """Parse the body as a JSON object. Raises a 4xx `Problem`."""
        read = read_json(self.request, MAX_BODY_BYTES)
        if not isinstance(read, dict):
            raise bad_request("invalid_body", "Send a JSON object.")
        return read

    def optional_body(self) -> dict[str, Any]:
        """Parse the body as a JSON object; {} without a body."""
        return self.body() if self.request.get_body() else {}

    def if_match(self) -> str:
        """Return the ETag in `If-Match`. Raises a 400 `Problem` if it is missing or malformed."""
        given = self.optional_if_match()
        if given is None:
            raise bad_request(
                "missing_if_match",
                "If-Match is missing. Send the ETag from your last read, so nobody's change is lost.",
            )
        return given

    def optional_if_match(self) -> str | None:
        given = self.request.headers.get("if-match", "").strip()
        if not given:
            return None
        match = _ETAG.fullmatch(given)
        if given == "*" or match is None:
            raise bad_request("invalid_if_match", "If-Match must be exactly one ETag, unchanged from your last read.")
        return match[1] or match[2]

    def confirmed(self) -> bool:
        """Return whether the caller confirms that viewers will see stronger ratings."""
        given: str = self.request.headers.get("x-confirm-maturity", "")
        return given.strip().lower() == "yes"

    def page(self, default: int = 50) -> tuple[int, str | None]:
        """Parse `limit` and the id to continue after (None: from the start). Raises a 400 `Problem`."""
        text = self.request.params.get("limit")
        limit = default
        if text is not None:
            if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_PAGE:
                raise bad_request("invalid_limit", f"limit must be a whole number from 1 to {MAX_PAGE}.")
            limit = int(text)
        cursor = self.request.params.get("cursor")
        return limit, _read_cursor(cursor) if cursor else None


def quoted(etag: str) -> str:
    """Return a store's ETag in quotes, as in the header."""
    return '"' + etag.strip('"') + '"'


def bare(etag: str) -> str:
    """Return a store's ETag without quotes, to compare with `If-Match`."""
    return etag.strip('"')


def cursor_after(id: str | None) -> str | None:
    """Build the cursor that continues a list after an id.

    It need not be encrypted, because lists only return data of the caller's own tenant.
    """
    if id is None:
        return None
    check = hashlib.blake2b(id.encode(), digest_size=3).digest()
    return alphabet.to_text(check + id.encode())


def _read_cursor(text: str) -> str:
    try:
        if not _CURSOR.fullmatch(text):
            raise ValueError
        raw = alphabet.from_text(text)
        id = raw[3:].decode()
        if alphabet.from_text(cursor_after(id) or "") != raw:
            raise ValueError
        return id
    except ValueError:
        raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.") from None
