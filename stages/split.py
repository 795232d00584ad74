"""Stage `split`: valid cases are selected, and assigned to train, validation and test so that nothing leaks."""

from mondegreen import ledger, params, splitting, tables
from mondegreen.schemas import CASES, LEFT_OUT, SPLITS, VALID
from mondegreen.stage import run


def main() -> None:
    """Read the valid cases and the ledger, write the splits and what was left out of them."""
    valid = tables.read("data/valid.parquet", VALID)
    frozen = ledger.read("data/ledger.csv")
    cases = tables.read("data/cases.parquet", CASES)
    anchors = cases[cases["case_id"].isin(frozen["case_id"]) & ~cases["case_id"].isin(valid["case_id"])]
    found = splitting.split(valid, frozen, params.load(params.Split), anchors=anchors.reset_index(drop=True))
    tables.write(found.rows, "data/splits.parquet", SPLITS)
    tables.write(found.left_out, "data/left_out.parquet", LEFT_OUT)
    quality = tables.read_json("data/metrics/quality.json")
    tables.write_json({**found.report, "valid_sha256": quality["valid_sha256"]}, "data/metrics/split.json")


if __name__ == "__main__":
    run(main)
