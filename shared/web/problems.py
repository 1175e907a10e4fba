"""Problems: a status, a stable code and a sentence for a request that cannot be served.

Problem                an answer other than 2xx, on purpose
(anything else)        a defect; the caller gets a 500 with an error id and nothing more
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Problem(Exception):
    """Carried up to the endpoint and rendered as `application/problem+json` (RFC 9457).

    `detail` must not hold what the caller sent: it may be a key, a hash or an e-mail address. `errors` say the same of
    single fields, where a document has several faults: each with `field`, `code` and `message`. `headers` are sent too.
    `error_id` is set to that of a line which the log has already.
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
    """400: malformed, or something required is missing."""
    return Problem(400, code, detail)


def unauthorized() -> Problem:
    """401: the same for an unknown tenant and a wrong key, so that neither can be guessed from the answer."""
    return Problem(401, "unauthorized", "The tenant or its key is not valid.")


def forbidden(scope: str) -> Problem:
    """403: a valid key without the scope this call needs."""
    return Problem(403, "forbidden", f"This key does not have the scope '{scope}'.")


def clock_wrong() -> Problem:
    """503: this instance does not know what time it is; nothing was accepted."""
    return Problem(503, "clock_wrong", "This instance's clock is wrong. Send it again, unchanged.", 5.0)


def unavailable(detail: str, retry_after_seconds: float | None = None) -> Problem:
    """503: a dependency is down; nothing was accepted."""
    return Problem(503, "unavailable", detail, retry_after_seconds or 2.0)
