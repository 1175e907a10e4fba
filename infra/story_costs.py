"""Computes the cost of stories for an assumed use: `python -m infra.story_costs` prints the table of
`docs/operations.md`.

The bill of `infra/capacity.py` does not include them: while the flag is off they cost nothing. Reads and writes of each
story, view and reaction are counted from the code. The use of stories is an assumption in `capacity.json`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from infra import figures
from infra.capacity import read_units, write_units
from infra.figures import MONTH_SECONDS, Inputs

USES = (1_000, 8_000)
"""Stories of a tenant per day."""
SMALL = 600
"""Bytes of a small document: the published charge is the same up to 1 kB."""


@dataclass(frozen=True)
class Use:
    """Calls a second by kind, of all tenants together."""

    stories: float
    uploads: float
    views: float
    reactions: float
    rows: float
    events: float

    @property
    def calls(self) -> float:
        """Return the calls through the gateway; an upload has two, request and completion."""
        return self.stories + 2 * self.uploads + self.views + self.reactions + self.rows + self.events

    @classmethod
    def of(cls, stories_a_day: float, i: Inputs) -> Use:
        stories = i["tenants"] * stories_a_day / 86_400
        views = stories * i["story_views"]
        return cls(
            stories=stories,
            uploads=stories * i["story_media_share"],
            views=views,
            reactions=stories * i["story_reactions"],
            rows=views / i["story_views_per_row"],
            events=views * i["story_events_per_view"],
        )


@dataclass(frozen=True)
class Traffic:
    """Work of the store, per second."""

    reads: float
    writes: float
    units: float
    bytes: float


def traffic(use: Use, i: Inputs) -> Traffic:
    """Return reads, writes (a batch counts once), request units and document bytes, per second."""
    seen, inbox, counts = i["story_seen_bytes"], i["story_inbox_bytes"], i["story_counts_bytes"]
    circle = i["story_circle_bytes"]
    # how often, bytes of each read, writes, bytes of each document written (a batch is charged as its operations)
    rows: tuple[tuple[float, tuple[float, ...], int, tuple[float, ...]], ...] = (
        (use.stories, (SMALL, SMALL, SMALL), 3, (SMALL,) * 5),  # key, limits, pointer; the story; its end
        (use.uploads, (SMALL,) * 4, 2, (SMALL,) * 4),  # the ticket with its limits, twice
        (use.views, (circle, seen, inbox, counts), 4, (seen, SMALL, inbox, counts, SMALL)),  # noted, told, counted
        (use.reactions, (circle, seen, SMALL, inbox, counts), 3, (SMALL, inbox, counts, SMALL)),
        (use.rows, (circle, seen), 0, ()),
        (use.events, (inbox,), 0, ()),
        (2 * use.stories * i["always_ready_http"], (SMALL,), 0, ()),  # each instance pulls its beginning and end
    )
    return Traffic(
        reads=sum(rate * len(read) for rate, read, _, _ in rows),
        writes=sum(rate * writes for rate, _, writes, _ in rows),
        units=sum(
            rate * (sum(map(read_units, read)) + i["replace_times"] * sum(map(write_units, written)))
            for rate, read, _, written in rows
        ),
        bytes=sum(rate * (sum(read) + sum(written)) for rate, read, _, written in rows),
    )


def added(stories_a_day: float, inputs: Inputs) -> dict[str, float]:
    """Return the dollars a month that stories add, by part. Without stories, only the unit of Web PubSub."""
    i, use = inputs, Use.of(stories_a_day, inputs)
    store = traffic(use, inputs)
    cpu_ms = use.calls * (i["worker_cpu_ms"] + i["story_call_cpu_ms"])
    cpu_ms += store.reads * i["signals_read_cpu_ms"] + store.writes * i["story_write_cpu_ms"]
    gateway = math.ceil(round(use.calls / i["requests_per_gateway_unit"], 9))
    shown_gb = use.views * i["story_media_share"] * i["story_media_kb"] / 1e6 * MONTH_SECONDS
    held_gb = use.uploads * i["story_media_kb"] / 1e6 * 86_400 * (i["story_hours"] / 24)
    listening = i["tenants"] * stories_a_day * i["story_listening"]
    nudges_a_day = (use.views + use.reactions) * 86_400 * i["story_listening"]
    nudging_units = max(1, math.ceil(listening / 1_000), math.ceil(nudges_a_day / 1e6))
    return {
        "Functions, executions": use.calls * MONTH_SECONDS / 1e6 * i["price_million_executions"],
        "Functions, instances": cpu_ms / 1000 / i["cpu_target"] * i["price_instance_on_demand"],
        "Cosmos DB": store.units * i["ru_hour_maximum"] / 1000 * i["price_1000_ru"],
        "Gateway with firewall": gateway * i["price_gateway_unit"],
        "Private endpoints": store.bytes * MONTH_SECONDS / 1e9 * i["price_private_gb"],
        "Media, held and moved": held_gb * i["price_blob_gb"]
        + 3 * use.uploads * MONTH_SECONDS / 1e4 * i["price_10000_blob_writes"]
        + use.views * i["story_media_share"] * MONTH_SECONDS / 1e4 * i["price_10000_blob_reads"],
        "Media, traffic to the internet": shown_gb * i["price_egress_gb"],
        "Web PubSub": nudging_units * i["price_nudging_unit"],
    }


def render(inputs: Inputs) -> str:
    """Return the table as Markdown."""
    uses = [Use.of(each, inputs) for each in USES]
    costs = [added(each, inputs) for each in USES]
    units = [traffic(each, inputs).units for each in uses]
    lines = ["| stories a tenant and day | " + " | ".join(f"{each:,}" for each in USES) + " |"]
    lines.append("|---|" + "---:|" * len(USES))
    lines.append(_row("stories a second, all tenants", [f"{each.stories:,.1f}" for each in uses]))
    lines.append(_row("views a second", [f"{each.views:,.0f}" for each in uses]))
    lines.append(_row("calls a second", [f"{each.calls:,.0f}" for each in uses]))
    lines.append(_row("request units a second", [f"{each:,.0f}" for each in units]))
    lines += [_row(f"{part}, dollars a month", [f"{each[part]:,.0f}" for each in costs]) for part in costs[0]]
    lines.append(_row("**together, dollars a month**", [f"**{sum(each.values()):,.0f}**" for each in costs]))
    return "\n".join(lines) + "\n"


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    print(render(figures.read().after), end="")


if __name__ == "__main__":
    main()
