"""Changes: what differs between two states of the repository, case by case; Git and the work tree stay as they are."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from mondegreen import directions, erasures, growth, repository, status
from mondegreen.directions import Metric
from mondegreen.errors import MondegreenError, RepositoryError
from mondegreen.growth import Batches, Ledger
from mondegreen.snapshot import Snapshot, parse_yaml
from mondegreen.whereabouts import whereabouts

SPLITS, CARD = "data/splits.parquet", "data/dataset/README.md"

_TEXTS = ["original_transcript", "corrected_transcript"]
_COLUMNS = ["case_id", "split", "primary_error_type", "speaker_id", *_TEXTS]
_CASE = ["case_id", "split", "error_type"]


@dataclass(frozen=True)
class State:
    """One of the two: `commit` is '' for the work tree; `gate` and `audit` are passed, failed or not judged.

    `stale` names the stages that `dvc repro` would run again, `uncommitted` the files that are other than in Git's
    last commit; both are of the work tree alone.
    """

    name: str
    commit: str
    dataset_hash: str
    gate: str
    audit: str
    stale: tuple[str, ...] = ()
    uncommitted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """What is other in `after` than in `before`. Tables are sorted by case_id and complete.

    added      case_id, split, error_type, both texts; `was`, `reasons`: where the case was before
    removed    the same; `now`, `reasons`: where it is; `frozen`: the release that froze it
    corrected  case_id, split, error_type, original_transcript; `before`, `after`: the corrected text; `frozen`
    moved      case_id, error_type; `before`, `after`: the split; `frozen`
    rows       split, error_type; `before`, `after`: how many cases
    speakers   speaker_id; `before`, `after`: how many cases, of those who left or joined
    columns    name; `before`, `after`: the type of a column of the dataset that is not the same
    unread     why rows cannot be compared; '' where they are
    erased     batches of `before` of which something was erased since: then its rows are no more
    overdue    batches of `after` of which something was erased where it is to be merged, but not here yet
    """

    before: State
    after: State
    added: pd.DataFrame
    removed: pd.DataFrame
    corrected: pd.DataFrame
    moved: pd.DataFrame
    rows: pd.DataFrame
    speakers: pd.DataFrame
    columns: list[dict[str, str]]
    params: list[dict[str, Any]]
    metrics: list[Metric]
    batches: Batches
    ledger: Ledger
    unread: str = ""
    erased: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()

    @property
    def same_dataset(self) -> bool:
        """Tell whether both have one and the same dataset, byte by byte, of the same cases."""
        same = self.before.dataset_hash == self.after.dataset_hash != ""
        return same and not any(len(table) for table in (self.added, self.removed, self.corrected, self.moved))

    def totals(self, column: str) -> dict[str, dict[str, int]]:
        """Return, by `split` or `error_type`: cases before and after, added, removed, corrected, moved in and out."""
        sums = self.rows.groupby(column)[["before", "after"]].sum().astype(int)
        parts = {"added": self.added, "removed": self.removed, "corrected": self.corrected}
        for name, table in parts.items():
            sums[name] = table[column].value_counts()
        if column == "split":
            sums["moved_in"], sums["moved_out"] = (
                self.moved["after"].value_counts(),
                self.moved["before"].value_counts(),
            )
        found: dict[str, dict[str, int]] = sums.fillna(0).astype(int).to_dict("index")  # type: ignore[assignment]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        tables = ("added", "removed", "corrected", "moved", "rows", "speakers")
        return {
            "before": asdict(self.before),
            "after": asdict(self.after),
            "splits": self.totals("split"),
            "error_types": self.totals("error_type"),
            **{name: _records(getattr(self, name)) for name in tables},
            "columns": self.columns,
            "params": self.params,
            "metrics": [asdict(metric) | {"passed": metric.passed} for metric in self.metrics],
            "batches": asdict(self.batches) | {"grew": self.batches.grew},
            "ledger": asdict(self.ledger),
            "unread": self.unread,
            "erased": list(self.erased),
            "overdue": list(self.overdue),
        }


def compare(before: Snapshot, after: Snapshot, *, target: Snapshot | None = None, lenient: bool = False) -> Changes:
    """Compare two states; `before` is a commit. What the cache lacks comes from the remote.

    `target` is where `after` is to be merged, if that is not `before` itself.
    Raises `RepositoryError` or `DataError` where a table is nowhere to be had; with `lenient`, the tables stay empty
    and `unread` says why.
    """
    if not before.commit:
        raise RepositoryError("the work tree can only be compared with an earlier commit: name that one first")
    unread, old, new, columns = "", _empty(), _empty(), []
    frozen = growth.frozen(before)
    try:
        old, new = _rows(before), _rows(after)
        tables = _cases(old, new, before, after, frozen)
        columns = _columns(before, after)
    except MondegreenError as error:
        if not lenient:
            raise
        unread, old, new = str(error), _empty(), _empty()
        tables = _cases(old, new, before, after, frozen)
    return Changes(
        before=_state(before),
        after=_state(after),
        **tables,
        rows=_counts(old, new, ["split", "error_type"]),
        speakers=_speakers(old, new),
        columns=columns,
        params=directions.params(before, after),
        metrics=directions.metrics(before, after),
        batches=growth.batches(before, after),
        ledger=growth.ledger(before, after),
        unread=unread,
        erased=tuple(path.rpartition("/")[2] for path in before.erased),
        overdue=_overdue(target or before, after),
    )


def _overdue(target: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """Return the batches of `after` that the record of `target` says to stand no more."""
    gone = {batch for entry in erasures.parse(target.read(erasures.PATH.as_posix())) for batch in entry.batches}
    return tuple(sorted(name for name in gone if f"{repository.RAW.as_posix()}/{name}" in after.outputs))


def _state(snapshot: Snapshot) -> State:
    gate, audit = (snapshot.json(f"data/metrics/{name}.json") for name in ("gate", "dataset"))
    report = hashlib.sha256(snapshot.read("data/metrics/quality.json") or b"").hexdigest()
    stale: tuple[str, ...] = ()
    uncommitted: tuple[str, ...] = ()
    if not snapshot.commit:
        stale = tuple(status.stale_stages(snapshot.root))
        uncommitted = tuple(repository.git(["diff", "--name-only", "HEAD"], snapshot.root).splitlines())
    judged = _verdict(gate) if gate.get("report_sha256") == report else "not judged"
    return State(snapshot.name, snapshot.commit, snapshot.dataset_hash, judged, _verdict(audit), stale, uncommitted)


def _verdict(judgement: dict[str, Any]) -> str:
    return {True: "passed", False: "failed"}.get(judgement.get("passed", ""), "not judged")


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype="str") for name in [*_CASE, "speaker_id", *_TEXTS]})


def _rows(snapshot: Snapshot) -> pd.DataFrame:
    """Return the cases of a state's dataset; none where it has no dataset yet."""
    if not snapshot.has(SPLITS):
        return _empty()
    rows = snapshot.table(SPLITS, _COLUMNS).rename(columns={"primary_error_type": "error_type"})
    return rows.assign(error_type=rows["error_type"].astype(object).fillna("none"))


def _cases(
    old: pd.DataFrame, new: pd.DataFrame, before: Snapshot, after: Snapshot, frozen: dict[str, str]
) -> dict[str, pd.DataFrame]:
    both = old.merge(new, on="case_id", suffixes=("_old", "_new"))
    was, now = both["corrected_transcript_old"], both["corrected_transcript_new"]
    other_text = (was != now) & ~(was.isna() & now.isna())
    other_split = both["split_old"] != both["split_new"]
    renamed = both.rename(columns={f"{name}_new": name for name in ("split", "error_type", "original_transcript")})
    corrected = renamed.assign(before=was, after=now)[other_text]
    moved = renamed.assign(before=both["split_old"], after=both["split_new"])[other_split]
    added = new.loc[~new["case_id"].isin(old["case_id"]), [*_CASE, *_TEXTS]]
    removed = old.loc[~old["case_id"].isin(new["case_id"]), [*_CASE, *_TEXTS]]
    came, went = (
        whereabouts(before, added["case_id"], missing="new"),
        whereabouts(after, removed["case_id"], missing="gone"),
    )
    found = {
        "added": added.assign(was=came["place"].to_numpy(), reasons=came["reasons"].to_numpy()),
        "removed": removed.assign(now=went["place"].to_numpy(), reasons=went["reasons"].to_numpy()),
        "corrected": corrected[[*_CASE, "original_transcript", "before", "after"]],
        "moved": moved[["case_id", "error_type", "before", "after"]],
    }
    for name in ("removed", "corrected", "moved"):
        found[name] = found[name].assign(frozen=found[name]["case_id"].map(frozen))
    return {name: table.sort_values("case_id", ignore_index=True) for name, table in found.items()}


def _counts(old: pd.DataFrame, new: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    sizes = {name: table.groupby(list(keys)).size() for name, table in (("before", old), ("after", new))}
    return pd.DataFrame(sizes).fillna(0).astype(int).sort_index().rename_axis(list(keys)).reset_index()


def _speakers(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    known = [table.dropna(subset=["speaker_id"]) for table in (old, new)]
    found = _counts(known[0], known[1], ["speaker_id"])
    return found[(found["before"] == 0) | (found["after"] == 0)].reset_index(drop=True)


def _columns(before: Snapshot, after: Snapshot) -> list[dict[str, str]]:
    old, new = (_features(state) for state in (before, after))
    sides = (("before", old), ("after", new))
    differing = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return [{"name": name} | {side: values[name] for side, values in sides if name in values} for name in differing]


def _features(snapshot: Snapshot) -> dict[str, str]:
    """Return the type of each column of the dataset, as its card says; {} where there is no dataset."""
    if not snapshot.dataset_hash:
        return {}
    card = snapshot.file(CARD).read_bytes()
    front = parse_yaml(card.split(b"\n---\n")[0].removeprefix(b"---\n"), f"{CARD} of {snapshot.name}")
    features = front.get("dataset_info", {}).get("features", ())
    return {str(item.pop("name", "")): json.dumps(item, sort_keys=True) for item in map(dict, features)}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
