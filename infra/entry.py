"""Prices each possible public entry: `python -m infra.entry` prints the table of decision 33.

Reads the figures for the resources of a request. Prices that only this comparison uses are below. Every entry pays the
same traffic to the internet, so only different costs are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from infra import figures
from infra.capacity import covered_price, feed_response_bytes, firewall_price, gateway_units
from infra.figures import MONTH_SECONDS, Inputs

RATES = (600, 3_000, 30_000)
"""Feed requests a second, on average; each comes with a batch."""
ZONES = 3

FRONT_DOOR_BASE, FRONT_DOOR_10000_REQUESTS = 330.0, 0.015
"""Dollars a month, and for 10,000 requests: Front Door Premium, price list, nearest zone."""
FRONT_DOOR_TO_ORIGIN_GB, FRONT_DOOR_TO_CLIENT_GB = 0.02, 0.083
"""Dollars: price list, first tier."""
VM_CORES, VM_PRICE = 2, 63.0
"""A virtual machine of 2 cores and 8 GB, dollars a month, price list, approximately."""
BALANCER, BALANCER_GB = 18.0, 0.005
"""Dollars a month, and for a GB: Standard Load Balancer, price list."""
OWN_FIREWALL_MS = 2.0
"""CPU of a request (feed or batch) in a self-hosted firewall. Assumed: ModSecurity 3.0.15 with the Core Rule Set 3.3.4
at level 2 took 1.2 ms for a feed, and 0.3 ms for a batch without body inspection; TLS and the proxy are extra.
"""


@dataclass(frozen=True)
class Entry:
    """A public entry. `cost`: dollars a month at a rate, None if impossible; `fails`: the requirements it misses."""

    name: str
    cost: Callable[[float, Inputs], float] | None
    fails: str = ""


def _today(rate: float, inputs: Inputs) -> float:
    return firewall_price(gateway_units(rate, inputs), inputs)


def _covered(rate: float, inputs: Inputs) -> float:
    return covered_price(gateway_units(rate, inputs), inputs) + inputs["price_ddos_plan"]


def _newer(times: float) -> Callable[[float, Inputs], float]:
    def cost(rate: float, inputs: Inputs) -> float:
        return _today(rate, {**inputs, "requests_per_gateway_unit": times * inputs["requests_per_gateway_unit"]})

    return cost


def _front_door(rate: float, inputs: Inputs) -> float:
    month = rate * MONTH_SECONDS
    sent_gb, answered_gb = month * inputs["batch_request_kb"] / 1e6, month * feed_response_bytes(inputs) / 1e9
    dearer = answered_gb * (FRONT_DOOR_TO_CLIENT_GB - inputs["price_egress_gb"])
    return (
        FRONT_DOOR_BASE
        + inputs["calls_per_feed"] * month / 1e4 * FRONT_DOOR_10000_REQUESTS
        + sent_gb * FRONT_DOOR_TO_ORIGIN_GB
        + dearer
    )


def _machines(rate: float, inputs: Inputs) -> float:
    cores = inputs["calls_per_feed"] * rate * OWN_FIREWALL_MS / 1000 / inputs["cpu_target"]
    return max(ZONES, math.ceil(cores / VM_CORES)) * VM_PRICE


def own_firewall(rate: float, inputs: Inputs) -> float:
    """Return dollars a month of machines with a firewall behind a load balancer."""
    gb = rate * MONTH_SECONDS * (feed_response_bytes(inputs) + 1000 * inputs["batch_request_kb"]) / 1e9
    return BALANCER + gb * BALANCER_GB + _machines(rate, inputs)


def _own_behind_gateway(rate: float, inputs: Inputs) -> float:
    units = gateway_units(rate, {**inputs, "requests_per_gateway_unit": math.inf})
    return covered_price(units, inputs) + _machines(rate, inputs)


NOT_MANAGED = "rules, bot lists and images would be ours to keep current, and a limit per address one of each machine"
ENTRIES = (
    Entry("Application Gateway WAF_v2, ten requests a second and unit as published", _today),
    Entry("the same under a DDoS Network Protection plan", _covered),
    Entry("WAF_v2, if its engine does four times that", _newer(4), "an assumption, until the meter was read"),
    Entry("WAF_v2, if it does eight times that", _newer(8), "an assumption, until the meter was read"),
    Entry(
        "Front Door Premium with private link",
        _front_door,
        "a private link to this host is not confirmed; a shared cache",
    ),
    Entry("Load balancer, nginx with Coraza on machines of our own", own_firewall, NOT_MANAGED),
    Entry("Application Gateway Standard_v2, Coraza on machines behind it", _own_behind_gateway, NOT_MANAGED),
    Entry("API Management, Standard v2 or Premium v2", None, "no firewall of its own: comes on top of a gateway"),
    Entry("Application Gateway for Containers with its firewall", None, "leads to Kubernetes only"),
    Entry("Azure Firewall Premium", None, "no rules for HTTP by path, no limit per address, no certificate of ours"),
)


def plan_pays_from(inputs: Inputs) -> int:
    """Return the capacity units of one gateway from which a DDoS plan makes the firewall cheaper."""
    i = inputs
    fixed = i["price_ddos_plan"] - (i["price_gateway"] - i["price_gateway_covered"])
    return math.ceil(fixed / (i["price_gateway_unit"] - i["price_gateway_unit_covered"]))


def render(inputs: Inputs) -> str:
    """Return the comparison as Markdown."""
    lines = ["| dollars a month | " + " | ".join(f"{rate:,}/s" for rate in RATES) + " | what it does not hold |"]
    lines += ["|---|" + "---:|" * len(RATES) + "---|"]
    for entry in ENTRIES:
        costs = [f"{entry.cost(rate, inputs):,.0f}" if entry.cost else "–" for rate in RATES]
        lines.append(f"| {entry.name} | " + " | ".join(costs) + f" | {entry.fails} |")
    pays = plan_pays_from(inputs)
    feeds = pays * inputs["requests_per_gateway_unit"] / 2
    lines += ["", f"The plan pays from {pays} capacity units, that is {feeds:,.0f} feeds with their batches a second."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print it."""
    print(render(figures.read().after), end="")


if __name__ == "__main__":
    main()
