"""Served links and numbers have one form that strict clients can parse."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.documents.port import VIDEOS, Upsert
from shared.domain.links import MAX_CHARS, InvalidLink, canonical_link, link_or_none
from tests.cms.editor import VIDEO, new_editor
from tests.served_app import App, make_video

pytestmark = pytest.mark.asyncio(loop_scope="module")

# RFC 3986, appendix A, for URIs with a host that is a name of the DNS or an address.
_UNRESERVED, _SUB, _HEX = r"A-Za-z0-9\-._~", r"!$&'()*+,;=", "%[0-9A-Fa-f]{2}"
_PCHAR = rf"(?:[{_UNRESERVED}{_SUB}:@]|{_HEX})"
STRICT = re.compile(
    rf"https?://(?:(?:[{_UNRESERVED}{_SUB}:]|{_HEX})*@)?(?:\[[0-9a-f:]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?)"
    rf"(?::(?P<port>[1-9][0-9]{{0,4}}))?(?:/{_PCHAR}*)+(?:\?(?:{_PCHAR}|[/?])*)?(?:\#(?:{_PCHAR}|[/?])*)?"
)
READ = {
    "https://cdn.example/a|b{c}.m3u8": "https://cdn.example/a%7Cb%7Bc%7D.m3u8",
    "https://cdn.example/видео.m3u8": "https://cdn.example/%D0%B2%D0%B8%D0%B4%D0%B5%D0%BE.m3u8",
    "https://bücher.example/a": "https://xn--bcher-kva.example/a",
    "https://ПРИМЕР.РФ:8443/a b?q[]=ü#t=10": "https://xn--e1afmkfd.xn--p1ai:8443/a%20b?q%5B%5D=%C3%BC#t=10",
    "HTTPS://CDN.Example:443/%7ea%2F": "https://cdn.example/%7ea%2F",
    "https://cdn.example/100%.m3u8": "https://cdn.example/100%25.m3u8",
    "https://cdn.example": "https://cdn.example/",
    "https://cdn.example?a": "https://cdn.example/?a",
    "https://[2001:DB8::1]:8443/a": "https://[2001:db8::1]:8443/a",
    "https://192.0.2.7/a": "https://192.0.2.7/a",
    "https://r3---sn-x.video.example/a?sig=A%2b": "https://r3---sn-x.video.example/a?sig=A%2b",
    "https://my_bucket.s3.example/a": "https://my_bucket.s3.example/a",
    "https://cdn.example/cafe\u0301": "https://cdn.example/cafe%CC%81",
}
REFUSED = (
    "https://[bad/a", "https://[::1/a", "https://::1]/a", "https://[1.2.3.4]/a", "https://[fe80::1%25eth0]/a",
    "cdn.example\\a", "https://cdn.example\\a", "https://cdn.example/a\\b", "https://cdn.example:99999/a",
    "https://cdn.example:0/a", "https://cdn.example:x/a", "https://cdn.example:+80/a", "https://a:b@cdn.example/a",
    "https://anna@cdn.example/a", "http://cdn.example/a", "ftp://cdn.example/a", "javascript:alert(1)",
    "//cdn.example/a", "https:cdn.example/a", "https:///a", "https://", "cdn.example/a", "https://cdn example/a",
    "https://a..b/c", "https://-a.example/c", "https://999.1.1.1/a", "https://1.2.3/a", "https://☃.example/",
    "https://cdn.example/a\nb", "https://cdn.example/a\u202eb", "https://cdn.example/a\x07", "https://cdn.%65xample/a",
    "https://" + "a" * 64 + ".example/", "https://cdn.example/" + "ж" * 1_000,
)  # fmt: skip


def is_strict(link: str) -> bool:
    match = STRICT.fullmatch(link)
    return match is not None and int(match["port"] or 1) <= 65_535


@pytest.mark.parametrize("link", READ)
async def test_links_are_stored_and_served_in_a_form_strict_clients_read(app: App, link: str) -> None:
    editor = await new_editor(app)
    video = {**VIDEO, "playbackUrl": link, "thumbnailUrl": link}
    created = await editor.post("videos", {"id": "v1", **video})
    assert (created.json["playbackUrl"], created.json["thumbnailUrl"]) == (READ[link], READ[link])
    assert (await editor.post("imports", {"videos": [{"id": "v1", **video}]})).json["counts"] == {"unchanged": 1}
    await editor.seen()
    item = (await editor.client.feed()).json["items"][0]
    assert (item["playbackUrl"], item["thumbnailUrl"]) == (READ[link], READ[link])
    assert is_strict(READ[link])


@pytest.mark.parametrize("link", REFUSED)
async def test_link_that_is_no_https_uri_is_refused_with_a_remedy(app: App, link: str) -> None:
    editor = await new_editor(app)
    for name in ("playbackUrl", "thumbnailUrl"):
        video = {"id": "v1", **VIDEO, name: link}
        refused = await editor.post("videos", video)
        assert (refused.status, refused.json["errors"][0]["code"]) == (422, "invalid_link")
        assert re.match(rf"{name} (must|has|can have) .{{20,}}\.", refused.json["detail"])
        rows = (await editor.post("imports", {"videos": [video]})).json["rows"]
        assert [error["field"] for error in rows[0]["errors"]] == [name]


async def test_older_stored_links_are_served_in_the_same_form_or_left_out(app: App) -> None:
    stored = {
        "http": "http://cdn.example/a|b",
        "user": "https://anna:pw@cdn.example/a",
        "cyrillic": "https://cdn.example/видео",
        "bad": "https://[bad/a",
        "port": "https://cdn.example:99999/a",
        "empty": "",
    }
    editor = await new_editor(app, [make_video(id, playback_url=link) for id, link in stored.items()])
    odd = make_video("thumbnail", thumbnail_url="cdn.example\\a").to_document()
    await app.documents.write(VIDEOS, editor.tenant_id, [Upsert(odd)])
    before = app.counted("unreadable_links", "playback"), app.counted("unreadable_links", "thumbnail")
    served = (await editor.client.feed()).json["items"]
    assert sorted(item["videoId"] for item in served) == ["cyrillic", "http", "thumbnail", "user"]
    assert all(is_strict(item["playbackUrl"]) for item in served)
    assert [item["thumbnailUrl"] for item in served] == [None] * 4
    after = app.counted("unreadable_links", "playback"), app.counted("unreadable_links", "thumbnail")
    assert (after[0] - before[0], after[1] - before[1]) == (3, 1)
    assert (await editor.get("videos/bad")).json["state"] == "inactive"


async def test_older_stored_link_does_not_block_other_changes(app: App) -> None:
    editor = await new_editor(app, [make_video("bad", playback_url="https://[bad/a"),
                                    make_video("http", playback_url="http://cdn.example/a|b")])  # fmt: skip
    for id, link in (("bad", "https://[bad/a"), ("http", "http://cdn.example/a%7Cb")):
        changed = await editor.change("PATCH", f"videos/{id}", {"title": "New"})
        assert (changed.status, changed.json["playbackUrl"]) == (200, link)
        again = await editor.change("PUT", f"videos/{id}", (await editor.get(f"videos/{id}")).json)
        assert again.status == 200
        assert (await editor.change("PATCH", f"videos/{id}", {"playbackUrl": "http://other.example/"})).status == 422
    mended = await editor.change("PATCH", "videos/bad", {"playbackUrl": "https://cdn.example/a"})
    assert mended.json["state"] == "live"
    await editor.seen()
    assert sorted((await editor.client.feed()).ids) == ["bad", "http"]


LINKS = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["https", "HTTPS", "http"]),
    st.text("abc.é1-_[]:@%2 ж", max_size=12) | st.sampled_from(["cdn.example", "[::1]", "1.2.3.4", "b\xfccher.de:80"]),
    st.text('/ab|{}%é2F\\ "^`<>[]\u0301;=&', max_size=20).map(lambda path: f"/{path}"),
    st.just("") | st.text("ab=&[]|%é2?/", max_size=9).map(lambda query: f"?{query}"),
    st.just("") | st.text("ab#%é", max_size=5).map(lambda fragment: f"#{fragment}"),
)


@given(LINKS | st.text() | st.text(max_size=30).map("https://cdn.example/{}".format), st.booleans())
@example("https://a.b:443/", True)
async def test_accepted_link_is_strict_and_canonical(text: str, stored: bool) -> None:
    try:
        link = canonical_link(text, stored=stored)
    except InvalidLink:
        assert not stored or link_or_none(text) is None
        return
    assert is_strict(link)
    assert len(link) <= MAX_CHARS
    assert canonical_link(link, stored=stored) == link
    assert link_or_none(link) == link


# ---- numbers


@pytest.mark.parametrize("seconds", [12, 12.0, 12.5, "12", "12 s"])
async def test_each_served_number_has_one_spelling(app: App, seconds: Any) -> None:
    editor = await new_editor(app)
    created = await editor.post("videos", {"id": "v1", **VIDEO, "durationSeconds": seconds})
    spelled = b'"durationSeconds":12.5' if seconds == 12.5 else b'"durationSeconds":12.0'
    await editor.seen()
    feed = await editor.client.feed()
    for answer in (created, feed, await editor.get("videos/v1"), await editor.get("videos")):
        assert spelled in answer.body
    assert re.search(rb'"score":-?[0-9]+\.[0-9]{6},', feed.body)
    assert b'"editorialBoost":0.0' in created.body


async def test_integral_floats_from_a_store_are_spelled_as_integers(app: App) -> None:
    stored = {**make_video("v1").to_document(), "durationSeconds": 12, "editorialBoost": 0, "popularityOverride": 50}
    editor = await new_editor(app)
    await app.documents.write(VIDEOS, editor.tenant_id, [Upsert(stored)])
    read = (await editor.get("videos/v1")).body
    for spelled in (b'"durationSeconds":12.0', b'"editorialBoost":0.0', b'"popularityOverride":50.0'):
        assert spelled in read
    assert orjson.loads(read)["durationSeconds"] == 12
