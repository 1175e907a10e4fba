"""Converts links to canonical https URIs (RFC 3986), which strict clients accept. Pure."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

from shared.domain.text import what_is_wrong

MAX_CHARS = 4_096
"""Most characters of a canonical link, in which a letter of another script takes six or more."""
_PATH = r"A-Za-z0-9\-._~!$&'()*+,;=:@/"
_TO_ENCODE = re.compile(f"%(?![0-9A-Fa-f]{{2}})|[^{_PATH}%]")
_TO_ENCODE_AFTER_PATH = re.compile(f"%(?![0-9A-Fa-f]{{2}})|[^{_PATH}?%]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_LINK = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_CANONICAL = re.compile(
    rf"https://(?:{_LABEL}\.)+[a-z]{{2,63}}/[{_PATH}]*(?:%[0-9A-Fa-f]{{2}}[{_PATH}]*)*"
    rf"(?:[?#][{_PATH}?]*(?:%[0-9A-Fa-f]{{2}}[{_PATH}?]*)*)?"
)
"""Links that are canonical already, which most are."""
_USER = re.compile(rf"(?:[{_PATH.removesuffix('@/')}]|%[0-9A-Fa-f]{{2}})*")
_PORTS = {"https": 443, "http": 80}


class InvalidLink(ValueError):
    """Invalid link. `says`: the remedy, as the rest of a sentence that begins with the field's name."""

    def __init__(self, says: str) -> None:
        super().__init__(says)
        self.says = says


def canonical_link(text: str, *, stored: bool = False) -> str:
    """Return the link with its host in punycode and lower case, the rest percent-encoded. Raises `InvalidLink`.

    Existing escapes stay, because a signature can cover them. `stored`: a link that an earlier release accepted; it can
    have `http` and a user name.
    """
    if len(text) <= MAX_CHARS and _CANONICAL.fullmatch(text) and text.index("/", 8) <= 8 + 253:
        return text
    if len(text) > MAX_CHARS:
        raise _too_long()
    if "\\" in text:
        raise InvalidLink("has a backslash: write / instead, or %5C inside a name.")
    if re.search(r"[\t\r\n\u2028\u2029]", text) or what_is_wrong(text) is not None:
        raise InvalidLink("has a line break or a character that cannot be seen: paste it again, without it.")
    match = _LINK.fullmatch(text)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in (_PORTS if stored else ("https",)):
        raise InvalidLink("must be a whole link that begins with https://, such as https://cdn.example/a.m3u8.")
    link = (
        f"{scheme}://{_authority(match['authority'], scheme, stored)}{_encoded(match['path'] or '/', _TO_ENCODE)}"
        f"{_after(match['query'])}{_after(match['fragment'])}"
    )
    if len(link) > MAX_CHARS:
        raise _too_long()
    return link


def link_or_none(text: object) -> str | None:
    """Return a stored link in its canonical form; None for an invalid one."""
    try:
        return canonical_link(text, stored=True) if isinstance(text, str) else None
    except InvalidLink:
        return None


def _too_long() -> InvalidLink:
    return InvalidLink(f"can have at most {MAX_CHARS:,} characters, where it is percent-encoded.")


def _authority(authority: str, scheme: str, stored: bool) -> str:
    user, at, rest = authority.rpartition("@")
    if at and not (stored and _USER.fullmatch(user)):
        raise InvalidLink("must not hold a user name or a password: everyone who gets the feed would read it.")
    host, port = rest, ""
    if not rest.endswith("]"):
        host, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    return f"{user}{at}{_host(host)}{_port(port, scheme)}"


def _port(port: str, scheme: str) -> str:
    if not port:
        return ""
    if not re.fullmatch("[0-9]{1,9}", port) or not 1 <= int(port) <= 65_535:
        raise InvalidLink("has a port that is none: it must be a number from 1 to 65535.")
    return "" if int(port) == _PORTS[scheme] else f":{int(port)}"


def _host(host: str) -> str:
    if host.startswith("[") or host.endswith("]"):
        try:
            if host[0] + host[-1] != "[]" or "%" in host:  # a zone is valid on one machine only
                raise AddressValueError
            return f"[{IPv6Address(host[1:-1])}]"
        except AddressValueError:
            raise InvalidLink("has brackets in its host that hold no IPv6 address.") from None
    name = host.lower() if host.isascii() else _punycode(host)
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise InvalidLink("has a host that is no name: write it as in https://cdn.example/a.m3u8.")
    if name.rstrip(".").rpartition(".")[2].isdigit():
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            raise InvalidLink("has a host of digits that is no IPv4 address.") from None
    return name


def _punycode(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        raise InvalidLink("has a host that is no international domain name: check its spelling.") from None


def _after(part: str | None) -> str:
    """Return the text from a query's or fragment's first character on; empty without one."""
    return part[0] + _encoded(part[1:], _TO_ENCODE_AFTER_PATH) if part else ""


def _encoded(part: str, to_encode: re.Pattern[str]) -> str:
    return to_encode.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), part)
