"""Renders a comparison as a report: a JSON object, Markdown, and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.compare import Comparison, Outcome
from learning import ranking_metrics as metrics
from learning.judge import Judged
from learning.ranking_metrics import Interval, difference_interval, lift_interval

BUCKETS = ((0, 3), (3, 10), (10, 30), (30, 60), (60, 100), (100, 10**9))
ENOUGH = 300
"""Least requests of a bucket for a claim about it."""


def summarize(
    comparison: Comparison, against: str, ours: Sequence[str], dropped: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """Compute every figure. `against`: the fitted popularity; `ours`: contestants with intervals and buckets;
    `dropped`: by contestant, the feature it lacks and the contestant that differs only in having it."""
    theirs = comparison.outcomes[against]
    tables = {
        name: _row(comparison, outcome, theirs) for name, outcome in comparison.outcomes.items() if name not in dropped
    }
    return {
        "requests": comparison.requests,
        "poolRequests": len(comparison.user),
        "longViewsOutsidePool": comparison.outside_pool,
        "shownGroups": len(comparison.group_user),
        "users": len(np.unique(comparison.user)),
        "days": len(np.unique(comparison.day)),
        "against": against,
        "contestants": tables,
        "served": {
            name: _served(comparison, name, against) for name in comparison.judge.catalog.ndcg if name != against
        },
        "servedRequests": len(comparison.judge.catalog.user),
        "explored": {name: comparison.judge.explored.report(name, against) for name in ours},
        "buckets": {name: _buckets(comparison.judge.with_slot, name, against) for name in ours},
        "dropOne": {
            whole: {
                feature: _dropped(comparison, comparison.outcomes[name], comparison.outcomes[whole])
                for name, (feature, than) in dropped.items()
                if than == whole
            }
            for whole in dict.fromkeys(than for _, than in dropped.values())
        },
    }


def _row(comparison: Comparison, outcome: Outcome, theirs: Outcome) -> dict[str, Any]:
    ndcg, reference = np.array(outcome.ndcg), np.array(theirs.ndcg)
    known = comparison.creators >= 0
    creators = np.bincount(comparison.creators[known], outcome.exposure[known]).astype(np.float64)
    weights = comparison.group_size
    same = outcome is theirs
    return {
        "ndcg": _mean(ndcg),
        "liftOverUsers": None if same else _edges(lift_interval(ndcg, reference, comparison.user)),
        "liftOverDays": None if same else _edges(lift_interval(ndcg, reference, comparison.day)),
        "hitRate": _mean(outcome.hits),
        "map": _mean(outcome.precision),
        "gauc": float(np.average(outcome.group_auc, weights=weights)) if len(weights) else None,
        "gaucDifference": None
        if same or not len(weights)
        else _edges(difference_interval(outcome.group_auc, theirs.group_auc, comparison.group_user, weights=weights)),
        "coverage": float((outcome.exposure > 0).mean()),
        "creatorGini": metrics.gini(creators),
        "intraListDiversity": 1.0 - _mean(outcome.likeness),
    }


def _served(comparison: Comparison, name: str, against: str) -> dict[str, Any]:
    """Return the lift of the served page over the whole catalog, with and without exploration, and the placebo's."""
    found: dict[str, Any] = {}
    judge = comparison.judge
    for protocol, judged in (("withSlot", judge.with_slot), ("withoutSlot", judge.catalog), ("placebo", judge.placebo)):
        ours, theirs = judged.of(name), judged.of(against)
        found[protocol] = {
            "ndcg": _mean(ours),
            "overUsers": _edges(lift_interval(ours, theirs, np.array(judged.user))),
            "overDays": _edges(lift_interval(ours, theirs, np.array(judged.day))),
        }
    return found


def _buckets(judged: Judged, name: str, against: str) -> list[dict[str, Any]]:
    rows = []
    history, users = np.array(judged.history), np.array(judged.user)
    for low, high in BUCKETS:
        inside = (history >= low) & (history < high)
        count = int(inside.sum())
        if not count:
            continue
        ours, reference = judged.of(name)[inside], judged.of(against)[inside]
        rows.append(
            {
                "events": f"{low}–{high - 1}" if high < 10**9 else f"{low}+",
                "requests": count,
                "ndcg": _mean(ours),
                "reference": _mean(reference),
                "lift": _edges(lift_interval(ours, reference, users[inside])),
            }
        )
    return rows


def _dropped(comparison: Comparison, without: Outcome, whole: Outcome) -> dict[str, Any]:
    ndcg = lift_interval(np.array(without.ndcg), np.array(whole.ndcg), comparison.user)
    gauc = difference_interval(without.group_auc, whole.group_auc, comparison.group_user, weights=comparison.group_size)
    return {"ndcgChange": _edges(ndcg), "gaucChange": _edges(gauc)}


def verdicts(summary: Mapping[str, Any], full: str) -> dict[str, bool]:
    """Return whether each promise is kept. A bucket is worse only when its whole interval is below zero."""
    served, row = summary["served"][full], summary["contestants"][full]
    slot = served["withSlot"]
    honest = served["withoutSlot"]["overUsers"]["value"] - served["placebo"]["overUsers"]["value"]
    return {
        "whole catalog with the exploration slot: NDCG@20 at least +38 %": slot["overUsers"]["value"] >= 0.38,
        "its lower bound over users at least +31 %": slot["overUsers"]["low"] >= 0.31,
        "shown-only GAUC at least .590": (row["gauc"] or 0.0) >= 0.59,
        "lift without the slot at least 12 points above the placebo": honest >= 0.12,
        "no history bucket worse": all(
            each["lift"]["high"] >= 0 for each in summary["buckets"][full] if each["requests"] >= ENOUGH
        ),
    }


def markdown(summary: Mapping[str, Any], about: Mapping[str, Any], kept: Mapping[str, bool]) -> str:
    """Return the report as Markdown."""
    lines = [
        "# Offline evaluation",
        "",
        f"Test days from {about['testFrom']} to {about['testUntil']}. **This is look number {about['look']} at these "
        "days.** Each look makes the next one a little less honest.",
        "",
        f"{summary['requests']:,} requests of the log, {summary['poolRequests']:,} of them with a long view inside the "
        f"pool ({summary['longViewsOutsidePool']:,} outside it), by {summary['users']:,} users on {summary['days']} "
        f"days; {summary['shownGroups']:,} user-days with both outcomes for the shown-only protocol.",
        f"Lifts are against *{summary['against']}*, with 95 % paired bootstrap intervals over users and over days "
        "(few days make a rough interval).",
        "",
        "",
        "## What users would be served",
        "",
        f"The whole catalog, no request dropped: {summary['servedRequests']:,} requests after which the user watched "
        "something long. *With the slot* is what users get: one place goes to a video that few have seen. The placebo "
        "asks how well a ranking guesses what the old app showed and users did **not** watch long; what it gains there "
        "is imitation, so read the lift without the slot against it.",
        "",
        "| served | with the slot | without it | placebo | difference to the placebo |",
        "|---|---|---|---|---|",
        *(_served_line(name, each) for name, each in summary["served"].items()),
        "",
        *_explored_lines(summary),
        "## In a pool, by scores",
        "",
        "| contestant | NDCG@20 | lift [users] [days] | hit rate | MAP | GAUC, shown only | coverage | creator Gini "
        "| diversity |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in summary["contestants"].items():
        over_users, over_days = row["liftOverUsers"], row["liftOverDays"]
        lift = (
            "–" if over_users is None else f"{_percent(over_users)} [{over_days['low']:+.1%}, {over_days['high']:+.1%}]"
        )
        gauc = "–" if row["gauc"] is None else f"{row['gauc']:.4f}"
        if row["gaucDifference"]:
            gap = row["gaucDifference"]
            gauc += f" ({gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}])"
        lines.append(
            f"| {name} | {row['ndcg']:.4f} | {lift} | {row['hitRate']:.3f} | {row['map']:.4f} | {gauc} "
            f"| {row['coverage']:.1%} | {row['creatorGini']:.3f} | {row['intraListDiversity']:.3f} |"
        )
    for name, rows in summary["buckets"].items():
        lines += ["", f"## By history: {name}", "", "| events before | requests | NDCG@20 | reference | lift |"]
        lines.append("|---|---|---|---|---|")
        for b in rows:
            count = f"{b['requests']:,}" + ("" if b["requests"] >= ENOUGH else " (too few to tell)")
            lines.append(
                f"| {b['events']} | {count} | {b['ndcg']:.4f} | {b['reference']:.4f} | {_percent(b['lift'])} |"
            )
    for whole, changes in summary["dropOne"].items():
        lines += ["", f"## Dropping one feature, the other weights as they are: {whole}", ""]
        lines += ["| without | NDCG@20 | GAUC, shown only |", "|---|---|---|"]
        for feature, change in changes.items():
            gap = change["gaucChange"]
            lines.append(
                f"| {feature} | {_percent(change['ndcgChange'])} "
                f"| {gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}] |"
            )
    lines += ["", "## Promises", ""]
    lines += [f"- {'kept' if held else '**NOT KEPT**'}: {promise}" for promise, held in kept.items()]
    lines += ["", "## Models", ""]
    lines += [f"- {name}: `{version}`" for name, version in about["models"].items()]
    return "\n".join(lines) + "\n"


def _explored_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines about the exploration slot; none for a log without explored videos."""
    found = summary["explored"]
    if not any(each["shown"] for each in found.values()):
        return []
    lines = [
        "## What chance showed",
        "",
        "Videos of the exploration slot, drawn with a known chance and weighted by it: how well each ranking tells "
        "which were watched long (AUC; .5 = not at all). Imitation of the old app gains nothing here. *Effective*: how "
        "many equally weighted outcomes tell as much; below 100 no figure is given.",
        "",
        "| ranking | shown by chance | watched long | effective | AUC | popularity's | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in found.items():
        cells = ["–", "–", "–"]
        if each["auc"] is not None:
            value, low, high = each["difference"]
            against = each["auc"][summary["against"]]
            cells = [f"{each['auc'][name]:.4f}", f"{against:.4f}", f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"]
        lines.append(
            f"| {name} | {each['shown']:,} | {each['longViews']:,} | {each['effective']:,.0f} | {' | '.join(cells)} |"
        )
    return [*lines, ""]


def _served_line(name: str, served: Mapping[str, Any]) -> str:
    slot, without, placebo = served["withSlot"], served["withoutSlot"], served["placebo"]
    gap = without["overUsers"]["value"] - placebo["overUsers"]["value"]
    days = f"[{slot['overDays']['low']:+.1%}, {slot['overDays']['high']:+.1%}]"
    cells = (f"{_percent(slot['overUsers'])} {days}", _percent(without["overUsers"]), _percent(placebo["overUsers"]))
    return f"| {name} | {' | '.join(cells)} | {gap * 100:+.1f} points |"


def nights_markdown(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the model that a tenant was served after each night, and why, as Markdown."""

    def percent(edges: Sequence[float] | None) -> str:
        return "–" if edges is None else f"{edges[0]:+.1%} [{edges[1]:+.1%}, {edges[2]:+.1%}]"

    lines = [
        "# Night by night",
        "",
        "Lifts of the day over the tenant's own fitted popularity of the night before, whole catalog, NDCG@20.",
        "",
        "| day | requests | personal model | placebo | without learning | from now on | why |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in reports:
        lines.append(
            f"| {np.datetime64(int(each['day']), 'D')} | {each['requests']:,} | {percent(each['lift'])} "
            f"| {percent(each['placebo'])} | {percent(each['withoutLearning'])} | {each['served']} | {each['why']} |"
        )
    return "\n".join(lines) + "\n"


def plot(summary: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw bars with intervals for the lifts, the buckets and the dropped features. Return the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = []

    def bars(file: str, title: str, labels: list[str], intervals: list[dict[str, float]], unit: float = 100.0) -> None:
        figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.35 * len(labels)))
        values = np.array([i["value"] for i in intervals]) * unit
        ends = np.array([[i["value"] - i["low"], i["high"] - i["value"]] for i in intervals]).T * unit
        axes.barh(labels, values, xerr=np.maximum(ends, 0), color="#4477aa", ecolor="#222222", capsize=3)
        axes.axvline(0, color="#222222", linewidth=0.8)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=10)
        figure.tight_layout()
        figure.savefig(folder / file, dpi=110)
        pyplot.close(figure)
        drawn.append(folder / file)

    rows = {name: row["liftOverUsers"] for name, row in summary["contestants"].items() if row["liftOverUsers"]}
    bars("lifts.png", f"NDCG@20 against {summary['against']}, %", list(rows), list(rows.values()))
    for number, (name, found) in enumerate(summary["buckets"].items()):
        labels = [f"{b['events']} ({b['requests']:,})" for b in found]
        bars(f"history-{number}.png", f"{name}: lift by events before, %", labels, [b["lift"] for b in found])
    for number, (name, found) in enumerate(summary["dropOne"].items()):
        changes = [change["ndcgChange"] for change in found.values()]
        bars(f"drop-one-{number}.png", f"{name}: NDCG@20 without one feature, %", list(found), changes)
    return drawn


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _edges(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _percent(edges: Mapping[str, float]) -> str:
    return f"{edges['value']:+.1%} [{edges['low']:+.1%}, {edges['high']:+.1%}]"
