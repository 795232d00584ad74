"""`mondegreen evaluate`: how well a model does on a split of the dataset, or whether one does better than another."""

import argparse
import json
from pathlib import Path
from typing import Any

from mondegreen import params, repository, tables
from mondegreen.bootstrap import Estimate, MatchedPairs, PairedEstimate
from mondegreen.comparison import LISTS, Comparison, compare, reason
from mondegreen.errors import DataError
from mondegreen.evaluation import Evaluation, Rates, evaluate, record
from mondegreen.predictions import References, dataset_version, read_predictions, read_references
from mondegreen.recorder import Recorder
from mondegreen.terminal import counted, plain

EXAMPLE = (
    "mondegreen evaluate predictions.jsonl --model-version asr-2\n"
    "  mondegreen evaluate --compare asr-1.jsonl asr-2.jsonl\n\n"
    'predictions.jsonl holds a line {"case_id": "…", "hypothesis": "…"} for every case of the split'
)

_SHOWN = 10  # of the cases of a list; --json and --output have them all
_KINDS = {"error_type": "error type", "speaker": "speaker", "language": "language", "duration": "duration"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("predictions", nargs="?", type=Path, metavar="PREDICTIONS", help=".jsonl or .jsonl.gz")
    what.add_argument(
        "--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"), help="two models' predictions; records nothing"
    )
    parser.add_argument("--model-version", metavar="NAME", help="which model made the predictions, for the record")
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help=f"default: {repository.DATASET} of this repository")
    parser.add_argument("--dataset-version", metavar="NAME", help="default: the hash of data/dataset in dvc.lock")
    parser.add_argument("--no-record", action="store_true", help="do not record the result as a performance event")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the result, case by case, as JSON")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Evaluate or compare, record, and print the result."""
    root = repository.root()
    recorded = not (args.compare or args.no_record)
    if args.compare and (args.model_version or args.no_record):
        raise DataError("--compare records nothing: leave out --model-version and --no-record")
    if recorded and not args.model_version:
        raise DataError("which model made the predictions? Give --model-version, or --no-record")
    references = read_references(args.dataset or root / repository.DATASET, args.split)
    done = [_evaluate(path, references, args, root) for path in args.compare or [args.predictions]]
    result = compare(*done) if args.compare else done[0]
    if args.output:
        _write(result, args.output)
    if recorded:
        with Recorder(root / repository.INBOX) as recorder:
            record(done[0], recorder, args.model_version)
    if args.json:
        print(json.dumps(result.as_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        lines = _comparison(result, args.compare) if isinstance(result, Comparison) else _evaluation(result)
        print("\n".join(lines + ["", "recorded; next: mondegreen ingest"] * recorded))
    return 0


def _evaluate(path: Path, references: References, args: argparse.Namespace, root: Path) -> Evaluation:
    known = None if args.dataset else dataset_version(root)  # dvc.lock speaks of data/dataset alone
    return evaluate(
        references,
        read_predictions(path, references),
        normaliser=params.load(params.Collect, root / "params.yaml").normaliser,
        dataset_version=args.dataset_version or known,
    )


def _write(result: Evaluation | Comparison, path: Path) -> None:
    content: dict[str, Any] = result.as_dict()
    if isinstance(result, Comparison):
        for name in ("before", "after"):
            content[name] |= {"results": getattr(result, name).case_rows()}
    else:
        content |= {"results": result.case_rows()}
    try:
        tables.write_json(content, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from error


def _evaluation(found: Evaluation) -> list[str]:
    sums = found.normalised.sums
    lines = [
        *_identity(found),
        "",
        f"{'':<12}{'WER':>8}  {'95 % interval':<17}{'CER':>8}  {'95 % interval':<17}"
        f"{'S':>6}{'D':>6}{'I':>6}{'words':>8}",
        _rates("normalised", found.normalised),
        _rates("raw", found.raw),
        "",
        f"cases with an error    {_share(found.utterance_error_rate)}",
        f"no output for speech   {_share(found.empty_rate)}",
        f"words in silence       {_share(sums.silence_hallucination_rate)}"
        + f" ({sums.silence_hallucinations} of {sums.silent_utterances} silent cases)" * bool(sums.silent_utterances),
    ]
    for kind, group in found.slices.items():
        lines += ["", f"{_KINDS[kind]:<30}{'cases':>7}{'WER':>8}  {'95 % interval':<17}{'CER':>8}"]
        lines += [
            f"  {_name(each.name):<28}{each.cases:>7}{_share(each.wer.value):>8}  {_interval(each.wer):<17}"
            f"{_share(each.cer.value):>8}"
            for each in group.slices
        ]
        if group.other_slices:
            lines.append(f"  {f'{group.other_slices} others':<28}{group.other_cases:>7}")
    return lines


def _comparison(found: Comparison, paths: list[Path]) -> list[str]:
    before, after = found.before, found.after
    lines = [
        *_identity(before),
        f"before: {plain(str(paths[0]))}",
        f"after:  {plain(str(paths[1]))}",
        "",
        f"{'':<18}{'before':>9}{'after':>9}{'difference':>12}  95 % interval (points; below 0 is better)",
        _difference("WER", before.normalised.wer, after.normalised.wer, found.wer),
        _difference("CER", before.normalised.cer, after.normalised.cer, found.cer),
        _pair("raw WER", before.raw.wer.value, after.raw.wer.value),
        _pair("no output", before.empty_rate, after.empty_rate),
        _pair("words in silence", *(each.normalised.sums.silence_hallucination_rate for each in (before, after))),
        "",
        f"verdict: {found.verdict} ({reason(found)})",
        f"probability of improvement {_share(found.wer.probability_of_improvement)}; {_test(found.test)}",
    ]
    for name in LISTS:
        lines += ["", _list(name, getattr(found, name))]
    if found.still_failing:
        lines.append(f"  of these, {found.fewer_errors} with fewer errors than before, {found.more_errors} with more")
    lines += ["", f"{'error type':<30}{'cases':>7}{'fixed':>11}{'regressed':>11}{'still failing':>15}"]
    return lines + [
        f"  {_name(name):<28}{each['cases']:>7}{each['fixed']:>11}{each['regressed']:>11}{each['still_failing']:>15}"
        for name, each in found.by_error_type.items()
    ]


def _list(name: str, case_ids: tuple[str, ...]) -> str:
    shown = f": {plain(', '.join(case_ids[:_SHOWN]))}" if case_ids else ""
    more = f" and {len(case_ids) - _SHOWN} more (--json has all)" if len(case_ids) > _SHOWN else ""
    return f"{name.replace('_', ' ')} {len(case_ids)}{shown}{more}"


def _identity(found: Evaluation) -> list[str]:
    lines = [
        f"{counted(len(found.cases), 'case')} of {plain(found.split)} of dataset "
        f"{plain(found.dataset_version or 'unknown')}",
        f"test set {found.test_set}, normaliser {found.normaliser}, {found.blocks.count} {found.blocks.kind}s",
    ]
    return lines + [f"note: {note}" for note in found.notes]


def _rates(name: str, rates: Rates) -> str:
    sums = rates.sums
    return (
        f"{name:<12}{_share(rates.wer.value):>8}  {_interval(rates.wer):<17}"
        f"{_share(rates.cer.value):>8}  {_interval(rates.cer):<17}"
        f"{sums.substitutions:>6}{sums.deletions:>6}{sums.insertions:>6}{sums.reference_words:>8}"
    )


def _difference(name: str, before: Estimate, after: Estimate, paired: PairedEstimate) -> str:
    shown = "–" if paired.difference is None else f"{100 * paired.difference:+.2f}"
    interval = "–"
    if paired.low is not None and paired.high is not None:
        interval = f"{100 * paired.low:+.2f} to {100 * paired.high:+.2f}"
    return f"{_pair(name, before.value, after.value)}{shown:>12}  {interval}"


def _pair(name: str, before: float | None, after: float | None) -> str:
    return f"{name:<18}{_share(before):>9}{_share(after):>9}"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{estimate.low:.1%} to {estimate.high:.1%}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _test(test: MatchedPairs) -> str:
    if test.z is None or test.p_value is None:
        return "matched pairs: nothing to test"
    p = "p < 0.0001" if test.p_value < 0.0001 else f"p = {test.p_value:.4f}"
    return f"matched pairs, each case taken as independent: Z = {test.z:.2f}, {p}"


def _name(name: str | None) -> str:
    shown = "(none)" if name is None else plain(name)
    return shown if len(shown) <= 28 else f"{shown[:27]}…"
