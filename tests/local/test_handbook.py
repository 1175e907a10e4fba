"""The documentation served by the local host: complete, with working links, and without active content."""

from __future__ import annotations

import re

from local.handbook import DOCS, INDEX, files_of, name_of, page

LINK = re.compile(r'(?:href|src)="([^"]+)"')


def test_every_page_and_every_internal_link_is_served():
    files = files_of(DOCS)
    for path in DOCS.rglob("*.md"):
        assert name_of(path.relative_to(DOCS.parent).as_posix()) in files
    for name, body in files.items():
        if not name.endswith((".md", ".html")):
            continue
        for target in LINK.findall(body.decode()):
            inside = target.partition("#")[0].removeprefix("/handbook/")
            assert inside in ("", "/", "/handbook", "data:,", *files) or "://" in target, (name, target)


def test_page_list_excludes_decisions():
    listed = set(LINK.findall(files_of(DOCS)[INDEX].decode()))
    assert {f"/handbook/{path.name}" for path in DOCS.glob("*.md")} < listed
    assert not any("/00" in target for target in listed)


def test_no_two_files_have_the_same_name():
    paths = [path for path in DOCS.rglob("*") if path.suffix in (".md", ".png", ".gif")]
    assert len({name_of(path.relative_to(DOCS.parent).as_posix()) for path in paths}) == len(paths)


def test_markup_is_escaped_and_links_out_of_the_docs_are_dropped():
    text = "# A `b` <i>\n\n<script>alert(1)</script>\n\n[code](../infra/operate.py) [one](api.md#x)\n"
    title, made = page(text, {"api.md"})
    assert title == "A b <i>"
    assert "<script" not in made
    assert "&lt;script&gt;" in made
    assert 'href="../' not in made
    assert 'title="In the repository: ../infra/operate.py"' in made
    assert 'href="/handbook/api.md#x"' in made
