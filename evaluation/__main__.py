"""`python -m evaluation replay …` reports on the shipped ranking over a log; `python -m evaluation train …` fits one.

Both need the packages in requirements-evaluation.txt.
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
from evaluation.parquet_log import read_parquet
from evaluation.report import markdown, plot, summarize, verdicts
from learning.fit import NOT_LEARNED, POPULARITY, SHRINK, fit, model_of
from learning.log import Log, UnreadableLog, read_json_lines
from learning.replay import Replay, Visit
from learning.samples import SHOWN_WEIGHT, SHOWN_WEIGHT_COWATCH, Collector
from learning.scoring import Contestant
from ranking.features import FEATURES
from ranking.model import InvalidModel, LinearModel, global_model, parse, popularity_model

FITTED = "fitted popularity, several windows"
LIGHT, FULL, FALLBACK = "shipped, light features", "shipped, with co-watch", "shipped fallback"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0 done, 1 a promise is not kept (`replay --check`), 2 bad input."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (UnreadableLog, InvalidModel, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    commands = parser.add_subparsers(required=True)
    replay = commands.add_parser("replay", help="compare the shipped ranking with popularity and simpler ideas")
    train = commands.add_parser("train", help="fit weights and write a model version")
    for command in (replay, train):
        command.add_argument("--exposures", type=Path, help="parquet of videos shown")
        command.add_argument("--events", type=Path, help="instead: JSON lines of archived events, a file or a folder")
        command.add_argument("--videos", type=Path, required=True, help="parquet, or JSON lines beside --events")
        command.add_argument("--history", type=Path, help="parquet of what users watched before the log")
        command.add_argument("--half-life-days", type=float, default=14.0, help="of affinities (default 14)")
        command.add_argument("--seed", type=int, default=0)
    replay.add_argument("--test-from", type=_date, required=True, help="first test day, such as 2022-05-02 (UTC)")
    replay.add_argument("--test-until", type=_date, help="first day after the test (default: the log's end)")
    replay.add_argument(
        "--train-from", type=_date, help="first day the baseline is fitted on (default: third of the log)"
    )
    replay.add_argument("--model", type=Path, help="a model file instead of the shipped global model")
    replay.add_argument("--no-drop", action="store_true", help="leave out the drop-one-feature table (faster)")
    replay.add_argument("--out", type=Path, required=True, help="folder for report.md, report.json and plots")
    replay.add_argument("--check", action="store_true", help="exit with 1 unless every promise is kept")
    replay.set_defaults(run=_replay)
    train.add_argument("--train-from", type=_date, required=True)
    train.add_argument("--train-until", type=_date, required=True, help="first day not learned from")
    train.add_argument("--prior", type=Path, help="model to shrink towards, such as the global one for a tenant")
    train.add_argument("--shrink", type=float, default=SHRINK, help=f"strength of that (default {SHRINK})")
    beside = "what a user's day of shown videos weighs against a request of the pool"
    train.add_argument("--shown-weight", type=float, default=SHOWN_WEIGHT, help=f"{beside} (default {SHOWN_WEIGHT})")
    train.add_argument(
        "--shown-weight-cowatch",
        type=float,
        default=SHOWN_WEIGHT_COWATCH,
        help=f"the same where co-watch says something (default {SHOWN_WEIGHT_COWATCH})",
    )
    train.add_argument("--popularity", action="store_true", help="fit only popularity features: a fallback")
    train.add_argument("--name", default="global", help="how the version starts")
    train.add_argument("--out", type=Path, required=True, help="model file to write; must not exist yet")
    train.set_defaults(run=_train)
    return parser


def _date(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


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
    replay = Replay(log, options.half_life_days)
    visits = replay.walk(until)
    collector = Collector(POPULARITY, options.seed, shown_weight=0.0)
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
    fitted = model_of(fit(collector.samples()), {}, {}, "popularity")
    model = parse(json.loads(options.model.read_text())) if options.model else global_model()
    contestants, dropped = _contestants(model, fitted, not options.no_drop)
    comparison = compare(replay, _continued(first, visits), contestants)
    if not len(comparison.user):
        raise ValueError("No request of the test days has a long view inside its pool.")
    summary = summarize(comparison, FITTED, (LIGHT, FULL), dropped)
    kept = verdicts(summary, LIGHT, FULL)
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
    }
    text = markdown(summary, about, kept)
    (options.out / "report.md").write_text(text, encoding="utf-8")
    (options.out / "report.json").write_text(
        json.dumps({**about, **summary, "promises": kept}, indent=1), encoding="utf-8"
    )
    plot(summary, options.out)
    print(text)
    return 1 if options.check and not all(kept.values()) else 0


def _contestants(
    model: LinearModel, fitted: LinearModel, drop: bool
) -> tuple[list[Contestant], dict[str, tuple[str, str]]]:
    """Who is compared; and for each model that lacks a feature, the feature and the contestant that has it."""
    fallback = popularity_model()
    light = model.suited(cowatch=False)
    contestants = [
        Contestant(FITTED, model=fitted),
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
    """How often these test days of this log were looked at, this time included; kept beside the reports."""
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
    names = POPULARITY if options.popularity else tuple(n for n in FEATURES if n not in NOT_LEARNED)
    replay = Replay(log, options.half_life_days, cowatch=not options.popularity)
    collector = Collector(names, options.seed, options.shown_weight)
    for visit in takewhile(lambda visit: visit.now < options.train_until, replay.walk(options.train_until)):
        if visit.now >= options.train_from:
            collector.see(replay, visit)
    samples = collector.samples()
    prior = parse(json.loads(options.prior.read_text())) if options.prior else None
    start = prior.weights if prior else None
    if options.popularity:
        weights, without_cowatch = fit(samples, start, options.shrink), None
    else:
        light_start = prior.suited(cowatch=False).weights if prior else None
        with_neighbours = samples.having("cowatch").weighing_shown(options.shown_weight_cowatch)
        weights = fit(with_neighbours, start, options.shrink)
        without_cowatch = fit(samples.leaving_out("cowatch"), light_start, options.shrink)
    shipped = prior or (popularity_model() if options.popularity else global_model())
    by_hand = {name: weight for name, weight in shipped.weights.items() if name in NOT_LEARNED}
    trained = {
        "how": "python -m evaluation train",
        "from": datetime.fromtimestamp(options.train_from, UTC).date().isoformat(),
        "until": datetime.fromtimestamp(options.train_until, UTC).date().isoformat(),
        "choices": len(samples.sizes),
        "halfLifeDays": options.half_life_days,
        "shrink": options.shrink,
        "shownWeight": options.shown_weight,
        **({} if options.popularity else {"shownWeightCoWatch": options.shown_weight_cowatch}),
        "towards": prior.version if prior else "zero",
        "setByHand": sorted(by_hand),
    }
    model = model_of(weights, by_hand, trained, options.name, without_cowatch)
    options.out.write_text(json.dumps(model.to_document(), indent=2) + "\n", encoding="utf-8")
    print(f"{model.version}: {len(samples.sizes):,} choices → {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
