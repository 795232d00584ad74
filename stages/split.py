"""Stage `split`: valid cases are selected, and assigned to train, validation and test so that nothing leaks."""

import pandas as pd

from mondegreen import ledger, params, splitting, tables
from mondegreen.pairs import REASON, repeated_pairs
from mondegreen.schemas import CASES, FAILURE, LEFT_OUT, SPLITS, VALID
from mondegreen.stage import run
from mondegreen.unlabelled import unlabelled


def main() -> None:
    """Read the valid cases and the ledger, write the splits and what was left out of them."""
    settings = params.load(params.Split)
    valid = tables.read("data/valid.parquet", VALID)
    frozen = ledger.read("data/ledger.csv")
    cases = tables.read("data/cases.parquet", CASES)
    require_audio = params.load(params.Export).require_audio
    repeated = repeated_pairs(valid, frozen) & (not require_audio)
    valid_ids = valid.loc[~repeated, "case_id"]
    anchors = cases[cases["case_id"].isin(frozen["case_id"]) & ~cases["case_id"].isin(valid_ids)]
    found = splitting.split(valid[~repeated], frozen, settings, anchors=anchors.reset_index(drop=True))
    rows = found.rows
    if settings.include_uncorrected:
        require_audio = params.load(params.Export).require_audio
        extra = unlabelled(cases, rows, min_shared_words=settings.min_shared_words, require_audio=require_audio)
        rows = pd.concat([rows, extra], ignore_index=True)
    rows = rows.assign(origin=FAILURE, parent_case_id=None, augmentation=None)
    tables.write(rows, "data/splits.parquet", SPLITS)
    left_out = pd.concat([found.left_out, valid.loc[repeated, ["case_id"]].assign(reason=REASON)])
    tables.write(left_out.sort_values("case_id"), "data/left_out.parquet", LEFT_OUT)
    quality = tables.read_json("data/metrics/quality.json")
    found.report["left_out"][REASON] = {"cases": int(repeated.sum()), "error_types": {}}
    report = found.report | {"unlabelled": len(rows) - len(found.rows), "valid_sha256": quality["valid_sha256"]}
    tables.write_json(report, "data/metrics/split.json")
    tables.write_json(found.frozen, "data/metrics/frozen.json")  # apart: a release changes it, and nothing else
    for note in report["notes"]:
        print(f"note: {note}")


if __name__ == "__main__":
    run(main)
