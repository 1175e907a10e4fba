"""Keys of host.json and triggers that the Functions host knows, as far as this app uses them.

Keys: learn.microsoft.com/azure/azure-functions/functions-host-json, and for Service Bus the section "host.json
settings" of functions-bindings-service-bus (extension 5.x). The host ignores a key that it does not know, so a typing
mistake there changes nothing and says nothing.
Triggers: learn.microsoft.com/azure/azure-functions/functions-bindings-register ("the runtime only includes HTTP and
timer triggers by default") and the releases of Azure/azure-functions-extension-bundles, version 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

BUILT_IN = {"httpTrigger", "timerTrigger", "warmupTrigger"}
BUNDLE_ID = "Microsoft.Azure.Functions.ExtensionBundle"
BUNDLE_MAJOR = 4
BUNDLED = {
    "blobTrigger",
    "cosmosDBTrigger",
    "daprBindingTrigger",
    "daprServiceInvocationTrigger",
    "daprTopicTrigger",
    "entityTrigger",
    "activityTrigger",
    "eventGridTrigger",
    "eventHubTrigger",
    "kafkaTrigger",
    "mysqlTrigger",
    "orchestrationTrigger",
    "queueTrigger",
    "rabbitMQTrigger",
    "redisListTrigger",
    "redisPubSubTrigger",
    "redisStreamTrigger",
    "serviceBusTrigger",
    "signalRTrigger",
    "sqlTrigger",
}

ANY: Mapping[str, Any] = {}
"""Everything below such a key is accepted."""
KEYS: Mapping[str, Any] = {
    "version": None,
    "functionTimeout": None,
    "extensionBundle": {"id": None, "version": None},
    "logging": {
        "fileLoggingMode": None,
        "logLevel": ANY,
        "applicationInsights": {
            "samplingSettings": {
                "isEnabled": None,
                "maxTelemetryItemsPerSecond": None,
                "evaluationInterval": None,
                "initialSamplingPercentage": None,
                "samplingPercentageIncreaseTimeout": None,
                "samplingPercentageDecreaseTimeout": None,
                "minSamplingPercentage": None,
                "maxSamplingPercentage": None,
                "movingAverageRatio": None,
                "excludedTypes": None,
                "includedTypes": None,
            },
            "enableLiveMetrics": None,
            "enableDependencyTracking": None,
            "enablePerformanceCountersCollection": None,
        },
    },
    "extensions": {
        "http": {
            "routePrefix": None,
            "maxConcurrentRequests": None,
            "maxOutstandingRequests": None,
            "dynamicThrottlesEnabled": None,
            "hsts": ANY,
            "customHeaders": ANY,
        },
        "serviceBus": {
            "clientRetryOptions": ANY,
            "prefetchCount": None,
            "transportType": None,
            "webProxy": None,
            "autoCompleteMessages": None,
            "maxAutoLockRenewalDuration": None,
            "maxConcurrentCalls": None,
            "maxConcurrentSessions": None,
            "maxMessageBatchSize": None,
            "minMessageBatchSize": None,
            "maxBatchWaitTime": None,
            "sessionIdleTimeout": None,
            "enableCrossEntityTransactions": None,
        },
    },
    "concurrency": {"dynamicConcurrencyEnabled": None, "snapshotPersistenceEnabled": None},
    "healthMonitor": ANY,
    "singleton": ANY,
    "telemetryMode": None,
    "watchDirectories": None,
}


def unknown_keys(host_json: Mapping[str, Any], keys: Mapping[str, Any] = KEYS, place: str = "") -> Iterator[str]:
    """Return keys that the host would ignore, with their place: `extensions.serviceBus.maxConcurentCalls`."""
    for name, value in host_json.items():
        if name not in keys:
            yield place + name
        elif isinstance(value, Mapping) and keys[name]:
            yield from unknown_keys(value, keys[name], f"{place}{name}.")


def unregistered(triggers: set[str], host_json: Mapping[str, Any]) -> set[str]:
    """Return triggers unknown to the host: those of the bundle are known where host.json names it."""
    bundle = host_json.get("extensionBundle", {})
    has_bundle = bundle.get("id") == BUNDLE_ID and str(bundle.get("version", "")).startswith(f"[{BUNDLE_MAJOR}.")
    return triggers - BUILT_IN - (BUNDLED if has_bundle else set())
