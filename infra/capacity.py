"""Computes capacity and cost: `python -m infra.capacity` prints the tables of `docs/operations.md`.

Reads the figures (`infra/figures.py`) and computes the resources for a load, their cost per month, and the saving of
each change of the product (`infra/waterfall.py`). Load model: one batch of 20 events per feed request.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

from infra import figures
from infra.figures import MONTH_SECONDS, Figures, Inputs
from infra.waterfall import waterfall

RATES = (600, 3_000, 6_000, 30_000)
"""Feed requests a second: average and peak, and ten times that."""
MESSAGING_UNITS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Needs:
    """Resources for a rate of requests. CPU in cores; `ru` in request units a second, by purpose."""

    http_cores: float
    fold_cores: float
    rollup_cores: float
    http_instances: int
    fold_instances: int
    rollup_instances: int
    ru_feed: float
    ru_fold: float
    ru_statistics: float
    ru_facts: float
    ru_content: float
    batches_per_message: float
    executions_per_feed: float
    bus_mb: float
    messaging_units: int
    namespaces: int
    gateway_units: int
    flag_share: float

    @property
    def ru(self) -> float:
        return self.ru_feed + self.ru_fold + self.ru_statistics + self.ru_facts + self.ru_content


_KB = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
_READ = (1.00, 1.04, 1.14, 1.33, 1.67, 2.19, 4.76, 9.95, 20.28, 40.95, 145.90, 291.80)
_WRITE = (4.95, 6.29, 6.67, 7.04, 9.52, 11.23, 22.67, 48.19, 98.29, 184.57, 625.00, 1250.00)
"""Cosmos DB's charges by size, from learn.microsoft.com/azure/cosmos-db/understand-request-unit-consumption
("Document size"; reads with session or eventual consistency). Writes are for the default indexing policy. Containers
with little indexing are charged less, so these figures are an upper bound. A transactional batch is charged as the sum
of its operations."""


def read_units(size_bytes: float) -> float:
    """Return the request units of a point read; a missing item costs as one of 1 kB."""
    return _between(size_bytes / 1024, _READ)


def write_units(size_bytes: float) -> float:
    """Return the request units of creating, replacing or deleting an item."""
    return _between(size_bytes / 1024, _WRITE)


def _between(kb: float, charges: tuple[float, ...]) -> float:
    """Interpolate between two rows of the table; beyond it, return the last row."""
    if kb <= _KB[0] or kb >= _KB[-1]:
        return charges[0] if kb <= _KB[0] else charges[-1]
    at = bisect.bisect_right(_KB, kb)
    share = (kb - _KB[at - 1]) / (_KB[at] - _KB[at - 1])
    return charges[at - 1] + share * (charges[at] - charges[at - 1])


def needs(rate: float, inputs: Inputs) -> Needs:
    """Return the resources for `rate` feed requests a second, and as many event batches."""
    i = inputs
    reads = i["signals_reads_per_feed"]
    feed_ms = i["worker_cpu_ms"] + i["feed_handler_cpu_ms"] + reads * i["signals_read_cpu_ms"]
    feed_ms += i["gzip_clients"] * i["compress_cpu_ms"]
    accept_ms = i["worker_cpu_ms"] + i["accept_cpu_ms"]
    http_cores = rate * (feed_ms + accept_ms) / 1000
    in_flight = i["calls_per_feed"] * rate * i["request_ms"] / 1000
    http_instances = max(math.ceil(http_cores / i["cpu_target"]), math.ceil(in_flight / i["http_concurrency"]))
    together = batches_per_message(rate, http_instances, inputs)
    fold_cores = rate * (i["worker_cpu_ms"] / together + i["fold_cpu_ms"]) / 1000
    visits = i["tenants"] / i["statistics_seconds"]  # sessions a second, each written once a visit
    rollup_cores = (rate * i["roll_up_cpu_ms"] + visits * i["roll_up_visit_cpu_ms"]) / 1000
    fold_instances, rollup_instances = (math.ceil(cores / i["cpu_target"]) for cores in (fold_cores, rollup_cores))
    bus_mb = rate * bus_bytes(together, inputs) / 1e6
    units = math.ceil(round(bus_mb / i["mb_per_messaging_unit"], 9))
    read_ru = read_units(i["signals_bytes"])
    write_ru = i["replace_times"] * write_units(i["signals_bytes"]) + i["markers_per_fold"] * write_units(
        i["marker_bytes"]
    )
    list_ru = i["lists_per_fold"] * (read_units(i["list_bytes"]) + i["replace_times"] * write_units(i["list_bytes"]))
    ru_statistics = visits * sum(  # each document is read, written once, and pulled by each instance
        i["replace_times"] * write_units(1024 * size) + (1 + http_instances) * read_units(1024 * size)
        for size in (i["statistics_kb"], i["daily_kb"])
    )
    facts = (fold_instances + rollup_instances) * i["tenants"] * i["watched_videos"] / i["facts_seconds"]
    instances = http_instances + fold_instances + rollup_instances
    return Needs(
        http_cores=http_cores,
        fold_cores=fold_cores,
        rollup_cores=rollup_cores,
        http_instances=http_instances,
        fold_instances=fold_instances,
        rollup_instances=rollup_instances,
        ru_feed=rate * reads * read_ru,
        ru_fold=rate * (i["fold_reads"] * read_ru + i["fold_writes"] * write_ru + list_ru),
        ru_statistics=ru_statistics,
        ru_facts=facts * read_units(1024 * i["video_kb"]),
        ru_content=i["ru_content"],
        batches_per_message=together,
        executions_per_feed=i["calls_per_feed"] + 1 / together,
        bus_mb=bus_mb,
        messaging_units=next((size for size in MESSAGING_UNITS if size >= units), units),
        namespaces=math.ceil(units / MESSAGING_UNITS[-1]),
        gateway_units=gateway_units(rate, inputs),
        flag_share=instances * i["flag_requests_hour"] / i["flag_quota_hour"],
    )


def batches_per_message(rate: float, http_instances: int, inputs: Inputs) -> float:
    """Return the mean number of batches in a message to the fold (`events/packing.py`).

    After a pause a batch is sent at once and alone. Then one message is sent per linger, with all batches of that time.
    """
    lingering = rate / max(http_instances, inputs["always_ready_http"]) * inputs["linger_ms"] / 1000
    return min(lingering + math.exp(-lingering), inputs["batches_per_message_at_most"])


def bus_bytes(together: float, inputs: Inputs) -> float:
    """Return the bytes of one batch on the bus over all hops. Batches of a message share its properties and framing."""
    i = inputs
    to_fold = i["body_bytes"] + i["properties_bytes"] / together
    to_rollup = i["rollup_body_bytes"] + i["properties_bytes"] / i["rollup_batches_per_message"]
    return i["signals_hops"] * to_fold + i["rollup_hops"] * to_rollup


def feed_response_bytes(inputs: Inputs) -> float:
    """Return the mean bytes of a page on the wire, over clients with and without gzip."""
    share = inputs["gzip_clients"]
    return share * inputs["feed_response_compressed_bytes"] + (1 - share) * inputs["feed_response_bytes"]


def gateway_units(rate: float, inputs: Inputs) -> int:
    """Return the capacity units: the highest need of the published measures, at least the reserved minimum."""
    i = inputs
    megabits = rate * (feed_response_bytes(inputs) + 1000 * i["batch_request_kb"]) * 8 / 1e6
    asked = (
        i["calls_per_feed"] * rate / i["requests_per_gateway_unit"],
        megabits / i["mbit_per_gateway_unit"],
        rate * i["connection_seconds"] / i["connections_per_gateway_unit"],
        i["gateway_units_reserved"],
    )
    return math.ceil(round(max(asked), 9))


def gateway_price(units: int, inputs: Inputs) -> float:
    """Return dollars a month. A DDoS plan, if chosen, is included only where the firewall's lower price pays for it."""
    alone = firewall_price(units, inputs)
    return min(alone, covered_price(units, inputs) + inputs["price_ddos_plan"]) if inputs["ddos_plan"] else alone


def firewall_price(units: int, inputs: Inputs) -> float:
    """Return dollars a month of gateways with a firewall."""
    return gateways(units, inputs) * inputs["price_gateway"] + units * inputs["price_gateway_unit"]


def covered_price(units: int, inputs: Inputs) -> float:
    """Return dollars a month of gateways without a firewall. Under a DDoS plan, gateways with one cost the same; the
    plan itself is not included."""
    return gateways(units, inputs) * inputs["price_gateway_covered"] + units * inputs["price_gateway_unit_covered"]


def gateways(units: int, inputs: Inputs) -> int:
    """Return the number of gateways for some capacity units."""
    return math.ceil(units / inputs["gateway_units_at_most"])


def bill(average: float, peak: float, inputs: Inputs) -> dict[str, float]:
    """Return dollars a month by part at `average` requests a second. Parts that do not scale are sized for `peak`."""
    i, usual, most = inputs, needs(average, inputs), needs(peak, inputs)
    requests = average * MONTH_SECONDS
    cores = (usual.http_cores + usual.fold_cores + usual.rollup_cores) / i["cpu_target"]
    ready = min(cores, float(usual.http_instances + usual.fold_instances) / 2)
    alone = i["timer_functions"] + most.rollup_instances
    idle = alone * i["ready_instances_each"]  # their work is included in the cores
    learning = i["tenants"] * i["learning_cpu_s"] / 86_400 / i["cpu_target"]
    hourly_ru = max(usual.ru * i["ru_hour_maximum"], 0.1 * recommended_ru(most, inputs))
    response_kb = feed_response_bytes(inputs) / 1000
    through_endpoints_kb = response_kb + i["batch_request_kb"] + i["signals_transfers"] * i["signals_bytes"] / 1024
    through_endpoints_kb += bus_bytes(usual.batches_per_message, inputs) / 1000
    at_peak = i["peak_hours"] if i["bus_follows_load"] else 1.0
    messaging_units = at_peak * most.messaging_units + (1 - at_peak) * usual.messaging_units
    archive_gb = average * i["archive_kb"] * i["archive_days"] * 86_400 / 1e6
    writes = i["archive_blobs_per_second"] * MONTH_SECONDS
    return {
        "Functions, executions": usual.executions_per_feed * requests / 1e6 * i["price_million_executions"],
        "Functions, instances": ready * i["price_instance_ready"] + (cores - ready) * i["price_instance_on_demand"],
        "Functions, instances for timers": idle * i["price_instance_idle"],
        "Functions, learning at night": learning * i["price_instance_on_demand"],
        "Cosmos DB": hourly_ru / 1000 * i["price_1000_ru"],
        "Service Bus": messaging_units * i["price_messaging_unit"],
        "Gateway with firewall": gateway_price(usual.gateway_units, inputs),
        "Traffic to the internet": requests * response_kb / 1e6 * i["price_egress_gb"],
        "Private endpoints": i["private_endpoints"] * i["price_private_endpoint"]
        + requests * through_endpoints_kb / 1e6 * i["price_private_gb"],
        "Archive": archive_gb * i["price_blob_gb"] + writes / 1e4 * i["price_10000_blob_writes"],
        "Telemetry": i["telemetry_gb_day"] * 30.4 * i["price_telemetry_gb"],
        "App Configuration and the rest": i["price_app_configuration"] + i["price_rest"],
    }


def recommended_ru(most: Needs, inputs: Inputs) -> int:
    """Return the autoscale maximum of all containers together, in whole thousands."""
    return math.ceil(most.ru / inputs["ru_headroom"] / 1000) * 1000


def render(found: Figures) -> str:
    """Return all tables as Markdown."""
    return "\n".join(
        (_needs_table(found.after), _bill_table(found.after), waterfall(found, bill), _inputs_table(found))
    )


def _needs_table(numbers: Inputs) -> str:
    found = [needs(rate, numbers) for rate in RATES]
    rows = {
        "cores busy: HTTP": [f"{n.http_cores:.1f}" for n in found],
        "cores busy: folding": [f"{n.fold_cores:.1f}" for n in found],
        "cores busy: roll-up": [f"{n.rollup_cores:.1f}" for n in found],
        "instances (2 GB, 1 core): HTTP": [f"{n.http_instances}" for n in found],
        "instances: folding": [f"{n.fold_instances}" for n in found],
        "instances: drainers of the roll-up": [f"{n.rollup_instances}" for n in found],
        "executions per feed and its batch": [f"{n.executions_per_feed:.2f}" for n in found],
        "request units a second: feed": [f"{n.ru_feed:,.0f}" for n in found],
        "request units a second: folding": [f"{n.ru_fold:,.0f}" for n in found],
        "request units a second: statistics": [f"{n.ru_statistics:,.0f}" for n in found],
        "request units a second: facts of videos": [f"{n.ru_facts:,.0f}" for n in found],
        "request units a second: everything": [f"{n.ru:,.0f}" for n in found],
        "autoscale maximum, if this is the peak": [f"{recommended_ru(n, numbers):,}" for n in found],
        "Service Bus, MB a second": [f"{n.bus_mb:.1f}" for n in found],
        "messaging units": [f"{n.messaging_units}{_several(n.namespaces)}" for n in found],
        "gateway capacity units": [f"{n.gateway_units}" for n in found],
        "App Configuration quota used": [f"{n.flag_share:.0%}" for n in found],
    }
    lines = ["| while it lasts | " + " | ".join(f"{rate:,}/s" for rate in RATES) + " |"]
    lines += ["|---|" + "---:|" * len(RATES)]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(values) + " |" for name, values in rows.items())]) + "\n"


def _bill_table(numbers: Inputs) -> str:
    months = ((600, 3_000), (3_000, 3_000), (6_000, 30_000), (30_000, 30_000))
    bills = [bill(average, peak, numbers) for average, peak in months]
    heads = [f"{average:,}/s, peak {peak:,}/s" for average, peak in months]
    lines = ["| dollars a month, on average | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(months)]
    lines += [f"| {part} | " + " | ".join(f"{each[part]:,.0f}" for each in bills) + " |" for part in bills[0]]
    lines += ["| **together** | " + " | ".join(f"**{sum(each.values()):,.0f}**" for each in bills) + " |"]
    per_million = [
        sum(each.values()) / (average * MONTH_SECONDS / 1e6) for each, (average, _) in zip(bills, months, strict=True)
    ]
    return (
        "\n".join(
            [
                *lines,
                "| a million feeds with their events | " + " | ".join(f"{price:.2f}" for price in per_million) + " |",
            ]
        )
        + "\n"
    )


def _inputs_table(found: Figures) -> str:
    lines = ["| from | value | before | where it comes from |", "|---|---:|---:|---|"]
    for name, each in found.by_name.items():
        before = f"{each.before:g} {each.unit}" if each.lever else ""
        lines.append(f"| {name.replace('_', ' ')} | {each.after:g} {each.unit} | {before} | {each.source} |")
    return "\n".join(lines) + "\n"


def _several(namespaces: int) -> str:
    return f" in {namespaces} namespaces" if namespaces > 1 else ""


def main() -> None:
    """Print the tables."""
    print(render(figures.read()), end="")


if __name__ == "__main__":
    main()
