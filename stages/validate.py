"""Stage `validate`: every candidate passes all rules, or lands in rejected with every reason."""

import hashlib
from pathlib import Path

from mondegreen import params, quality, tables
from mondegreen.schemas import CASES, REJECTED, VALID
from mondegreen.stage import run


def main() -> None:
    """Read the cases, write valid, rejected and the quality report."""
    require_audio = params.load(params.Export).require_audio
    cases = tables.read("data/cases.parquet", CASES)
    found = quality.sort_out(quality.candidates(cases), params.load(params.Validate), require_audio=require_audio)
    tables.write(found.valid, "data/valid.parquet", VALID)
    tables.write(found.rejected, "data/rejected.parquet", REJECTED)
    valid_sha256 = hashlib.sha256(Path("data/valid.parquet").read_bytes()).hexdigest()
    shares = quality.measure(found)
    report = quality.report(cases, found, shares, params.load(params.Gate), valid_sha256)
    tables.write_json(report, "data/metrics/quality.json")


if __name__ == "__main__":
    run(main)
