"""Video search finds any title, and its pages are complete and ordered."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cms.videos.list_query import ListQuery
from cms.videos.video_search import SORTS, IndexedVideo, Order, VideoFilter, search
from ranking.stats import StatsTable
from shared.adapters.documents.port import Document
from shared.domain.records import RATINGS
from shared.domain.search_text import folded, searched_words
from tests.served_app import make_video

NOW = 1_790_000_000.0
TITLES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)
WORDS = st.sampled_from(
    [
        *("Ten", "minutes", "Café", "crème", "BRÛLÉE", "C++", "(rock,paper)", "“quoted”", "ﬁne", "x²", "straße"),
        *("İstanbul", "smørrebrød", "Ёлка", "йога", "ΣΊΣΥΦΟΣ", "東京タワー", "서울", "مَرْحَبًا", "שָׁלוֹם", "हिन्दी"),
        *("👩\u200d🚀", "❤️"),
    ]
)
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)


def row(id: str = "vid_1", **fields: object) -> IndexedVideo:
    body = {**make_video(id).to_document(), **fields}
    found = IndexedVideo.from_document(Document("t", id, body, "1"))
    assert found is not None
    return found


def finds(text: str, video: IndexedVideo) -> bool:
    return VideoFilter(words=tuple(searched_words(text))).admitted([video], NOW) == [video]


@given(TITLES | st.lists(WORDS, min_size=1).map(" ".join), IDS, st.data())
def test_every_id_and_every_word_of_a_title_finds_its_video(title: str, id: str, data: st.DataObject) -> None:
    video = row(id, title=title)
    assert finds(id, video)
    assert finds(id.swapcase(), video)
    assert finds(title, video)
    for word in title.split():
        assert finds(word, video)
        assert finds(word.upper(), video)
        assert finds(word.lower(), video)
        assert finds(unicodedata.normalize("NFD", word), video)
        assert finds(word[: data.draw(st.integers(1, len(word)))], video), "the beginning of a word"


@pytest.mark.parametrize(
    ("title", "typed"),
    [("Crème brûlée", "creme brulee"), ("Ёлка и йога", "елка иога"), ("Straße", "STRASSE"), ("ΣΊΣΥΦΟΣ", "σισυφος"),
     ("İstanbul", "istanbul"), ("Smørrebrød", "smorrebrod"), ("夜の東京タワー", "東京"), ("To the Moon 👩‍🚀", "👩‍🚀"),
     ("I ❤️ core", "❤"), ("Rock,paper", "paper"), ("Ten minutes of core", "core ten"), ("“Core”", "core!"),
     ("مَرْحَبًا", "مرحبا"), ("ﬁne x²", "fine x2")],
)  # fmt: skip
def test_search_matches_the_way_people_type(title: str, typed: str) -> None:
    assert finds(typed, row(title=title))


def test_search_covers_tags_creator_and_category() -> None:
    video = row(title="Core", tags=["home gym"], creatorId="Anna K", mainTag="fitness")
    assert all(finds(text, video) for text in ("gym", "anna", "FIT", "core anna gym"))
    assert not finds("core berta", video)
    assert not finds("coreanna", video)


def test_meaningful_marks_of_other_scripts_distinguish_words() -> None:
    assert not finds("がく", row(title="かく"))
    assert folded("हिन्दी") != folded("हन्द")


@given(
    st.lists(
        st.tuples(IDS, TITLES, st.sampled_from([*RATINGS, "X"]), st.floats(0, 2e9), st.sampled_from(["", "b", "B"])),
        unique_by=lambda each: each[0],
        max_size=30,
    ),
    st.sampled_from(SORTS),
    st.booleans(),
    st.integers(1, 7),
)
def test_search_pages_hold_every_video_once_in_order(
    given_rows: list[tuple[str, str, str, float, str]], by: str, descending: bool, limit: int
) -> None:
    rows = [
        row(id, title=title, maturityRating=rating, publishedAt=at, creatorId=creator)
        for id, title, rating, at, creator in given_rows
    ]
    asked = ListQuery.of({"sort": by, "direction": "desc" if descending else "asc"})
    stats = StatsTable()
    stats.add([(each.id, NOW, "video_view", 1.0, 1.0) for each in rows[::3]])
    found = []
    after = None
    while True:
        part = search(rows, asked.wanted, asked.order, after, limit, stats, NOW)
        assert part.total == len(rows)
        assert part.places or not rows, "a page never says nothing while there is more"
        found += part.places
        if not part.more:
            break
        after = asked.place(asked.cursor(part.places[-1]))
    assert found == sorted(found, reverse=descending)
    assert sorted(id for _, id in found) == sorted(each.id for each in rows)


def test_exact_id_ranks_first_then_prefix_matches() -> None:
    rows = [row("a", title="Encore"), row("b", title="The core"), row("core", title="Something")]
    wanted = VideoFilter(words=("core",))
    assert [id for _, id in search(rows, wanted, Order("relevance"), None, 9, None, NOW).places] == [
        *("core", "b", "a")
    ]


def test_weekly_views_equal_those_of_the_list() -> None:
    stats = StatsTable()
    stats.add([(id, NOW - 86_400 * days, "video_view", 1.0, 1.0) for id, days in [("a", 0), ("a", 6), ("b", 7)]])
    for later in (0.0, 86_400.0, 1e7):
        shown = [stats.week(id, NOW + later)["views"] for id in ("a", "b", "c")]
        assert stats.views_of_week(["a", "b", "c"], NOW + later) == shown
