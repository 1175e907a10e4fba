"""A sample of `make prove-firewall`: legitimate requests pass the deployed rules, and attacks do not."""

from __future__ import annotations

import random

import pytest

from tests.firewall import opaque, passing, refusing, social
from tests.firewall.guarded import STRICT, UNREAD, Guarded, Tally
from tests.firewall.texts import titles

pytestmark = pytest.mark.asyncio(loop_scope="module")


def assert_passed(tally: Tally) -> None:
    assert (tally.refused, tally.unexpected) == ([], [])
    assert tally.sent > 0


async def test_every_documented_request_passes(app: Guarded) -> None:
    assert_passed(await passing.documents(app))


async def test_every_operation_of_the_document_passes(app: Guarded) -> None:
    assert_passed(await passing.operations(app))


async def test_files_of_every_kind_pass_also_compressed_or_large(app: Guarded) -> None:
    assert_passed(await passing.imports(app))


async def test_compressed_and_large_batches_reach_the_app(app: Guarded) -> None:
    assert_passed(await passing.compressed(app))


async def test_titles_with_ordinary_punctuation_pass(app: Guarded) -> None:
    assert_passed(await passing.written_titles(app, 40, random.Random(1)))


async def test_feeds_and_filters_with_ordinary_punctuation_pass(app: Guarded) -> None:
    assert_passed(await passing.filtered(app, 40, random.Random(5)))


async def test_stories_searches_and_reports_with_ordinary_punctuation_pass(app: Guarded) -> None:
    assert_passed(await social.stories(app, 40, random.Random(6)))


async def test_receipts_cursors_and_ids_of_random_content_pass(app: Guarded) -> None:
    assert_passed(await opaque.random_content(app, 100, random.Random(2)))


async def test_videos_requested_by_id_pass(app: Guarded) -> None:
    assert_passed(await opaque.linked_videos(app, 40, random.Random(3)))


async def test_attacks_are_refused_and_harmless_requests_pass(app: Guarded) -> None:
    stopped = await refusing.attacked(app)
    assert (stopped.through, stopped.harmless_refused) == ([], [])
    assert stopped.sent > 100


async def test_attacks_in_events_are_refused_by_the_app(app: Guarded) -> None:
    stopped = await refusing.attacked_in_events(app)
    assert stopped.through == []


async def test_compressed_batch_needs_the_exclusions_of_its_policy(app: Guarded) -> None:
    needs = await refusing.needs_of_a_compressed_batch(app)
    assert needs == {STRICT: ["200002"], UNREAD: ["920450"], "events": []}


async def test_version_2_texts_hardly_need_their_exclusions(app: Guarded) -> None:
    """ "Hardly": one long cursor in some hundreds contains a `0x` that looks like a number in SQL."""
    for cost in await opaque.costs(app, 25, random.Random(3), versions=(2,)):
        assert cost.refused <= 2, str(cost)


async def test_ordinary_titles_need_the_rules_that_only_log(app: Guarded) -> None:
    """The test can fail: under the feed's policy many of the same titles are refused."""
    refused = 0
    for title in titles(30, random.Random(1)):
        answer = await app.ask(app.wall.urls["feed"], "GET", "/v1/cms/videos", query={"q": title})
        refused += answer.status == 403
    assert refused > 10
