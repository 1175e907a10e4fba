"""Stories, reports and searches as people write them; the firewall must allow all of them."""

from __future__ import annotations

import random

from stories.posting import POSTS_A_MINUTE
from stories.story_forms import EMOJI, MAX_TEXT, MAX_WORD
from tests.firewall.guarded import Guarded, Tally
from tests.firewall.passing import LINK, many
from tests.firewall.texts import titles
from tests.stories.social import Someone, someone_of

ENDS = (
    "",
    " 🔥🔥",
    f"\n{LINK}",
    "\n\nMore tomorrow?! :-)",
    " — größer als ½, 日本語も",
    " #tag @anna",
    "\r\n- one\r\n- two",
)
REASONS = ("spam", "harassment", "hate", "violence", "sexual", "other")


def texts(count: int, draw: random.Random) -> list[str]:
    """`count` stories: one to four sentences like titles, some with links, line breaks and emoji."""
    sentences = titles(count * 3, draw)
    found = []
    for number in range(count):
        several = draw.sample(sentences, draw.choice((1, 1, 1, 2, 4)))
        text = ". ".join(several) + ENDS[number % len(ENDS)] if number % 50 else LINK
        found.append(text[:MAX_TEXT])
    return found


async def stories(app: Guarded, count: int, draw: random.Random) -> Tally:
    """Send each text in a story, in a search, as words of a report and, cut, as tag and category."""
    tally = app.new_tally()
    authors = [await someone_of(app, story_hold_reports=100)]
    while len(authors) * POSTS_A_MINUTE < count:
        authors.append(await authors[0].another())
    viewers = [await authors[0].another() for _ in range(4)]
    chosen = texts(count, draw)

    async def one(number: int) -> None:
        author, viewer = authors[number // POSTS_A_MINUTE], viewers[number % len(viewers)]
        text = chosen[number]
        words = (
            {"tags": [text[:MAX_WORD].strip()], "category": text[:20].strip()}
            if len(text[:MAX_WORD].splitlines()) == 1
            else {}
        )
        key = {"Idempotency-Key": " ".join(text[:60].split()).encode("ascii", "ignore").decode() + f" {number}"}
        made = await author.call("POST", "stories", {"text": text, "visibility": "public", **words}, key)
        tally.expect(made, 201, of=text)
        if made.status != 201:
            return
        story = f"stories/{made.json['id']}"
        line = " ".join(text[:100].split())  # a search box accepts one
        tally.expect(await viewer.get("search", q=line), 200, of=f"search for {text}")
        tally.expect(await viewer.get(story), 200, of=f"read {text}")
        tally.expect(await viewer.call("PUT", f"{story}/view"), 204, of=f"view {text}")
        report = {"reason": REASONS[number % len(REASONS)], "text": text[:300]}
        tally.expect(await viewer.call("POST", f"{story}/report", report), 202, of=f"report {text}")
        if number < 60:
            react = await viewer.call("PUT", f"{story}/reaction", {"emoji": EMOJI[number % len(EMOJI)]})
            tally.expect(react, 200, of="a reaction")

    await many((lambda n=n: one(n)) for n in range(count))  # type: ignore[misc]
    await _people(tally, authors[0], viewers[0])
    return tally


async def _people(tally: Tally, one: Someone, other: Someone) -> None:
    """Send calls without free text: only ids, cursors and media types."""
    tally.expect(await other.call("PUT", f"follow/{one.id}"), 200, of="follow")
    for path in ("me", "me/followers", "me/following?kind=person", "me/blocks", "me/events", "me/stats", "stories"):
        tally.expect(await one.get(path), 200, of=path)
    tally.expect(await one.call("PUT", f"blocks/{other.id}"), 204, of="block")
    tally.expect(await one.call("DELETE", f"blocks/{other.id}"), 204, of="unblock")
    ticket = {"purpose": "story", "contentType": "image/jpeg", "bytes": 183_204}
    tally.expect(await one.call("POST", "uploads", ticket), 201, 503, of="a ticket")  # 503: no endpoint for the folder
