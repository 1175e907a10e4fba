"""Prices each possible host of the app: `python -m infra.hosting` prints the tables of decision 27.

Reads capacity.json for the resources of a request. The hosts' prices are below, because only this comparison uses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra import figures
from infra.capacity import bill, needs
from infra.figures import MONTH_SECONDS, Inputs

RATES = (60, 200, 600, 3_000, 30_000)
"""Feed requests a second, on average."""
PEAK_TO_AVERAGE = 5
ZONES = 3
ON_ANOTHER_HOST = {(600, 3_000): 7_500.0, (3_000, 3_000): 22_000.0, (30_000, 30_000): 200_000.0}
"""Target for the whole bill on another host, by average and peak rate."""

PREMIUM_INSTANCE, PREMIUM_MOST = 158.0, 100
"""Dollars a month of Elastic Premium EP1 (1 core, 3.5 GB), approximate price list; most instances of an app."""
CONTAINER_CORE_SECOND, CONTAINER_GIB_SECOND = 0.000024, 0.000003
"""Dollars, active: Container Apps, Consumption plan, price list, approximately."""
CONTAINER_GIB = 2.0
CONTAINER_MILLION_REQUESTS = 0.4
"""Dollars: HTTP requests from outside the environment; messages and timers are not charged."""
DEDICATED_CORE_HOUR, DEDICATED_GIB_HOUR, DEDICATED_HOUR = 0.0571, 0.00498, 0.10
"""Dollars: Container Apps, Dedicated plan, a core, a GiB, and the plan itself: retail prices of May 2026, in a region
whose prices for the Consumption plan are those above. It does not charge for requests.
"""
DEDICATED_CORES, DEDICATED_GIB = 4, 16
"""Size of a node, profile D4. Nodes are charged whole."""


@dataclass(frozen=True)
class Cost:
    """Dollars a month for executions or requests, and for instances."""

    counted: float
    instances: float

    @property
    def together(self) -> float:
        return self.counted + self.instances


def flex(rate: float, inputs: Inputs) -> Cost:
    """Flex Consumption: every execution is charged."""
    found = bill(rate, rate * PEAK_TO_AVERAGE, inputs)
    instances = found["Functions, instances"] + found["Functions, instances for timers"]
    return Cost(found["Functions, executions"], instances)


def premium(rate: float, inputs: Inputs) -> Cost:
    """Elastic Premium: whole instances, at least one in each zone, for all functions together."""
    return Cost(0.0, max(ZONES, _cores(rate, inputs)) * PREMIUM_INSTANCE)


def container_apps(rate: float, inputs: Inputs) -> Cost:
    """Functions on Container Apps, Consumption plan: cores and memory by the second, and HTTP requests."""
    replica = (CONTAINER_CORE_SECOND + CONTAINER_GIB * CONTAINER_GIB_SECOND) * MONTH_SECONDS
    requests = inputs["calls_per_feed"] * rate * MONTH_SECONDS / 1e6 * CONTAINER_MILLION_REQUESTS
    return Cost(requests, max(ZONES, _cores(rate, inputs)) * replica)


def dedicated(rate: float, inputs: Inputs) -> Cost:
    """Functions on Container Apps, Dedicated plan: whole nodes, at least one in each zone, shared by all functions."""
    node = DEDICATED_CORES * DEDICATED_CORE_HOUR + DEDICATED_GIB * DEDICATED_GIB_HOUR
    nodes = max(ZONES, math.ceil(_cores(rate, inputs) / DEDICATED_CORES))
    return Cost(0.0, (nodes * node + DEDICATED_HOUR) * MONTH_SECONDS / 3600)


HOSTS: Mapping[str, Callable[[float, Inputs], Cost]] = {
    "Flex Consumption": flex,
    "Elastic Premium": premium,
    "Container Apps, Consumption": container_apps,
    "Container Apps, Dedicated": dedicated,
}


def _cores(rate: float, inputs: Inputs) -> float:
    """Return the mean number of one-core instances that the load keeps busy."""
    found = needs(rate, inputs)
    return (found.http_cores + found.fold_cores + found.rollup_cores) / inputs["cpu_target"]


def break_even(host: str, inputs: Inputs) -> float | None:
    """Return the average rate from which a host is cheaper than Flex Consumption; None for never, 0 for always."""
    low, high = 0.1, 30_000.0
    if HOSTS[host](high, inputs).together >= flex(high, inputs).together:
        return None
    if HOSTS[host](low, inputs).together < flex(low, inputs).together:
        return 0.0
    while high - low > 0.5:
        middle = (low + high) / 2
        if HOSTS[host](middle, inputs).together < flex(middle, inputs).together:
            high = middle
        else:
            low = middle
    return high


def whole_bill(host: str, average: float, peak: float, inputs: Inputs) -> float:
    """Return the whole bill with the functions on another host."""
    parts = bill(average, peak, inputs)
    return (
        sum(parts[part] for part in parts if not part.startswith("Functions")) + HOSTS[host](average, inputs).together
    )


def render(inputs: Inputs) -> str:
    """Return the comparison of hosts, and the whole bill on each, as Markdown."""
    lines = ["| dollars a month, on average | " + " | ".join(f"{rate:,}/s" for rate in RATES) + " | cheaper from |"]
    lines += ["|---|" + "---:|" * (len(RATES) + 1)]
    for name, cost in HOSTS.items():
        costs = [cost(rate, inputs) for rate in RATES]
        cells = [f"{each.together:,.0f} ({each.counted:,.0f} counted)" for each in costs]
        if name == "Elastic Premium":
            cells = [
                cell if _cores(rate, inputs) <= PREMIUM_MOST else "–" for cell, rate in zip(cells, RATES, strict=True)
            ]
        since = None if cost is flex else break_even(name, inputs)
        cheaper = "—" if since is None else f"{since:,.0f}/s" if since else "always"
        lines.append(f"| {name} | " + " | ".join([*cells, cheaper]) + " |")
    heads = [f"{average:,}/s, peak {peak:,}/s" for average, peak in ON_ANOTHER_HOST]
    lines += [
        "",
        "| the whole bill, dollars a month | " + " | ".join(heads) + " |",
        "|---|" + "---:|" * len(ON_ANOTHER_HOST),
    ]
    for name in ("Flex Consumption", "Container Apps, Consumption", "Container Apps, Dedicated"):
        bills = [
            sum(bill(average, peak, inputs).values())
            if name == "Flex Consumption"
            else whole_bill(name, average, peak, inputs)
            for average, peak in ON_ANOTHER_HOST
        ]
        lines.append(f"| {name} | " + " | ".join(f"{each:,.0f}" for each in bills) + " |")
    wanted = " | ".join(f"{target:,.0f}" for target in ON_ANOTHER_HOST.values())
    return "\n".join([*lines, f"| to reach on another host, at most | {wanted} |"]) + "\n"


def main() -> None:
    print(render(figures.read().after), end="")


if __name__ == "__main__":
    main()
