"""`mondegreen performance`: record how models do, and look at it, as the Python API does."""

import argparse
import json
from pathlib import Path
from typing import Any

from mondegreen import events
from mondegreen.errors import DataError
from mondegreen.metadata_tracker import MetadataTracker
from mondegreen.performance import records
from mondegreen.terminal import counted, plain

EXAMPLE = (
    "mondegreen performance add --model-version asr-2 --wer 0.12 --cer 0.06 --test-set calls-v1 --metric loss=0.3\n"
    "  mondegreen performance trend wer"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--spool", type=Path, default=Path("data/inbox"), help="default: %(default)s")
    common.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    add = actions.add_parser("add", parents=[common], help="record error rates, as shares (0.12, not 12)")
    add.add_argument("--model-version", required=True, metavar="NAME")
    add.add_argument("--wer", type=float, required=True)
    add.add_argument("--cer", type=float, required=True)
    add.add_argument("--metric", action="append", default=[], metavar="NAME=NUMBER", help="may be given more than once")
    for name in ("test-set", "normaliser", "dataset-version"):
        add.add_argument(f"--{name}", metavar="NAME")
    actions.add_parser("list", parents=[common], help="every measurement, oldest first")
    trend = actions.add_parser("trend", parents=[common], help="how a metric went, on one test set")
    trend.add_argument("metric", nargs="?", default="wer")
    trend.add_argument("--days", type=_days, metavar="N", help="the last N days only")
    actions.add_parser("compare", parents=[common], help="the latest figures of every model")


def run(args: argparse.Namespace) -> int:
    """Do what the action says."""
    tracker = MetadataTracker(args.spool)
    return {"add": _add, "list": _list, "trend": _trend, "compare": _compare}[args.action](tracker, args)


def _add(tracker: MetadataTracker, args: argparse.Namespace) -> int:
    further: dict[str, Any] = dict(map(_pair, args.metric))
    if taken := sorted({"wer", "cer", *events.FIELDS["performance"], *events.MEASURED_ON} & further.keys()):
        raise DataError(f"--metric {taken[0]}=…: that name is taken, see --help for its own option")
    tracker.record_performance(
        args.wer,
        args.cer,
        args.model_version,
        test_set=args.test_set,
        normaliser=args.normaliser,
        dataset_version=args.dataset_version,
        **further,
    )
    tracker.recorder.close()
    return 0


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days < 1e6:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of days above 0")
    return days


def _pair(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError as error:
        raise DataError(f"--metric {plain(text)}: expected NAME=NUMBER, such as loss=0.3") from error


def _list(tracker: MetadataTracker, args: argparse.Namespace) -> int:
    return _table(records(tracker.export_performance_to_dataframe()), args)


def _compare(tracker: MetadataTracker, args: argparse.Namespace) -> int:
    return _table(records(tracker.get_model_comparison()), args)


def _table(rows: list[dict[str, Any]], args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    cells = [[plain(str(row[name] or "-")) for name in ("model_version", "test_set", "normaliser")] for row in rows]
    widths = [max(map(len, column)) for column in zip(("model", "test set", "normaliser"), *cells, strict=True)]
    print(
        "  ".join(
            ["recorded at        ", *map(str.ljust, ("model", "test set", "normaliser"), widths), "   WER     CER"]
        )
    )
    for row, names in zip(rows, cells, strict=True):
        when = row["recorded_at"][:19].replace("T", " ")
        print("  ".join([when, *map(str.ljust, names, widths), f"{row['wer']:.4f}  {row['cer']:.4f}"]))
    if not rows:
        print("nothing measured yet: mondegreen performance add, or mondegreen evaluate")
    return 0


def _trend(tracker: MetadataTracker, args: argparse.Namespace) -> int:
    trend = tracker.get_performance_trend(args.metric, args.days)
    if args.json:
        print(json.dumps(trend, indent=2, ensure_ascii=False))
    elif trend["count"] == 0:
        print(f"{plain(args.metric)} was not measured: mondegreen performance add, or mondegreen evaluate")
    else:
        print("\n".join(_trend_lines(trend)))
    return 0


def _trend_lines(trend: dict[str, Any]) -> list[str]:
    lines = [
        f"{plain(trend['metric'])} on test set {plain(trend['test_set'])}, normaliser {plain(trend['normaliser'])}: "
        f"{counted(trend['count'], 'measurement')}"
    ]
    for when, model, value in zip(trend["timestamps"], trend["model_versions"], trend["values"], strict=True):
        lines.append(f"  {when[:19].replace('T', ' ')}  {value:.4f}  {plain(str(model or '-'))}")
    gain = trend["improvement"]
    if gain is None:
        lines.append("whether lower or higher is better is not known for this metric")
    elif trend["count"] == 1:
        lines.append("one measurement is no trend yet")
    elif gain == 0:
        lines.append("no change between the first and the latest")
    else:
        percent = trend["improvement_percent"]
        share = "" if percent is None else f" ({abs(percent):.1f} %)"
        lines.append(f"{'better' if gain > 0 else 'worse'} by {abs(gain):.4f}{share}, first to latest")
    if trend["left_out"]:
        lines.append(f"left out: {trend['left_out']} on other test sets or normalisers; they do not compare")
    return lines
