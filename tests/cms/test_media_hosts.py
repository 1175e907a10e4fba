"""A tenant's media hosts are declared, audited, and allowed by the Studio's page alone."""

from __future__ import annotations

import pytest

from shared.domain.media_hosts import MAX_HOSTS
from tests.cms.editor import Editor, new_editor
from tests.served_app import App
from tests.shared.domain.test_media_ticket import STRICT, directives

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_HOSTS = ("*.example.org", "*.org", "http://a.org", "a.org:8443", "a.org/x", "10.0.0.1", "a.org; script-src *", "", 7)


async def declared(app: App, *hosts: str) -> Editor:
    editor = await new_editor(app)
    answer = await editor.change("PATCH", "configuration", {"mediaHosts": list(hosts)})
    assert answer.status == 200, answer.json
    return editor


async def test_media_hosts_are_declared_audited_and_returned_with_a_ticket(app: App) -> None:
    editor = await declared(app, "https://cdn.example.org/", "img.example.org", "cdn.example.org")
    assert (await editor.get("configuration")).json["mediaHosts"] == ["cdn.example.org", "img.example.org"]
    entry = (await editor.get("audit")).json["entries"][0]
    assert entry["changes"] == [{"field": "mediaHosts", "from": [], "to": ["cdn.example.org", "img.example.org"]}]
    found = (await editor.get("media-ticket")).json
    assert found["hosts"] == ["cdn.example.org", "img.example.org"]
    page = await app.request("GET", "/studio", query={"media": found["ticket"]})
    policy = directives(page.headers["Content-Security-Policy"])
    assert policy["media-src"] == ["https://cdn.example.org", "https://img.example.org"]
    assert policy["script-src"] == ["'self'"]
    assert b'<meta name="media-hosts" content="cdn.example.org img.example.org">' in page.body
    assert page.headers["Cache-Control"] == "no-store"
    assert (await editor.with_key("wrong-key-0123").get("media-ticket")).status == 401


@pytest.mark.parametrize("ticket", ["", "x", "https://evil.example", "A" * 1_600, "A" * 1_601])
async def test_invalid_ticket_keeps_the_strict_content_security_policy(app: App, ticket: str) -> None:
    page = await app.request("GET", "/studio", query={"media": ticket})
    assert page.status == 200
    assert page.headers["Content-Security-Policy"] == STRICT
    assert b'<meta name="media-hosts" content="">' in page.body


async def test_tenant_without_media_hosts_gets_no_ticket(app: App) -> None:
    editor = await new_editor(app)
    assert (await editor.get("media-ticket")).json == {"hosts": [], "ticket": None, "expiresAt": None}


@pytest.mark.parametrize("host", NO_HOSTS)
async def test_invalid_media_host_is_refused_with_its_position(app: App, host: object) -> None:
    editor = await new_editor(app)
    answer = await editor.change("PATCH", "configuration", {"mediaHosts": ["a.example", host]})
    assert (answer.status, answer.code) == (422, "invalid_document")
    assert answer.json["errors"][0]["field"].startswith("mediaHosts"), answer.json


async def test_too_many_or_too_long_media_hosts_are_refused(app: App) -> None:
    editor = await new_editor(app)
    for hosts in (
        [f"a{n}.example" for n in range(MAX_HOSTS + 1)],
        [f"{'a' * 60}.{'b' * n}.example" for n in range(1, 20)],
    ):
        answer = await editor.change("PATCH", "configuration", {"mediaHosts": hosts})
        assert answer.json["errors"][0]["field"] == "mediaHosts", answer.json


async def test_invalid_stored_media_hosts_are_left_out(app: App) -> None:
    editor = await new_editor(app, media_hosts=("good.example", "*.evil", "a.org; script-src *"))
    assert (await editor.get("media-ticket")).json["hosts"] == ["good.example"]
