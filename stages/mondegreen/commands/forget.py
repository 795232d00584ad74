"""`mondegreen forget`: a consent was withdrawn; what a person said leaves later datasets, or every place."""

import argparse
import sys
from pathlib import Path

from mondegreen import batches, environments, erasing, erasures, ingest, purging, repository
from mondegreen.errors import DataError
from mondegreen.recorder import Recorder
from mondegreen.terminal import counted, plain

EXAMPLE = "mondegreen forget --speaker s1 --reason 'asked to' --erase --dry-run"

UNREACHABLE = (
    "other clones of this repository, and their caches: there, 'git pull; dvc pull; mondegreen forget --finish'",
    "what agents still have in spools of their own, and what they upload from there later",
    "published datasets, copies of them, and the cache of Hugging Face datasets (~/.cache/huggingface)",
    "backups, and buckets that keep deleted objects (versioning, soft delete)",
    "files that were imported from, tasks for Label Studio, reports and exports elsewhere, pull requests' comments",
    "models that were trained on it",
)
"""What no command here can erase."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("case_id", nargs="?", metavar="CASE_ID")
    parser.add_argument("--speaker", metavar="ID", help="every case of a speaker")
    parser.add_argument("--reason", help="kept in the record")
    parser.add_argument("--author", help="who signs; default: Git's user.name")
    parser.add_argument("--erase", action="store_true", help="also from batches, cache and remotes, for good")
    parser.add_argument("--finish", action="store_true", help="erase here what the record says was erased elsewhere")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only say what there is")


def run(args: argparse.Namespace) -> int:
    """Withdraw or erase; exit status 1 when something could not be reached."""
    root = repository.root()
    if args.finish:
        return _finish(root)
    if bool(args.case_id) == bool(args.speaker):
        raise DataError("name one case, or one speaker with --speaker ID")
    if not args.reason:
        raise DataError("say why: --reason TEXT is kept in the record")
    asked = args.case_id or args.speaker
    begun = any(entry.asked == erasures.hash_of(asked) for entry in erasures.read(root))
    if args.erase and begun and not args.dry_run:
        erasing.swap(root)
    found = erasing.find(root, case_id=args.case_id, speaker_id=args.speaker)
    if not found.events and not (args.erase and begun):
        raise DataError(f"{asked!r} is no {'case' if args.case_id else 'speaker'} here: 'mondegreen trace' shows cases")
    print(f"{plain(asked)}: {_amount(found)}")
    if not args.erase:
        return _withdraw(root, args)
    releases = erasing.versions_of(root, found)
    for line in (*_consequences(releases, erasing.models_of(root, releases)), *_unreachable()):
        print(line)
    erasing.check(root, found)
    if args.dry_run:
        return 0
    if not args.yes:
        _confirm()
    return _erase(root, args, asked)


def _amount(found: erasing.Found) -> str:
    places = [*(batch.name for batch in found.batches), *(f"{segment.name} of the inbox" for segment in found.live)]
    where = f" in {', '.join(places[:5])}{' and others' if len(places) > 5 else ''}" if places else ""
    amounts = {"case": found.cases, "clip": found.audio, "event": found.events}
    return ", ".join(counted(len(each), name) for name, each in amounts.items()) + where


def _withdraw(root: Path, args: argparse.Namespace) -> int:
    if args.dry_run:
        return 0
    with Recorder(root / repository.INBOX) as recorder:
        recorder.withdrawal(reason=args.reason, case_id=args.case_id, speaker_id=args.speaker)
    print("withdrawn: the next build leaves it out; it stays in raw data and older versions (--erase removes it there)")
    print("next: mondegreen ingest && dvc repro")
    return 0


def _consequences(releases: dict[str, str], models: list[str]) -> list[str]:
    lines = [f"releases with it: {', '.join(releases) or 'none'}"]
    if releases:
        lines.append("  they cannot be restored as they were: 'mondegreen rollback' builds them again without it")
    if models:
        lines.append(f"models trained on or measured against these: {', '.join(map(plain, models))}")
    return lines


def _unreachable() -> list[str]:
    return ["this cannot reach:", *(f"  {place}" for place in UNREACHABLE)]


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise DataError("nothing was erased: add --yes where nobody can be asked")
    if input("Erase it for good? Type 'erase': ").strip() != "erase":
        raise DataError("nothing was erased")


def _erase(root: Path, args: argparse.Namespace, asked: str) -> int:
    with Recorder(root / repository.INBOX) as recorder:
        recorder.withdrawal(reason=args.reason, case_id=args.case_id, speaker_id=args.speaker)
    ingest.ingest(root / repository.INBOX, root / repository.RAW, track=repository.track, root=root)
    found = erasing.find(root, case_id=args.case_id, speaker_id=args.speaker)
    signed = args.author or repository.user(root)
    left = erasing.erase(root, found, asked, reason=args.reason, author=signed, remotes=_remotes(root))
    left += [
        f"{segment}: a recorder writes to it, or it waits for its upload; when that is over, run this again"
        for segment in found.live
    ]
    return _tell(root, left)


def _finish(root: Path) -> int:
    erasing.check(root, erasing.NOTHING)
    erasing.swap(root)
    batches.folders(root / repository.RAW)  # all that stays has to be here
    return _tell(root, erasing.finish(root, _remotes(root)))


def _tell(root: Path, left: list[str]) -> int:
    for problem in left:
        print(f"not done: {plain(problem)}", file=sys.stderr)
    for place in purging.absent(root, _remotes(root)):
        print(f"note: {plain(place)} is not there now: if it ever held data, bring it back and run this again")
    if not left:
        print(f"erased; the record is in {erasures.PATH}, committed. next: git push; dvc push")
    return 1 if left else 0


def _remotes(root: Path) -> list[str]:
    """Return the remotes that have an address."""
    return [name for name, place in environments.known(root).items() if "YOUR-" not in place.url]
