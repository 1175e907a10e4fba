"""Media ticket: a signed token that names the hosts from which the Studio, a tenant's CMS page, can load media. Pure.

The page is opened without a key, so the server does not know the tenant. The ticket has the list of hosts and an expiry
time, with a MAC. Its text has only letters, digits, `.` and `_`, because firewalls count dashes.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterable

from shared.domain import alphabet
from shared.domain.keys import SigningKeys
from shared.domain.media_hosts import MAX_HOSTS, is_media_host

PURPOSE = "studio-media"
TICKET_SECONDS = 300
MAX_TICKET_CHARS = 1_600
_HEAD = struct.Struct("<BI")
_MAC_BYTES = 32


def sign_ticket(hosts: Iterable[str], keys: SigningKeys, now: float) -> str:
    """Return a ticket for these hosts, valid for `TICKET_SECONDS`."""
    body = _HEAD.pack(keys.current_tag, int(now) + TICKET_SECONDS) + ",".join(hosts).encode()
    return alphabet.to_text(body + keys.macs[keys.current_tag](body))


def hosts_of_ticket(text: str, keys: SigningKeys, now: float) -> tuple[str, ...]:
    """Return the hosts of a ticket, each checked again; () for a forged or expired one, or one of other keys."""
    if len(text) > MAX_TICKET_CHARS:
        return ()
    try:
        raw = alphabet.from_text(text)
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        tag, ends = _HEAD.unpack_from(body)
        if not hmac.compare_digest(mac, keys.macs[tag](body)) or not now < ends <= now + 2 * TICKET_SECONDS:
            return ()
        hosts = body[_HEAD.size :].decode("ascii").split(",")
    except (ValueError, KeyError, struct.error):
        return ()
    return tuple(host for host in hosts[:MAX_HOSTS] if is_media_host(host))
