"""Indexes the app with the official worker library and invokes every function; prints the results as JSON.

This is a separate program because the library needs Python 3.13. Environment variables configure an embedded app with
an empty data folder. Prints {"worker": …, "sdk": …, "python": …, "functions": {name: trigger}, "calls": [{function, ok,
status, error, body}]}; an HTTP call has a status and a body.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import azure_functions_runtime as worker  # noqa: E402
from azure_functions_runtime.bindings.datumdef import Datum  # noqa: E402
from azure_functions_runtime.native_invocation import invocation_request_native  # noqa: E402

from tests.worker.protocol import PROTOCOL  # noqa: E402

USER = "ab" * 32
FRONT_END_HEADERS = {
    "client-ip": "10.1.4.4:52144",
    "disguised-host": "feed.azurewebsites.net",
    "host": "feed.azurewebsites.net",
    "max-forwards": "10",
    "user-agent": "feed-sdk/1.0",
    "was-default-hostname": "feed.azurewebsites.net",
    "x-appservice-proto": "https",
    "x-arr-log-id": "6c9d7f34-6f0f-4c71-9f0f-3f3b9a4d6a11",
    "x-arr-ssl": "2048|256|CN=Some CA|CN=*.azurewebsites.net",
    "x-forwarded-for": "203.0.113.9, 10.1.4.4:52144",
    "x-forwarded-proto": "https",
    "x-forwarded-tlsversion": "1.3",
    "x-site-deployment-id": "feed",
}
"""Headers that App Service's front end adds to a request; all header names arrive in lower case."""


class Worker:
    """The app in the worker, and the result of every call."""

    def __init__(self, functions: list[Any]) -> None:
        self.functions = {each.name: each for each in functions}
        self.calls: list[dict[str, Any]] = []

    def trigger(self, name: str) -> dict[str, Any]:
        bindings = [json.loads(text) for text in self.functions[name].raw_bindings]
        return next(binding for binding in bindings if binding["type"].endswith("Trigger"))

    async def invoke(self, name: str, datum: Datum, metadata: Mapping[str, Datum] | None = None) -> dict[str, Any]:
        """Invoke a function with its trigger's data, through the library's own path without protobuf."""
        inputs = [(self.trigger(name)["name"], datum)]
        ok, answer, _, error, _ = await invocation_request_native(
            str(uuid.uuid4()), self.functions[name].function_id, inputs, metadata or {}
        )
        call: dict[str, Any] = {"function": name, "ok": ok, "error": error}
        if answer is not None:
            call["status"] = int(answer.value["status_code"].value)
            call["body"] = bytes(answer.value["body"].value).decode(errors="replace")
            call["headers"] = {key: value.value for key, value in answer.value["headers"].items()}
        self.calls.append(call)
        return call

    async def http(
        self, name: str, headers: Mapping[str, str], query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> dict[str, Any]:
        """Return a request in the form in which the Functions host passes it on."""
        trigger = self.trigger(name)
        parameters = {part.strip("{}"): "none" for part in trigger["route"].split("/") if part.startswith("{")}
        url = "https://feed.azurewebsites.net/" + trigger["route"].format(**parameters)
        value = {
            "method": Datum(str(trigger["methods"][0]).upper(), "string"),
            "url": Datum(url, "string"),
            "headers": _strings({**FRONT_END_HEADERS, "x-original-url": url, **headers}),
            "query": _strings(query or {}),
            "params": _strings(parameters),
            "body": Datum(body, "bytes"),
        }
        return await self.invoke(name, Datum(value, "http"))

    async def timer(self, name: str) -> dict[str, Any]:
        tick = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
        return await self.invoke(name, Datum(json.dumps(tick), "json"))

    async def message(self, name: str, body: bytes) -> dict[str, Any]:
        """Return a Service Bus message with a binary body and the extension's metadata."""
        metadata = {
            "MessageId": Datum(uuid.uuid4().hex, "string"),
            "DeliveryCount": Datum("1", "json"),
            "SequenceNumber": Datum("7", "json"),
            "EnqueuedTimeUtc": Datum('"2026-11-28T10:00:00Z"', "json"),
            "LockToken": Datum(str(uuid.uuid4()), "string"),
            "ApplicationProperties": Datum("{}", "json"),
        }
        return await self.invoke(name, Datum(body, "bytes"), metadata)


def _strings(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


async def start() -> Worker:
    """Let the library import and index the app, as when the host starts it."""
    init = SimpleNamespace(worker_init_request=SimpleNamespace(capabilities={}, function_app_directory=str(ROOT)))
    request = SimpleNamespace(request=init, properties={"host": "127.0.0.1", "protos": PROTOCOL})
    answer = await worker.worker_init_request(request)
    if answer.result.status != PROTOCOL.StatusResult.Success:
        raise SystemExit(f"the worker refuses the app: {answer.result.exception.message}")
    found = await worker.functions_metadata_request(request)
    return Worker(found.function_metadata_results)


async def tell_the_story(running: Worker) -> None:
    """Request a page, send events about it, and request a personal page; the bus message is the app's own."""
    import bootstrap
    from local.demo import SDK_KEY, seed_demo
    from local.serving import first_flags
    from local.story import story_events
    from shared.adapters.backends import flags_file
    from shared.adapters.bus.port import SIGNALS

    app = await bootstrap.running()
    first_flags(flags_file(app.settings))
    await seed_demo(app)
    for refresher in (app.flags_refresher, app.tenants_refresher):
        await refresher.refresh()
    viewer = {"x-tenant-id": "tenant_1", "x-api-key": SDK_KEY, "x-user": USER}
    await running.http("get_feed", viewer, {"limit": "20"})
    body = json.dumps({"events": story_events(time.time())}).encode()
    await running.http("post_events", {**viewer, "content-type": "application/json"}, body=body)
    receiver = await app.bus.receiver(SIGNALS)
    messages = await receiver.receive(10, 5.0)
    for message in messages:
        await running.message("fold_signals", message.body)
    await receiver.complete(messages)
    await receiver.close()
    await running.message("fold_signals", b"\xff\x00 no batch of ours")
    await running.timer("roll_up")
    await running.http("get_feed", viewer, {"limit": "20"})


async def main() -> None:
    running = await start()
    kinds = {name: running.trigger(name)["type"] for name in running.functions}
    await tell_the_story(running)
    for name, kind in kinds.items():  # and every function once, unauthenticated or by its timer
        if kind == "httpTrigger":
            await running.http(name, {"content-type": "application/json"}, body=b"{}")
        elif kind == "timerTrigger":
            await running.timer(name)
    import bootstrap

    await (await bootstrap.running()).close()
    print(
        json.dumps(
            {
                "worker": version("azure-functions-runtime"),
                "sdk": version("azure-functions"),
                "python": sys.version.split()[0],
                "functions": kinds,
                "calls": running.calls,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
