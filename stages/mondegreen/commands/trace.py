"""`mondegreen trace`: the whole way of one case, or what a version came from."""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from mondegreen import lineage, repository, tracing, versions
from mondegreen.terminal import counted, plain
from mondegreen.tracing import Trace
from mondegreen.versions import Version

EXAMPLE = "mondegreen trace 01a2045f-ab92-77e8-ad91-6837b22bb20f"

_SHOWN = 5
_WHO = {"by": "model_version", "speaker": "speaker_id", "recording": "recording_id"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("case", metavar="CASE_ID", help="the id of a case, or a version (v1.2.0)")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the way of a case, or of a version."""
    root = repository.root()
    if versions.NUMBER.fullmatch(args.case.removeprefix(versions.TAG)):
        chain = lineage.lineage(root, args.case)
        print(json.dumps([each.as_dict() for each in chain], indent=2) if args.json else "\n".join(_chain(chain)))
        return 0
    found = tracing.trace(root, args.case)
    if args.json:
        print(json.dumps(asdict(found), indent=2, ensure_ascii=False, default=str))
    else:
        print("\n".join(plain(line) for line in _lines(found)))
    return 0


def _lines(found: Trace) -> Iterator[str]:
    failure = found.failure
    yield f"{found.case_id}: {found.place}"
    yield _line("heard", _text(failure["original_transcript"], "(nothing)"))
    who = [f"{name} {failure[key]}" for name, key in _WHO.items() if failure.get(key)]
    yield _line("recorded", " ".join([_time(failure), *who]))
    audio = failure.get("audio")
    yield _line("audio", f"{audio['sha256'][:12]}…{audio['ext']}, {audio['bytes']} bytes" if audio else "none")
    yield _line("from", _origin(found))
    for event in found.hearings:
        yield _line(
            "also", f"{_time(event)} heard by {event['model_version']}: {_text(event['transcript'], '(nothing)')}"
        )
    for event in found.corrections:
        text = _text(event["corrected_transcript"], "(silence)")
        fate = "won" if event["won"] else "undone" if event["undone"] else "lost"
        yield _line("corrected", f"{_time(event)} {_by(event)}, {fate}: {text}")
    for event in found.reviews:
        yield _line("reviewed", f"{_time(event)} {_by(event)}: {event['decision']}")
    for event in found.withdrawals:
        yield _line("withdrawn", f"{_time(event)} {event.get('reason', '')}")
    if found.measured and found.measured["wer"] is not None:
        types = ", ".join(found.measured["detected_error_types"]) or "none"
        yield _line("measured", f"WER {found.measured['wer']:.2f}, CER {found.measured['cer']:.2f}, errors: {types}")
    for reason in found.reasons:
        yield _line("rejected", f"{reason['reason']}: {reason.get('meaning', '')}; {reason.get('remedy', '')}")
    if found.left_out:
        yield _line("left out", found.left_out)
    if found.component:
        yield from _component(found.component)
    if found.split:
        yield _line("split", found.split)
    if found.frozen:
        yield _line("frozen", f"into {found.frozen['split']} by {found.frozen['release']}")
    yield from _capped("copy", [f"{copy['case_id']} {copy['augmentation']}" for copy in found.copies])
    yield _line("releases", ", ".join(_releases(found.releases)) or "none")


def _releases(releases: list[dict[str, str]]) -> Iterator[str]:
    """Name the releases, each with the split; many in a row with one split by the first and the last."""
    for split, group in groupby(releases, key=lambda each: each["split"]):
        names = [each["version"] for each in group]
        if len(names) > _SHOWN:
            names = [f"{names[0]} to {names[-1]}, {len(names)} releases"]
        yield from (f"{name} ({split})" for name in names)


def _chain(chain: Iterable[Version]) -> Iterator[str]:
    for each in chain:
        score = "unknown" if each.quality_score is None else f"{each.quality_score:.4f}"
        added = counted(each.cases_added or 0, "case")
        grown = "" if each.cases_added is None else f": {added} added, {each.cases_removed} removed"
        yield f"{each.version}  {each.date[:10]}  quality {score}  {counted(sum(each.sizes.values()), 'row')}"
        yield f"  {f'from {each.parent}' if each.parent else 'the first'}{grown}"


def _component(component: dict[str, Any]) -> Iterator[str]:
    size = component["size"]
    yield _line("component", f"{component['name']}, {size} case{'s' * (size != 1)} of the dataset")
    for link in component["links"]:
        others = link["cases"]
        key = link["key"] if len(link["key"]) <= 40 else f"{link['key'][:39]}…"
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        yield _line("", f"same {link['kind']} {key!r} as {', '.join(others[:_SHOWN])}{more}")
    if size > 1 and not component["links"]:
        yield _line("", "connected through cases that are not in the dataset")


def _origin(found: Trace) -> str:
    if found.segment:
        return f"segment {found.segment} of the inbox"
    commit = found.commit
    added = f"{commit['commit'][:10]} of {commit['date'][:10]}, {commit['subject']}" if commit else "no commit yet"
    return f"batch {found.batch}, added by {added}"


def _capped(name: str, values: Iterable[str]) -> Iterator[str]:
    rows = list(values)
    yield from (_line(name, row) for row in rows[:_SHOWN])
    if len(rows) > _SHOWN:
        yield _line("", f"and {len(rows) - _SHOWN} more: --json lists all")


def _text(text: str | None, empty: str) -> str:
    return "(withdrawn)" if text is None else text or empty


def _by(event: dict[str, Any]) -> str:
    return f"{event.get('method', '')} by {event.get('author') or 'unknown'}".strip()


def _time(event: dict[str, Any]) -> str:
    return str(event["recorded_at"])[:19].replace("T", " ")


def _line(name: str, text: str) -> str:
    return f"  {name:<10} {text}"
