"""The table of contents: every trigger of the app, each handed to its room.

Nothing connects at import; the first call starts the services (`bootstrap.py`).
"""

from __future__ import annotations

import logging

import azure.functions as func

import bootstrap as services
from cms import audit as audit_api
from cms import operations as cms_operations
from cms.access import api as access_api
from cms.configuration import api as configuration_api
from cms.experiments import api as experiments_api
from cms.imports import api as imports_api
from cms.preview import api as preview_api
from cms.rules import api as rules_api
from cms.studio import api as studio_api
from cms.videos import api as videos_api
from events import cowatch, dead_letters, experiment_report, queues
from events import operations as event_operations
from events.api import post_events as accept_events
from events.signals_consumer import SignalsConsumer
from events.stats_consumer import StatsConsumer
from events.trigger import decode_lightly
from feed import api as feed_api
from feed import operations as feed_operations
from privacy import erase as privacy
from privacy import export
from privacy import signals_view as debug
from shared.web import status
from shared.web.endpoint import json_response, page_response
from shared.web.openapi import ApiDocument

logging.getLogger("azure").setLevel(logging.WARNING)
logging.getLogger("azure_functions_worker").setLevel(logging.WARNING)  # a third of the CPU of a small request

decode_lightly()
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
api = ApiDocument(feed_operations, event_operations, cms_operations)


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
    return await configuration_api.set_personalization(req, await services.get())


@app.route("v1/privacy/erase", methods=["POST", "OPTIONS"])
async def post_erase(req: func.HttpRequest) -> func.HttpResponse:
    return await privacy.post_erase(req, await services.get())


@app.route("v1/privacy/export", methods=["POST", "OPTIONS"])
async def post_export(req: func.HttpRequest) -> func.HttpResponse:
    return await export.post_export(req, await services.get())


@app.route("v1/cms/videos", methods=["GET", "POST"])
async def cms_videos(req: func.HttpRequest) -> func.HttpResponse:
    return await videos_api.videos(req, await services.get())


@app.route("v1/cms/videos/{id}", methods=["GET", "PUT", "PATCH"])
async def cms_video(req: func.HttpRequest) -> func.HttpResponse:
    return await videos_api.video(req, await services.get())


@app.route("v1/cms/videos/{id}/takedown", methods=["POST"])
async def cms_takedown(req: func.HttpRequest) -> func.HttpResponse:
    return await videos_api.takedown(req, await services.get())


@app.route("v1/cms/videos/{id}/restore", methods=["POST"])
async def cms_restore(req: func.HttpRequest) -> func.HttpResponse:
    return await videos_api.restore(req, await services.get())


@app.route("v1/cms/imports", methods=["GET", "POST"])
async def cms_imports(req: func.HttpRequest) -> func.HttpResponse:
    return await imports_api.imports(req, await services.get())


@app.route("v1/cms/imports/{id}", methods=["GET"])
async def cms_import(req: func.HttpRequest) -> func.HttpResponse:
    return await imports_api.import_job(req, await services.get())


@app.route("v1/cms/configuration", methods=["GET", "PUT", "PATCH"])
async def cms_configuration(req: func.HttpRequest) -> func.HttpResponse:
    return await configuration_api.configuration(req, await services.get())


@app.route("v1/cms/configuration/draft", methods=["GET", "PUT", "PATCH", "DELETE"])
async def cms_configuration_draft(req: func.HttpRequest) -> func.HttpResponse:
    return await configuration_api.draft(req, await services.get())


@app.route("v1/cms/configuration/draft/publish", methods=["POST"])
async def cms_configuration_publish(req: func.HttpRequest) -> func.HttpResponse:
    return await configuration_api.publish(req, await services.get())


@app.route("v1/cms/rules", methods=["GET", "POST"])
async def cms_rules(req: func.HttpRequest) -> func.HttpResponse:
    return await rules_api.rules(req, await services.get())


@app.route("v1/cms/rules/{id}", methods=["GET", "PUT", "PATCH", "DELETE"])
async def cms_rule(req: func.HttpRequest) -> func.HttpResponse:
    return await rules_api.rule(req, await services.get())


@app.route("v1/cms/rules/{id}/draft", methods=["GET", "PUT", "DELETE"])
async def cms_rule_draft(req: func.HttpRequest) -> func.HttpResponse:
    return await rules_api.rule_draft(req, await services.get())


@app.route("v1/cms/rules/{id}/draft/publish", methods=["POST"])
async def cms_rule_publish(req: func.HttpRequest) -> func.HttpResponse:
    return await rules_api.publish_rule(req, await services.get())


@app.route("v1/cms/playlists", methods=["GET", "POST"])
async def cms_playlists(req: func.HttpRequest) -> func.HttpResponse:
    return await rules_api.playlists(req, await services.get())


@app.route("v1/cms/playlists/{id}", methods=["GET", "PUT", "PATCH", "DELETE"])
async def cms_playlist(req: func.HttpRequest) -> func.HttpResponse:
    return await rules_api.playlist(req, await services.get())


@app.route("v1/cms/preview", methods=["POST"])
async def cms_preview(req: func.HttpRequest) -> func.HttpResponse:
    return await preview_api.preview(req, await services.get())


@app.route("v1/cms/models", methods=["GET", "POST"])
async def cms_models(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.models(req, await services.get())


@app.route("v1/cms/models/{version}", methods=["DELETE"])
async def cms_model(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.model(req, await services.get())


@app.route("v1/cms/models/{version}/promote", methods=["POST"])
async def cms_model_promote(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.promote(req, await services.get())


@app.route("v1/cms/models/rollback", methods=["POST"])
async def cms_model_rollback(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.rollback(req, await services.get())


@app.route("v1/cms/experiments", methods=["GET", "POST"])
async def cms_experiments(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.experiments(req, await services.get())


@app.route("v1/cms/experiments/{id}", methods=["GET", "PUT", "DELETE"])
async def cms_experiment(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.experiment(req, await services.get())


@app.route("v1/cms/experiments/{id}/start", methods=["POST"])
async def cms_experiment_start(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.start_experiment(req, await services.get())


@app.route("v1/cms/experiments/{id}/stop", methods=["POST"])
async def cms_experiment_stop(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.stop_experiment(req, await services.get())


@app.route("v1/cms/experiments/{id}/report", methods=["GET"])
async def cms_experiment_report(req: func.HttpRequest) -> func.HttpResponse:
    return await experiments_api.report(req, await services.get())


@app.route("v1/cms/audit", methods=["GET"])
async def cms_audit(req: func.HttpRequest) -> func.HttpResponse:
    return await audit_api.audit(req, await services.get())


@app.route("v1/cms/audit/{id}/revert", methods=["POST"])
async def cms_revert(req: func.HttpRequest) -> func.HttpResponse:
    return await audit_api.revert(req, await services.get())


@app.route("v1/cms/tenants", methods=["GET", "POST"])
async def cms_tenants(req: func.HttpRequest) -> func.HttpResponse:
    return await access_api.tenants(req, await services.get())


@app.route("v1/cms/keys", methods=["GET", "POST"])
async def cms_keys(req: func.HttpRequest) -> func.HttpResponse:
    return await access_api.keys(req, await services.get())


@app.route("v1/cms/keys/{id}", methods=["PATCH", "DELETE"])
async def cms_key(req: func.HttpRequest) -> func.HttpResponse:
    return await access_api.key(req, await services.get())


@app.route("v1/cms/keys/{id}/rotate", methods=["POST"])
async def cms_key_rotation(req: func.HttpRequest) -> func.HttpResponse:
    return await access_api.rotate_key(req, await services.get())


@app.route("v1/cms/user-token-keys", methods=["GET", "POST"])
async def cms_user_token_keys(req: func.HttpRequest) -> func.HttpResponse:
    return await access_api.user_token_keys(req, await services.get())


@app.route("v1/cms/user-token-keys/{id}", methods=["DELETE"])
async def cms_user_token_key(req: func.HttpRequest) -> func.HttpResponse:
    return await access_api.user_token_key(req, await services.get())


@app.route("studio", methods=["GET"])
async def get_studio(req: func.HttpRequest) -> func.HttpResponse:
    return await studio_api.studio(req, await services.get())


@app.route("studio/{file}", methods=["GET"])
async def get_studio_file(req: func.HttpRequest) -> func.HttpResponse:
    return await studio_api.studio(req, await services.get())


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
    running = await services.get()
    await running.room(StatsConsumer).run()
    await queues.measure(running)


@app.timer_trigger(arg_name="timer", schedule="0 17 3 * * *")
async def sweep_dead_letters(timer: func.TimerRequest) -> None:
    await dead_letters.sweep(await services.get())


@app.timer_trigger(arg_name="timer", schedule="0 47 3 * * *")
async def report_experiments(timer: func.TimerRequest) -> None:
    await experiment_report.store_reports(await services.get())


@app.timer_trigger(arg_name="timer", schedule="0 41 2 * * *")
async def build_cowatch(timer: func.TimerRequest) -> None:
    await cowatch.build_all(await services.get())


@app.timer_trigger(arg_name="timer", schedule="*/10 * * * * *")
async def run_imports(timer: func.TimerRequest) -> None:
    await imports_api.run_imports(await services.get())
