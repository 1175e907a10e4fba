"""Error responses: a status, a stable code and a sentence for a request that cannot be served.

Problem                an intended response other than 2xx
(anything else)        a defect; the caller gets a 500 with an error id and nothing more
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Problem(Exception):
    """Error that an endpoint answers as `application/problem+json` (RFC 9457).

    `detail` must not quote the caller: the text could be a key, a hash or an e-mail address. `errors`: the faults of
    single fields of a document, each with `field`, `code` and `message`. `headers`: sent with the response. `error_id`:
    the id of a log line that exists already.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        retry_after_seconds: float | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.errors = errors
        self.headers = headers or {}
        self.error_id: str | None = None
        super().__init__(f"{status} {code}")


def bad_request(code: str, detail: str) -> Problem:
    """Return a 400: malformed, or a required part is missing."""
    return Problem(400, code, detail)


def unauthorized() -> Problem:
    """Return the 401. It is the same for an unknown tenant and for a wrong key, so the response reveals neither."""
    return Problem(401, "unauthorized", "The tenant id or its key is not valid. Check both.")


def forbidden(scope: str) -> Problem:
    """Return a 403: the key is valid, but lacks the scope of this call."""
    return Problem(403, "forbidden", f"This key does not have the scope '{scope}'. Use a key that has it.")


def clock_wrong() -> Problem:
    """Return a 503: the clock of this instance is wrong; nothing was accepted."""
    return Problem(
        503, "clock_wrong", "The clock of this server instance is wrong. Send the request again, unchanged.", 5.0
    )


def unavailable(detail: str, retry_after_seconds: float | None = None) -> Problem:
    """Return a 503: a dependency is down; nothing was accepted."""
    return Problem(503, "unavailable", detail, retry_after_seconds or 2.0)
