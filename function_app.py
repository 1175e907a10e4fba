"""Azure Functions entry point: registers every endpoint and trigger. Nothing connects at import."""

from __future__ import annotations

from shared.adapters import process_memory

process_memory.use_one_heap()
process_memory.pause_collection()

import logging
import os

import azure.functions as func

import bootstrap
from cms.apis import CMS_APIS
from events.api import EventsApi
from feed.api import FeedApi
from feed.lists_api import ListsApi
from feed.similar_api import SimilarApi
from media.api import UploadsApi
from privacy.api import PrivacyApi
from shared.settings import Settings
from shared.web.api_reference import reference_files
from shared.web.endpoint import blueprint, endpoints_of
from shared.web.openapi import ApiDocument
from shared.web.status import DocumentApi, ReadinessApi
from stories.apis import STORY_APIS

logging.getLogger("azure").setLevel(logging.WARNING)
logging.getLogger("azure_functions_worker").setLevel(logging.WARNING)  # a third of the CPU of a small request

LEARNERS = 4
"""With four, 120 tenants of two minutes each are done an hour after the messages are sent."""

APIS = (FeedApi, ListsApi, SimilarApi, EventsApi, *STORY_APIS, UploadsApi, PrivacyApi, *CMS_APIS, ReadinessApi)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
api = ApiDocument([declared for each in (*APIS, DocumentApi) for declared in endpoints_of(each)])


documentation_api = DocumentApi(api, reference_files(), bootstrap.configured)


async def documentation() -> DocumentApi:
    """Return the documentation endpoints, which need no services."""
    return documentation_api


for each in APIS:
    app.register_functions(blueprint(each, bootstrap.provider(each)))
app.register_functions(blueprint(DocumentApi, documentation))


@app.service_bus_topic_trigger(
    arg_name="message",
    connection="ServiceBusConnection",
    topic_name="user-events",
    subscription_name="signals",
    data_type=func.DataType.BINARY,
)
async def fold_signals(message: bytes) -> None:
    await (await bootstrap.running()).signals_consumer.handle(message)


def add_drainer(number: int) -> None:
    """Register one drainer. A timer function runs on one instance at a time; several functions run on as many
    instances."""

    @app.function_name(name="roll_up" if number == 1 else f"roll_up_{number}")
    @app.timer_trigger(arg_name="timer", schedule="*/30 * * * * *")
    async def roll_up(timer: func.TimerRequest) -> None:
        await (await bootstrap.running()).roll_up(number)


for number in range(1, Settings.number_from(os.environ, "rollup_drainers") + 1):
    add_drainer(number)


# One function for all nightly jobs: with zone redundancy every function that scales alone has two paid instances.
@app.timer_trigger(arg_name="timer", schedule="0 17 2-4 * * *")
async def nightly(timer: func.TimerRequest) -> None:
    await (await bootstrap.running()).nightly()


def add_learner(number: int) -> None:
    """Register one learner. Several functions run on as many instances, which learn tenants side by side."""

    @app.function_name(name="learn" if number == 1 else f"learn_{number}")
    @app.timer_trigger(arg_name="timer", schedule="0 * 2-6 * * *")
    async def learn(timer: func.TimerRequest) -> None:
        await (await bootstrap.running()).learn()


for number in range(1, LEARNERS + 1):
    add_learner(number)


# Imports and stories, each at its own interval, in one function for the same reason.
@app.timer_trigger(arg_name="timer", schedule="*/10 * * * * *")
async def run_jobs(timer: func.TimerRequest) -> None:
    await (await bootstrap.running()).run_jobs()


process_memory.resume_collection()
