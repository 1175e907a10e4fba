"""Links within the repository lead to an existing file and heading, and the paths that pages name exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import ROOT, Page, pages, slug

ROOMS = ("feed", "events", "ranking", "cms", "shared", "local", "evaluation", "benchmarks", "docs", "tests", "infra")
SEEN_IN_CODE = ("*.py", "*.yml", "*.bicep", "*.html", "*.js", "Makefile")


def _wrong(page: Page, link: str) -> str | None:
    if re.match(r"[a-z]+:", link):  # elsewhere, or a route of the demo: a test needs no network
        return None
    path, _, anchor = link.partition("#")
    target = (ROOT / page.name).parent / path if path else ROOT / page.name
    if not target.exists():
        return "leads to no file"
    if not anchor:
        return None
    name = target.resolve().relative_to(ROOT).as_posix()
    if name not in pages():
        return "has an anchor in what is no page"
    return None if anchor in pages()[name].anchors else "leads to no heading of that page"


def test_every_link_has_an_existing_target() -> None:
    wrong = [
        f"{passage.place}: {link} {why}"
        for page in pages().values()
        for passage, link in page.links()
        if (why := _wrong(page, link)) is not None
    ]
    assert wrong == []


def test_every_file_named_on_a_page_exists() -> None:
    """Text in backticks that begins with a package is a path: of a file, a folder, or with `*` of several."""
    wrong = []
    for page in pages().values():
        for passage, code in page.inline_code():
            path = code.partition("::")[0].partition(":")[0]
            if path.split("/")[0] not in ROOMS or "/" not in path or "…" in path or "TENANT" in path:
                continue
            if not re.fullmatch(r"[\w./*-]+", path):
                continue
            if not (list(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()):
                wrong.append(f"{passage.place}: {code}")
    assert wrong == []


def test_every_page_named_in_the_code_exists() -> None:
    files = [path for room in ROOMS for kind in SEEN_IN_CODE for path in (ROOT / room).rglob(kind)]
    files += [ROOT / "function_app.py", ROOT / "Makefile", *(ROOT / ".github").rglob("*.yml")]
    wrong = []
    for path in files:
        if "node_modules" in path.parts or path == Path(__file__):
            continue
        for found in re.finditer(r"\bdocs/[\w/-]+\.md(?:#[\w-]+)?", path.read_text(encoding="utf-8")):
            name, _, anchor = found[0].partition("#")
            if name not in pages() or (anchor and anchor not in pages()[name].anchors):
                wrong.append(f"{path.relative_to(ROOT)}: {found[0]}")
    assert wrong == []


def test_every_page_is_checked() -> None:
    left_out = {".venv", "node_modules", ".data", ".git", "build"}
    every = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.md")
        if not left_out & set(path.relative_to(ROOT).parts)
    }
    assert every == set(pages())


def test_every_page_is_reachable_from_the_readme() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for _, link in pages()[name].links():
            target = ((ROOT / name).parent / link.partition("#")[0]).resolve()
            if target.is_dir():
                waiting += [each for each in pages() if (ROOT / each).parent == target]
            elif target.suffix == ".md" and target.is_relative_to(ROOT):
                waiting.append(target.relative_to(ROOT).as_posix())
    assert sorted(set(pages()) - reached) == []


def test_heading_anchor_is_built_as_github_builds_it() -> None:
    assert slug("What counts *where*, and `why`: 2–3 ways") == "what-counts-where-and-why-23-ways"
    assert slug("Erasure: `POST /v1/privacy/erase`") == "erasure-post-v1privacyerase"
    assert slug("host.json, line by line") == "hostjson-line-by-line"
