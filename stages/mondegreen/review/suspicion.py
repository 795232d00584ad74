"""Corrections that are probably wrong, as a queue: the most suspect first, with the reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mondegreen import batches, correcting, repository, suspects, witnesses
from mondegreen.errors import DataError
from mondegreen.methods import by_people
from mondegreen.review.board import Case

QUEUE = "suspects"
"""What the metadata of a decision says under `queue` that was made about a suspect correction."""

EXPLAINED = "corrections of people that are probably wrong, the most suspect first; saving a text settles it"


Stamp = tuple[object, ...]


@dataclass(frozen=True)
class Suspicion:
    """How suspect the correction of a case is, 0..1, and for which reasons, by case_id.

    `inbox` and `root` are where it comes from, `stamp` what lay there then.
    """

    found: Mapping[str, tuple[float, tuple[str, ...]]]
    inbox: Path | None = None
    root: Path = Path()
    stamp: Stamp = ()

    def renewed(self) -> "Suspicion":
        """Return it as of now: itself, unless `ingest` or `dvc repro` changed the data since."""
        if self.inbox is None:
            return self
        try:
            return self if _stamp(self.root) in ((), self.stamp) else suspicion(self.inbox)
        except DataError:  # a batch is being checked out
            return self

    def key(self, case: Case) -> tuple[float, str]:
        """Return what cases are sorted by, the most suspect first."""
        return -self.found.get(case.case_id, (0.0, ()))[0], case.case_id

    def reason(self, case: Case) -> str:
        """Return why the correction of a case is suspect."""
        score, signs = self.found.get(case.case_id, (0.0, ()))
        return f"Suspect, {score:.2f}: {'; '.join(suspects.SIGNS[sign] for sign in signs)}"


def suspicion(inbox: Path) -> Suspicion:
    """Return the corrections of people that show a sign of being wrong, as of now."""
    root = repository.root(inbox)
    stamp = _stamp(root)
    cases, ranked, hearings = correcting.read_all(root, inbox)
    corrected = cases[by_people(cases["correction_method"]) & ~cases["withdrawn"]].reset_index(drop=True)
    heard = witnesses.transcripts(cases, ranked, hearings)
    found = suspects.rank(corrected, ranked, heard.of_all(corrected))
    rows = zip(*(found[name].to_pylist() for name in found.column_names), strict=True)
    shown = {case_id: (score, tuple(reasons)) for case_id, score, reasons in rows if reasons}
    return Suspicion(shown, inbox, root, stamp)


def _stamp(root: Path) -> Stamp:
    """Return what tells that there is new data: the batches, and when the table of suspects was written.

    Nothing while that table is being made anew.
    """
    table = root / "data/suspects.parquet"
    try:
        written = table.stat().st_mtime_ns
    except FileNotFoundError:
        return ()
    return (written, *batches.event_files(root / repository.RAW))
