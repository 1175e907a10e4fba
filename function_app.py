"""The table of contents: every trigger of the app, each handed to its room.

Nothing connects at import; the first call starts the services (`shared/services.py`).
"""

from __future__ import annotations

import logging

import azure.functions as func

from events import cowatch, dead_letters, privacy
from events import operations as event_operations
from events.api import post_events as accept_events
from events.rollup import RollUp
from events.signals import SignalsConsumer
from events.trigger import decode_lightly
from feed import api as feed_api
from feed import debug, export, status
from feed import operations as feed_operations
from shared import services
from shared.http import json_response, page_response
from shared.openapi import ApiDocument

logging.getLogger("azure").setLevel(logging.WARNING)
logging.getLogger("azure_functions_worker").setLevel(logging.WARNING)  # a third of the CPU of a small request

decode_lightly()
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
api = ApiDocument(feed_operations, event_operations)


@app.route("v1/feed", methods=["GET", "OPTIONS"])
async def get_feed(req: func.HttpRequest) -> func.HttpResponse:
    return await feed_api.get_feed(req, await services.get())


@app.route("v1/config", methods=["GET", "OPTIONS"])
async def get_config(req: func.HttpRequest) -> func.HttpResponse:
    return await feed_api.get_config(req, await services.get())


@app.route("v1/events/batch", methods=["POST", "OPTIONS"])
async def post_events(req: func.HttpRequest) -> func.HttpResponse:
    return await accept_events(req, await services.get())


@app.route("v1/debug/user-signals", methods=["GET"])
async def get_user_signals(req: func.HttpRequest) -> func.HttpResponse:
    return await debug.get_user_signals(req, await services.get())


@app.route("v1/debug/set-personalization", methods=["POST"])
async def set_personalization(req: func.HttpRequest) -> func.HttpResponse:
    return await debug.set_personalization(req, await services.get())


@app.route("v1/privacy/erase", methods=["POST", "OPTIONS"])
async def post_erase(req: func.HttpRequest) -> func.HttpResponse:
    return await privacy.post_erase(req, await services.get())


@app.route("v1/privacy/export", methods=["POST", "OPTIONS"])
async def post_export(req: func.HttpRequest) -> func.HttpResponse:
    return await export.post_export(req, await services.get())


@app.route("health", methods=["GET"])
async def get_health(req: func.HttpRequest) -> func.HttpResponse:
    return status.health()


@app.route("ready", methods=["GET"])
async def get_ready(req: func.HttpRequest) -> func.HttpResponse:
    return await status.ready(await services.get())


@app.route("openapi.json", methods=["GET"])
async def get_openapi(req: func.HttpRequest) -> func.HttpResponse:
    return json_response(api.json, cache="public, max-age=300")


@app.route("docs", methods=["GET"])
async def get_docs(req: func.HttpRequest) -> func.HttpResponse:
    return page_response(api.page)


@app.service_bus_topic_trigger(
    arg_name="message",
    connection="ServiceBusConnection",
    topic_name="user-events",
    subscription_name="signals",
    data_type=func.DataType.BINARY,
)
async def fold_signals(message: func.ServiceBusMessage) -> None:
    await (await services.get()).room(SignalsConsumer).handle(message.message_id, message.get_body())


@app.timer_trigger(arg_name="timer", schedule="*/30 * * * * *")
async def roll_up(timer: func.TimerRequest) -> None:
    await (await services.get()).room(RollUp).run()


@app.timer_trigger(arg_name="timer", schedule="0 17 3 * * *")
async def sweep_dead_letters(timer: func.TimerRequest) -> None:
    await dead_letters.sweep(await services.get())


@app.timer_trigger(arg_name="timer", schedule="0 41 2 * * *")
async def build_cowatch(timer: func.TimerRequest) -> None:
    await cowatch.build_all(await services.get())
