"""Prices ideas that would halve the bill: `python -m infra.half` prints the table of `docs/operations.md`.

None of the ideas is built or promised. Each line has the saving in addition to the lines above, and its requirements or
losses. The most worthwhile ideas come first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from infra import entry, figures
from infra.capacity import bill
from infra.figures import Inputs
from infra.hosting import HOSTS
from infra.waterfall import TARGETS

FIREWALL = "Gateway with firewall"
NODES = "Container Apps, Dedicated"


@dataclass(frozen=True)
class World:
    """A variant of the bill: its figures, another host (empty: Flex Consumption), a self-hosted firewall."""

    inputs: Inputs
    host: str = ""
    own_firewall: bool = False

    def bill(self, average: float, peak: float) -> dict[str, float]:
        """Return dollars a month by part."""
        parts = dict(bill(average, peak, self.inputs))
        if self.host:
            parts = {part: cost for part, cost in parts.items() if not part.startswith("Functions")}
            parts["Functions"] = HOSTS[self.host](average, self.inputs).together
        if self.own_firewall:
            parts[FIREWALL] = entry.own_firewall(average, self.inputs)
        return parts

    def together(self) -> list[float]:
        return [sum(self.bill(average, peak).values()) for average, peak in TARGETS]


@dataclass(frozen=True)
class Idea:
    """An idea that would lower the bill, and its requirements."""

    name: str
    needs: str
    inputs: Mapping[str, float] = field(default_factory=dict)
    world: Callable[[World], World] = lambda world: world

    def applied(self, world: World) -> World:
        return self.world(replace(world, inputs={**world.inputs, **self.inputs}))


IDEAS = (
    Idea(
        "the app on dedicated nodes of Container Apps",
        "an image, scaling rules and their tests (decision 27)",
        world=lambda world: replace(world, host=NODES),
    ),
    Idea(
        "messaging units that follow the load",
        "autoscale of the namespace; a sudden crowd waits minutes for units, its batches are refused until then",
        {"bus_follows_load": 1},
    ),
    Idea(
        "one hop instead of two on the bus",
        "a fold that writes what the statistics need where they read it, as often once as now",
        {"rollup_hops": 0},
    ),
    Idea(
        "a fold's marker inside the signals",
        "another proof of exactly once than a document that exists or not; larger signals",
        {"markers_per_fold": 0},
    ),
    Idea(
        "events sent with the next feed",
        "SDKs that wait with them; a batch then comes as late as the next page",
        {"calls_per_feed": 1},
    ),
    Idea(
        "a firewall of our own",
        "rules, images and certificates that we keep current (decision 33)",
        world=lambda world: replace(world, own_firewall=True),
    ),
)


def render(inputs: Inputs) -> str:
    """Return the table as Markdown."""
    heads = [f"{average:,}/s, peak {peak:,}/s" for average, peak in TARGETS]
    lines = ["| dollars a month | " + " | ".join(heads) + " | what it needs or gives up |"]
    lines += ["|---|" + "---:|" * len(TARGETS) + "---|"]
    world = World(inputs)
    costs = first = world.together()
    lines.append(_line("**as it is**", [f"**{cost:,.0f}**" for cost in costs]))
    for idea in IDEAS:
        world = idea.applied(world)
        now = world.together()
        lines.append(
            _line(idea.name, [f"−{was - then:,.0f}" for was, then in zip(costs, now, strict=True)], idea.needs)
        )
        costs = now
    lines.append(_line("**with all of it**", [f"**{cost:,.0f}**" for cost in costs]))
    lines.append(_line("half of what it is", [f"{cost / 2:,.0f}" for cost in first]))
    return "\n".join(lines) + "\n"


def _line(name: str, values: list[str], needs: str = "") -> str:
    return f"| {name} | " + " | ".join(values) + f" | {needs} |"


def main() -> None:
    """Print it."""
    print(render(figures.read().after), end="")


if __name__ == "__main__":
    main()
