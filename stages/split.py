"""Stage `split`: valid cases are selected, and assigned to train, validation and test so that nothing leaks."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import ledger, params, replay, splitting, tables, traits
from mondegreen.assigned import write
from mondegreen.components import LINKING
from mondegreen.pairs import REASON, repeated_pairs
from mondegreen.schemas import CASES, FAILURE, LEFT_OUT, RETENTION, UTTERANCES
from mondegreen.shelf import FOLDER, Shelf
from mondegreen.stage import run
from mondegreen.unlabelled import unlabelled


def main() -> None:
    """Read the valid cases, the utterances and the ledger, write the splits and what was left out of them."""
    settings, replaying, shelf = params.load(params.Split), params.load(params.Replay), Shelf(FOLDER / "split")
    valid = traits.read("data/valid.parquet", min_shared_words=settings.min_shared_words, shelf=shelf)
    ledgered = ledger.read("data/ledger.csv")
    frozen = ledgered[ledgered["split"] != RETENTION]
    gone = frozen["case_id"][~tables.among(frozen["case_id"], valid["case_id"])]
    asked = pc.field("case_id").isin(pa.array(gone.tolist(), pa.string()))
    whole = settings.include_uncorrected
    cases = tables.read("data/cases.parquet", CASES, *(() if whole else (asked, ("case_id", *LINKING))))
    spoken = tables.read("data/valid_utterances.parquet", UTTERANCES)
    require_audio = params.load(params.Export).require_audio
    repeated = repeated_pairs(valid, frozen) if not require_audio else pd.Series(False, index=valid.index)
    retained = replay.linked(valid, spoken, ledgered, min_shared_words=settings.min_shared_words) & ~repeated
    out = repeated | retained
    known = pd.concat([cases, spoken[cases.columns]], ignore_index=True) if len(spoken) else cases
    held = [known[tables.among(known["case_id"], gone)], valid[tables.among(valid["case_id"], frozen["case_id"])]]
    known = pd.concat(held, ignore_index=True)
    anchors = known[~tables.among(known["case_id"], valid.loc[~out, "case_id"])].reset_index(drop=True)
    found = splitting.split(valid[~out], frozen, settings, anchors=anchors)
    replayed = replay.choose(
        spoken if require_audio else spoken[:0],
        found.rows,
        ledgered,
        replaying,
        known=known,
        min_shared_words=settings.min_shared_words,
    )
    others, uncorrected = [replayed.rows], 0
    if whole:
        rows = pd.concat([found.rows, *others], ignore_index=True)
        extra = unlabelled(cases, rows, min_shared_words=settings.min_shared_words, require_audio=require_audio)
        uncorrected = len(extra)
        others.append(extra.assign(origin=FAILURE))
    write(found.rows, pd.concat(others, ignore_index=True), "data/valid.parquet", "data/splits.parquet", shelf=shelf)
    shelf.sweep()
    reasons = {REASON: repeated, replay.REASON: retained}
    more = [valid.loc[which, ["case_id"]].assign(reason=reason) for reason, which in reasons.items()]
    tables.write(pd.concat([found.left_out, *more]).sort_values("case_id"), "data/left_out.parquet", LEFT_OUT)
    quality = tables.read_json("data/metrics/quality.json")
    found.report["left_out"] |= {
        name: {"cases": int(which.sum()), "error_types": {}} for name, which in reasons.items()
    }
    report = found.report | {"unlabelled": uncorrected, "replay": replayed.report}
    tables.write_json(report | {"valid_sha256": quality["valid_sha256"]}, "data/metrics/split.json")
    tables.write_json(found.frozen, "data/metrics/frozen.json")  # apart: a release changes it, and nothing else
    for note in [*report["notes"], *replay.notes(replayed.report, replaying, spoken)]:
        print(f"note: {note}")


if __name__ == "__main__":
    run(main)
