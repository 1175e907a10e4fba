"""`python -m evaluation COMMAND …` evaluates and trains rankings offline on a log.

`replay` reports on a ranking, `similar` on lists of similar videos. `train` fits a ranking. `nights` learns a log day
by day; `tenants` does so for tenants of many kinds. `holdout` serves generated tenants with what they learned.

All need the packages in requirements-evaluation.txt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from evaluation.compare import compare
from evaluation.contestants import BASELINES, droppable, without
from evaluation.kept_tables import kept_tables
from evaluation.parquet_log import read_parquet
from evaluation.progress import with_progress
from evaluation.report import markdown, nights_markdown, plot, summarize, verdicts
from evaluation.similar_lists import judge_similar, similar_markdown, similar_report
from evaluation.simulated_serving import SimulatedTenant, served_days_markdown
from evaluation.tenant_kinds import DISTURBED, KINDS, world_of
from evaluation.tenant_learning import learn_all, tenants_markdown, tenants_of
from learning.fit import (
    LIMITS_NEXT_WATCH,
    NOT_LEARNED,
    POPULARITY,
    SHOWN_WEIGHT,
    SHOWN_WEIGHT_NEXT_WATCH,
    SHRINK,
)
from learning.learner import LEARNED, Learner, ShownWeights, fit_personal, fit_popularity
from learning.log import Log, UnreadableLog, read_json_lines
from learning.replay import Replay, Visit
from learning.samples import Collector, Samples
from learning.scoring import Contestant
from ranking.features import FEATURES
from ranking.model import InvalidModel, LinearModel, global_model, parse, popularity_model

FITTED = "fitted popularity, several windows"
LIGHT, FULL, FALLBACK = "light features", "with next watch", "shipped fallback"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns exit code 0; 1 when a promise is not kept (`replay --check`); 2 for bad input."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (UnreadableLog, InvalidModel, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    commands = parser.add_subparsers(required=True)
    replay = commands.add_parser("replay", help="compare a ranking with popularity and simpler ideas")
    train = commands.add_parser("train", help="fit weights and write a model version")
    nights = commands.add_parser("nights", help="learn a log day by day, as a tenant's nights would")
    similar = commands.add_parser("similar", help="ask how often the next long view is on the list for the one before")
    for command in (replay, train, nights, similar):
        command.add_argument("--exposures", type=Path, help="parquet of videos shown")
        command.add_argument("--events", type=Path, help="instead: JSON lines of archived events, a file or a folder")
        command.add_argument("--videos", type=Path, required=True, help="parquet, or JSON lines beside --events")
        command.add_argument("--history", type=Path, help="parquet of what users watched before the log")
        command.add_argument("--half-life-days", type=float, default=14.0, help="of affinities (default 14)")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--tables", type=Path, help="folder that keeps next-watch tables between runs")
    for command in (replay, similar):
        command.add_argument("--test-from", type=_date, required=True, help="first test day, such as 2022-05-02 (UTC)")
        command.add_argument("--test-until", type=_date, help="first day after the test (default: the log's end)")
    replay.add_argument(
        "--train-from", type=_date, help="first day the baseline is fitted on (default: third of the log)"
    )
    replay.add_argument("--model", type=Path, help="a model file instead of one fitted to the days before the test")
    replay.add_argument("--shipped", action="store_true", help="the shipped global model instead")
    replay.add_argument("--no-drop", action="store_true", help="leave out the drop-one-feature table (faster)")
    replay.add_argument("--out", type=Path, required=True, help="folder for report.md, report.json and plots")
    replay.add_argument("--check", action="store_true", help="exit with 1 unless every promise is kept")
    replay.set_defaults(run=_replay)
    train.add_argument("--train-from", type=_date, required=True)
    train.add_argument("--train-until", type=_date, required=True, help="first day not learned from")
    train.add_argument("--prior", type=Path, help="model to shrink towards, such as the global one for a tenant")
    train.add_argument("--shrink", type=float, default=SHRINK, help=f"strength of that (default {SHRINK})")
    beside = "what a user's day of shown videos weighs against a request"
    train.add_argument("--shown-weight", type=float, default=SHOWN_WEIGHT, help=f"{beside} (default {SHOWN_WEIGHT})")
    train.add_argument(
        "--shown-weight-next-watch",
        type=float,
        default=SHOWN_WEIGHT_NEXT_WATCH,
        help=f"the same where next watch says something (default {SHOWN_WEIGHT_NEXT_WATCH})",
    )
    train.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="FEATURE=LOWEST:HIGHEST",
        help="of a weight where next watch says something; repeats (default those of learning/fit.py)",
    )
    train.add_argument("--popularity", action="store_true", help="fit only popularity features: a fallback")
    train.add_argument("--name", default="global", help="how the version starts")
    train.add_argument("--out", type=Path, required=True, help="model file to write; must not exist yet")
    train.set_defaults(run=_train)
    nights.add_argument("--out", type=Path, help="folder for nights.md and nights.json")
    nights.set_defaults(run=_nights)
    similar.add_argument("--out", type=Path, help="folder for similar.md and similar.json")
    similar.set_defaults(run=_similar)
    tenants = commands.add_parser("tenants", help="let tenants of many kinds learn, generated ones and parts of a log")
    tenants.add_argument("--exposures", type=Path, help="parquet of videos shown, to cut tenants from")
    tenants.add_argument("--videos", type=Path)
    tenants.add_argument("--history", type=Path)
    tenants.add_argument("--share", type=float, action="append", default=[], help="of its users, such as 0.1; repeats")
    tenants.add_argument("--count", type=int, default=10, help="random parts for each share (default 10)")
    tenants.add_argument(
        "--kind", action="append", choices=[*KINDS, "none"], help="generated kind; repeats (default all)"
    )
    tenants.add_argument("--half-life-days", type=float, default=14.0)
    tenants.add_argument("--out", type=Path, help="folder for tenants.md and tenants.json; results there are kept")
    tenants.set_defaults(run=_tenants)
    holdout = commands.add_parser("holdout", help="serve generated tenants to whom something happens, night by night")
    holdout.add_argument("--kind", action="append", choices=list(DISTURBED), help="repeats (default all)")
    holdout.add_argument("--seed", type=int, default=0)
    holdout.add_argument("--out", type=Path, help="folder for holdout.md and holdout.json")
    holdout.set_defaults(run=_holdout)
    return parser


def _date(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _limit(text: str) -> tuple[str, tuple[float, float]]:
    name, _, edges = text.partition("=")
    lowest, _, highest = edges.partition(":")
    if name not in FEATURES or not float(lowest) <= float(highest):
        raise ValueError(f"{text!r} is no limit of a feature: write FEATURE=LOWEST:HIGHEST.")
    return name, (float(lowest), float(highest))


def _log(options: argparse.Namespace) -> Log:
    if (options.exposures is None) == (options.events is None):
        raise UnreadableLog("Give either --exposures (parquet) or --events (JSON lines).")
    log = (
        read_json_lines(options.events, options.videos)
        if options.events
        else read_parquet(options.exposures, options.videos, options.history)
    )
    if not len(log.exposures):
        raise UnreadableLog("The log has no exposures of videos that are in --videos.")
    return log


def _replay(options: argparse.Namespace) -> int:
    log = _log(options)
    times = log.exposures.time
    until = options.test_until or float(times[-1]) + 1
    train_from = options.train_from or float(times[0]) + 2 * 86_400
    replay = Replay(log, options.half_life_days, next_watch=kept_tables(options.tables, log))
    visits = with_progress(replay.walk(until), log, until)
    given = options.model or options.shipped
    collector = Collector(POPULARITY if given else LEARNED, options.seed, shown=not given, most=10**9)
    first: Visit | None = None
    for visit in visits:
        if visit.now >= options.test_from:
            first = visit
            break
        if visit.now >= train_from:
            collector.see(replay, visit)
    if first is None:
        raise ValueError("The log has no request on or after --test-from.")
    print(f"baseline fitted on the days before; walking the test days ({len(log.exposures):,} exposures)", flush=True)
    samples = collector.samples()
    fitted = fit_popularity(samples, None, SHRINK, "popularity")
    model = _compared_model(options, samples)
    contestants, dropped = _contestants(model, fitted, not options.no_drop)
    comparison = compare(replay, _continued(first, visits), contestants)
    if not len(comparison.user):
        raise ValueError("No request of the test days has a long view inside its pool.")
    summary = summarize(comparison, FITTED, (LIGHT, FULL), dropped)
    kept = verdicts(summary, FULL)
    options.out.mkdir(parents=True, exist_ok=True)
    about = {
        "testFrom": datetime.fromtimestamp(options.test_from, UTC).isoformat(),
        "testUntil": datetime.fromtimestamp(until, UTC).isoformat(),
        "look": _count_look(options.out / "looks.json", log, options.test_from, until),
        "models": {
            LIGHT: model.version,
            FULL: model.version,
            FALLBACK: popularity_model().version,
            FITTED: fitted.version,
        },
        "fittedPopularity": fitted.to_document(),
        "model": model.to_document(),
    }
    text = markdown(summary, about, kept)
    (options.out / "report.md").write_text(text, encoding="utf-8")
    (options.out / "report.json").write_text(
        json.dumps({**about, **summary, "promises": kept}, indent=1), encoding="utf-8"
    )
    plot(summary, options.out)
    print(text)
    return 1 if options.check and not all(kept.values()) else 0


def _compared_model(options: argparse.Namespace, samples: Samples) -> LinearModel:
    """Return the model of a file, the shipped one, or one fitted to the days before the test, as a night does."""
    if options.model:
        return parse(json.loads(options.model.read_text()))
    if options.shipped:
        return global_model()
    return fit_personal(samples, None, SHRINK, "fitted")


def _contestants(
    model: LinearModel, fitted: LinearModel, drop: bool
) -> tuple[list[Contestant], dict[str, tuple[str, str]]]:
    """Return the contestants; and for each model that lacks a feature, the feature and the contestant that has it."""
    fallback = popularity_model()
    light = model.suited(next_watch=False)
    contestants = [
        Contestant(FITTED, model=fitted, as_served=True),
        *BASELINES,
        Contestant(FALLBACK, model=fallback, as_served=True),
        Contestant(f"{LIGHT}, scores alone", model=light, fallback=fallback),
        Contestant(f"{FULL}, scores alone", model=model, fallback=fallback),
        Contestant(LIGHT, model=light, fallback=fallback, as_served=True),
        Contestant(FULL, model=model, fallback=fallback, as_served=True),
    ]
    dropped: dict[str, tuple[str, str]] = {}
    for whole, ours in ((LIGHT, light), (FULL, model)) if drop else ():
        for name in droppable(ours, NOT_LEARNED):
            label = f"{whole}, without {name}"
            contestants.append(Contestant(label, model=without(ours, (name,), name), fallback=fallback))
            dropped[label] = (name, f"{whole}, scores alone")
    return contestants, dropped


def _continued(first: Visit, rest: Iterator[Visit]) -> Iterator[Visit]:
    yield first
    yield from rest


def _count_look(ledger: Path, log: Log, first: float, last: float) -> int:
    """Count the evaluations of these test days of this log, this one included. Stored beside the reports."""
    shown = log.exposures
    inside = (shown.time >= first) & (shown.time < last)
    facts = (int(inside.sum()), float(shown.time[inside].sum()), int(shown.video[inside].sum()))
    name = hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()
    looks = json.loads(ledger.read_text()) if ledger.exists() else {}
    looks[name] = looks.get(name, 0) + 1
    ledger.write_text(json.dumps(looks, indent=1))
    return int(looks[name])


def _train(options: argparse.Namespace) -> int:
    if options.out.exists():
        raise ValueError(f"{options.out} exists; a model version is never overwritten. Choose another file.")
    log = _log(options)
    tables = None if options.popularity else kept_tables(options.tables, log)
    replay = Replay(log, options.half_life_days, tables=not options.popularity, next_watch=tables)
    names = POPULARITY if options.popularity else LEARNED
    collector = Collector(names, options.seed, shown=not options.popularity, most=10**9)
    visits = with_progress(replay.walk(options.train_until), log, options.train_until)
    for visit in takewhile(lambda visit: visit.now < options.train_until, visits):
        if visit.now >= options.train_from:
            collector.see(replay, visit)
    samples = collector.samples()
    prior = parse(json.loads(options.prior.read_text())) if options.prior else None
    if options.popularity:
        model = fit_popularity(samples, prior, options.shrink, options.name)
    else:
        weights = ShownWeights(options.shown_weight, options.shown_weight_next_watch)
        limits = dict(map(_limit, options.limit)) if options.limit else LIMITS_NEXT_WATCH
        model = fit_personal(samples, prior, options.shrink, options.name, weights, limits)
    trained = {
        "how": "python -m evaluation train",
        "from": datetime.fromtimestamp(options.train_from, UTC).date().isoformat(),
        "until": datetime.fromtimestamp(options.train_until, UTC).date().isoformat(),
        "halfLifeDays": options.half_life_days,
        **model.trained,
    }
    document = {**model.to_document(), "trained": trained}
    options.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"{model.version}: {len(samples.sizes):,} choices → {options.out}")
    return 0


def _tenants(options: argparse.Namespace) -> int:
    """Print a line for each tenant as soon as it has learned, then all of them."""
    log = read_parquet(options.exposures, options.videos, options.history) if options.exposures else None
    kinds = list(KINDS) if options.kind is None else [kind for kind in options.kind if kind != "none"]
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    found = []
    tenants = tenants_of(log, options.share, options.count, kinds)
    for each in learn_all(tenants, options.half_life_days, options.out):
        found.append(each)
        print(tenants_markdown([each]).splitlines()[-1], flush=True)
    text = tenants_markdown(found)
    if options.out:
        (options.out / "tenants.md").write_text(text, encoding="utf-8")
        (options.out / "tenants.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(text)
    return 0


def _holdout(options: argparse.Namespace) -> int:
    """Print the decisions of gate and holdout, night by night."""
    found, text = {}, "# Gate and holdout, night by night\n\n"
    for kind in options.kind or DISTURBED:
        days = SimulatedTenant(kind, world_of(DISTURBED[kind], options.seed), options.seed).run()
        found[kind] = [day.report() for day in days]
        text += served_days_markdown(kind, found[kind]) + "\n"
        print(served_days_markdown(kind, found[kind]), flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "holdout.md").write_text(text, encoding="utf-8")
        (options.out / "holdout.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def _similar(options: argparse.Namespace) -> int:
    """Print how often lists of similar videos contain the next long view, beside popular ones of the category."""
    log = _log(options)
    replay = Replay(log, options.half_life_days, tables=False)
    judged = judge_similar(replay, options.test_from, options.test_until, kept_tables(options.tables, log))
    if not judged.users:
        raise ValueError("Nobody has two long views that follow each other on the test days.")
    report = similar_report(judged)
    text = similar_markdown(report)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "similar.md").write_text(text, encoding="utf-8")
        (options.out / "similar.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(text)
    return 0


def _nights(options: argparse.Namespace) -> int:
    """Learn a log night by night; print the model served on each day, and why."""
    log = _log(options)
    replay = Replay(log, options.half_life_days, next_watch=kept_tables(options.tables, log))
    learner = Learner("tenant")
    for visit in with_progress(replay.walk(), log):
        learner.see(replay, visit)
    learner.end_day()
    reports = [night.report() for night in learner.nights]
    text = nights_markdown(reports)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "nights.md").write_text(text, encoding="utf-8")
        (options.out / "nights.json").write_text(json.dumps(reports, indent=1), encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
