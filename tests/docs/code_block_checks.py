"""Table of what checks each code block of the documentation. A block that is in no table fails `test_blocks.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Executed:
    """`test` runs the block as it stands, or sends it and compares the answer."""

    test: str


@dataclass(frozen=True, slots=True)
class Compared:
    """`test` holds the block to the code."""

    test: str


@dataclass(frozen=True, slots=True)
class NotRun:
    """Cannot run here, and why. Its commands' targets, modules, files and options are looked up all the same."""

    why: str


_API = "tests/docs/test_api_page.py::"
_REPLAYED = Executed(f"{_API}test_every_example_gets_the_documented_response")
_HERE = "tests/docs/test_blocks.py::"
_EVENTS = "tests/e2e/test_event_docs.py::test_every_example_with_a_current_time_is_accepted"
_CMS = Executed("tests/cms/test_docs.py::test_every_example_is_accepted_as_written")
_AZURE = "tests/e2e/azure/test_page.py::test_commands_of_the_page_work_as_described"
_SUBSCRIPTION = NotRun("needs an Azure subscription; the template and its parameters are looked up")

_STORIES = "tests/docs/test_stories_page.py::test_every_stories_example_gets_the_documented_response"
_LISTS = "tests/docs/test_lists_page.py::test_every_lists_example_gets_the_documented_response"
_SDK = "tests/sdk/test_readme.py::"
_SELF_HOSTING = "tests/docs/test_self_hosting_page.py::"

ALL_OF_A_PAGE: dict[tuple[str, str], Executed] = {
    ("docs/api.md", "http"): _REPLAYED,
    ("docs/api.md", "python"): Executed("tests/docs/test_api_page.py::test_every_example_gets_the_documented_response"),
    ("docs/api.md", "text"): _REPLAYED,
    ("docs/self-hosting.md", "sh"): Executed(f"{_SELF_HOSTING}test_every_command_works_as_described"),
    ("docs/self-hosting.md", "apache"): Executed(f"{_SELF_HOSTING}test_proxy_forwards_every_request_under_tls"),
    ("docs/feeds.md", "http"): Executed(
        "tests/docs/test_feeds_page.py::test_every_feeds_example_gets_the_documented_response"
    ),
    **{("docs/stories.md", language): Executed(_STORIES) for language in ("http", "python")},
    **{("docs/lists.md", language): Executed(_LISTS) for language in ("http", "python")},
    ("docs/events.md", "http"): Executed(f"{_API}test_events_page_batch_gets_the_documented_response"),
}
"""Page and language whose test goes through every block there is."""

ALL_OF_A_LANGUAGE = {"mermaid": Compared(f"{_HERE}test_every_file_in_a_diagram_exists")}

ACCOUNTS: dict[str, Executed | Compared | NotRun] = {
    "README.md#personalized-video-feed sh": NotRun("this is what runs the tests; the targets are looked up"),
    "docs/tour.md#watch-a-feed-become-personal sh": Executed(
        "tests/e2e/azure/test_story.py::test_guided_tour_works_embedded"
    ),
    "CONTRIBUTING.md#where-things-are plain": Compared(f"{_HERE}test_folder_map_names_every_folder"),
    "CONTRIBUTING.md#run sh": NotRun("this is what runs the tests; the targets, modules and options are looked up"),
    "docs/api.md#the-api-for-those-who-build-an-sdk sh": Executed(f"{_API}test_first_commands_work_as_described"),
    "docs/azure.md#on-our-test-servers sh": Executed(_AZURE),
    "docs/azure.md#on-our-test-servers sh 2": Executed(_AZURE),
    "docs/azure.md#on-our-test-servers sh 3": Executed(_AZURE),
    "docs/cms.md#videos json": _CMS,
    "docs/cms.md#rules json": _CMS,
    "docs/cms.md#feeds json": _CMS,
    "docs/cms.md#preview json": _CMS,
    "docs/cms.md#past-events jsonl": Executed("tests/cms/test_history.py::test_documented_row_is_accepted"),
    **{
        f"docs/events.md#{name} json": Executed(_EVENTS)
        for name in (
            *("impression", "video_view", "complete", "skip", "like", "unlike", "share", "save"),
            *("not_interested", "start", "progress", "stall", "playback_error", "unsave", "follow", "unfollow"),
        )
    },
    "docs/events.md#the-archive json": Compared(
        "tests/e2e/test_event_docs.py::test_archived_line_on_the_page_has_the_fields_of_a_real_one"
    ),
    "docs/first-deployment.md#before-it sh": NotRun("needs a subscription; preflight has tests"),
    "docs/import.md#importing-a-tenant-from-files sh": Executed(
        "tests/docs/test_import_page.py::test_import_command_loads_videos_and_counts_the_log"
    ),
    "docs/operations.md#from-an-empty-subscription-to-the-first-feed sh": _SUBSCRIPTION,
    "docs/operations.md#from-an-empty-subscription-to-the-first-feed sh 2": _SUBSCRIPTION,
    "docs/operations.md#start-the-operations-job sh": NotRun("needs an Azure subscription"),
    "docs/operations.md#add-a-tenant sh": Executed(
        "tests/infra/test_first_tenant.py::test_the_documented_commands_lead_from_an_empty_store_to_the_first_feed"
    ),
    "docs/operations.md#remove-a-tenant sh": Executed(
        "tests/infra/test_first_tenant.py::test_the_documented_commands_lead_from_an_empty_store_to_the_first_feed"
    ),
    "docs/ranking.md#from-videos-to-a-page plain": Compared(f"{_HERE}test_every_file_in_a_diagram_exists"),
    "docs/ranking.md#the-model json": NotRun("shows the shape, with most of it left out"),
    "docs/ranking.md#offline-evaluation plain": NotRun("needs the log, which is not part of this repository"),
    "sdk/typescript/README.md#a-swiping-feed-in-ten-lines sh": Executed(
        f"{_SDK}test_readme_commands_show_a_feed_that_can_be_swiped"
    ),
    "sdk/typescript/README.md#a-swiping-feed-in-ten-lines html": Executed(
        f"{_SDK}test_readme_commands_show_a_feed_that_can_be_swiped"
    ),
    "sdk/typescript/README.md#events js": Executed(f"{_SDK}test_every_event_of_the_readme_arrives"),
    "sdk/typescript/README.md#events js 2": Executed(f"{_SDK}test_every_event_of_the_readme_arrives"),
    "sdk/typescript/README.md#stories-lists-similar-videos js": NotRun(
        "it needs somebody's story and a token: sdk/typescript/tests/calls.test.ts makes these calls"
    ),
    "sdk/typescript/README.md#consent-users-tokens js": Executed(
        f"{_SDK}test_consent_and_user_are_switched_as_documented"
    ),
    "sdk/typescript/README.md#working-on-it sh": NotRun("this is what runs the tests; the commands are looked up"),
    "docs/telemetry.md#metrics kusto": Compared(f"{_HERE}test_every_metric_in_a_query_exists"),
}
"""A block's name (`Block.name`) → what answers for it."""
