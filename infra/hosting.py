"""What each host of the app costs: `python -m infra.hosting` prints the tables of decision 27.

Reads capacity.json for what a request takes; the hosts' prices stand here, because only this comparison uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra import figures
from infra.capacity import MONTH_SECONDS, bill, needs
from infra.figures import Inputs

RATES = (60, 200, 600, 3_000)
"""Feed requests a second, on average."""
PEAK_TO_AVERAGE = 5
ZONES = 3

PREMIUM_INSTANCE = 158.0
"""Dollars a month: Elastic Premium EP1, 1 core and 3.5 GB, price list, approximately."""
CONTAINER_CORE_SECOND, CONTAINER_GIB_SECOND = 0.000024, 0.000003
"""Dollars, active: Container Apps, Consumption plan, price list, approximately."""
CONTAINER_GIB = 2.0
CONTAINER_MILLION_REQUESTS = 0.4
"""Dollars: HTTP requests from outside the environment; messages and timers are not charged."""


@dataclass(frozen=True)
class Cost:
    """Dollars a month for what is counted (executions or requests) and for instances."""

    counted: float
    instances: float

    @property
    def together(self) -> float:
        return self.counted + self.instances


def flex(rate: float, inputs: Inputs) -> Cost:
    """Flex Consumption: every execution is charged, a feed and its batch make three."""
    found = bill(rate, rate * PEAK_TO_AVERAGE, inputs)
    instances = found["Functions, instances"] + found["Functions, instances for timers"]
    return Cost(found["Functions, executions"], instances)


def premium(rate: float, inputs: Inputs) -> Cost:
    """Elastic Premium: whole instances, at least one in each zone, for all functions together."""
    return Cost(0.0, max(ZONES, _cores(rate, inputs)) * PREMIUM_INSTANCE)


def container_apps(rate: float, inputs: Inputs) -> Cost:
    """Functions on Container Apps, Consumption plan: cores and memory by the second, and HTTP requests."""
    replica = (CONTAINER_CORE_SECOND + CONTAINER_GIB * CONTAINER_GIB_SECOND) * MONTH_SECONDS
    requests = 2 * rate * MONTH_SECONDS / 1e6 * CONTAINER_MILLION_REQUESTS
    return Cost(requests, max(ZONES, _cores(rate, inputs)) * replica)


HOSTS: Mapping[str, Callable[[float, Inputs], Cost]] = {
    "Flex Consumption": flex,
    "Elastic Premium": premium,
    "Container Apps": container_apps,
}


def _cores(rate: float, inputs: Inputs) -> float:
    """Instances of one core that the load keeps busy, on average."""
    found = needs(rate, inputs)
    return (found.http_cores + found.fold_cores + found.rollup_cores) / inputs["cpu_target"]


def break_even(host: str, inputs: Inputs) -> float | None:
    """The average rate from which a host is cheaper than Flex Consumption; None where it never is."""
    low, high = 0.1, 30_000.0
    if HOSTS[host](high, inputs).together >= flex(high, inputs).together:
        return None
    while high - low > 0.5:
        middle = (low + high) / 2
        if HOSTS[host](middle, inputs).together < flex(middle, inputs).together:
            high = middle
        else:
            low = middle
    return high


def render(inputs: Inputs) -> str:
    """The comparison as Markdown."""
    lines = ["| dollars a month, on average | " + " | ".join(f"{rate:,}/s" for rate in RATES) + " | cheaper from |"]
    lines += ["|---|" + "---:|" * (len(RATES) + 1)]
    for name, cost in HOSTS.items():
        costs = [cost(rate, inputs) for rate in RATES]
        cells = [f"{each.together:,.0f} ({each.counted:,.0f} counted)" for each in costs]
        since = None if cost is flex else break_even(name, inputs)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {f'{since:,.0f}/s' if since else '—'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    print(render(figures.read().after), end="")


if __name__ == "__main__":
    main()
