"""Serves the pages of `docs/` at `/handbook`, which the start page links. Only the local host has it."""

from __future__ import annotations

import html
from collections.abc import Container
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath

import azure.functions as func
from markdown_it import MarkdownIt
from markdown_it.token import Token

from local.page_files import page_file
from shared.web.declaration import Response
from shared.web.endpoint import Edge, endpoint

DOCS = Path(__file__).parent.parent / "docs"
STYLE = Path(__file__).parent / "front" / "handbook.css"
INDEX = "index.html"
PICTURES = (".png", ".gif")
_RESPONSES = {
    200: Response("A page, or a picture of one.", {"type": "string"}, media_type="text/html"),
    304: Response("As you have it."),
}
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


class HandbookApi:
    """Serves the documentation. All pages are made at the first request."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge

    @endpoint("GET", "handbook", "The documentation", tag="service", responses=_RESPONSES)
    async def open_handbook(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer the list of pages."""
        return page_file(self._files, INDEX, request)

    @endpoint("GET", "handbook/{file}", "A page of it", tag="service", responses=_RESPONSES, problems=("not_found",))
    async def get_page(self, request: func.HttpRequest) -> func.HttpResponse:
        """Answer a page or a picture. Raises a 404 `Problem` for an unknown name."""
        return page_file(self._files, request.route_params["file"], request)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return files_of(DOCS)


def files_of(docs: Path) -> dict[str, bytes]:
    """Return every page as HTML, every picture and the list of pages, by the names of `name_of`."""
    files, titles = {STYLE.name: STYLE.read_bytes()}, {}
    paths = {name_of(path.relative_to(docs.parent).as_posix()): path for path in sorted(docs.rglob("*"))}
    for name, path in paths.items():
        if path.suffix == ".md":
            titles[name], text = page(path.read_text(encoding="utf-8"), paths)
            files[name] = text.encode()
        elif path.suffix in PICTURES:
            files[name] = path.read_bytes()
    links = "".join(
        f'<li><a href="/handbook/{name}">{html.escape(title)}</a></li>\n'
        for name, title in titles.items()
        if not name[:4].isdigit()  # decisions have a list of their own
    )
    files[INDEX] = _whole("Documentation", f"<h1>Documentation</h1>\n<ul>\n{links}</ul>\n").encode()
    return files


def name_of(path: str) -> str:
    """Return the name of a file of `docs/` in the handbook, which has no folders.

    >>> name_of("docs/decisions/README.md"), name_of("../images/studio.png")
    ('decisions.md', 'studio.png')
    """
    parts = PurePosixPath(path)
    return f"{parts.parent.name}.md" if parts.name == "README.md" else parts.name


def page(text: str, names: Container[str]) -> tuple[str, str]:
    """Convert a Markdown page to title and HTML, in a handbook with these names. HTML in it is shown as text."""
    tokens = _MARKDOWN.parse(text)
    for token in tokens:
        if style := token.attrs.pop("style", None):  # the page's policy forbids inline styles
            token.attrSet("class", str(style).removeprefix("text-align:"))
        for inline in token.children or ():
            _lead_inside(inline, names)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    title = titles[0].replace("`", "") if titles else "Documentation"
    body = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    for wide in ("<pre>", "<table>"):  # can scroll sideways, so it must be reachable by keyboard
        body = body.replace(wide, f'{wide[:-1]} tabindex="0">')
    return title, _whole(title, body)


def _lead_inside(token: Token, names: Container[str]) -> None:
    """Point links and pictures to the handbook. Links to files that it does not have are removed."""
    for attribute in ("href", "src"):
        target = str(token.attrGet(attribute) or "")
        path, mark, anchor = target.partition("#")
        if not path or "://" in target:
            continue
        if name_of(path) in names and path.endswith((".md", *PICTURES)):
            token.attrSet(attribute, f"/handbook/{name_of(path)}{mark}{anchor}")
        else:
            del token.attrs[attribute]
            token.attrSet("title", f"In the repository: {path}")


def _whole(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)}</title>\n<link rel="icon" href="data:,">\n'
        f'<link rel="stylesheet" href="/handbook/{STYLE.name}">\n</head>\n<body>\n'
        f'<nav><a href="/">Feed</a> <a href="/handbook">All pages</a></nav>\n<main>\n{body}</main>\n</body>\n</html>\n'
    )
