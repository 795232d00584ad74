"""Stage `validate`: a candidate passes all rules, or is rejected with every reason; suspect ones are ranked."""

import hashlib
from pathlib import Path

from mondegreen import executor, params, quality, suspects, tables, witnesses
from mondegreen.schemas import CASES, CORRECTIONS, HEARINGS, REJECTED, SUSPECTS, UTTERANCES, VALID
from mondegreen.stage import run


def main() -> None:
    """Read the cases, write valid, rejected and the quality report."""
    require_audio = params.load(params.Export).require_audio
    cases = tables.read("data/cases.parquet", CASES)
    found = quality.sort_out(quality.candidates(cases), params.load(params.Validate), require_audio=require_audio)
    tables.write(found.valid, "data/valid.parquet", VALID)
    tables.write(found.rejected, "data/rejected.parquet", REJECTED)
    corrections = tables.read("data/corrections.parquet", CORRECTIONS)
    heard = witnesses.transcripts(cases, corrections, tables.read("data/hearings.parquet", HEARINGS))
    ranked = suspects.rank(found.valid, corrections, heard.of_all(found.valid), engine=executor.engine())
    tables.write(ranked, "data/suspects.parquet", SUSPECTS)
    valid_sha256 = hashlib.sha256(Path("data/valid.parquet").read_bytes()).hexdigest()
    shares = quality.measure(found)
    report = quality.report(cases, found, shares, params.load(params.Gate), valid_sha256)
    report["suspects"] = suspects.summary(ranked)
    report["warnings"] += suspects.warning(report["suspects"], len(ranked))
    spoken = tables.read("data/utterances.parquet", UTTERANCES)
    spoken = spoken[~spoken["withdrawn"]].reset_index(drop=True)
    good = quality.sort_out(spoken, params.load(params.Validate), require_audio=True, failures=False)
    tables.write(good.valid, "data/valid_utterances.parquet", UTTERANCES)
    tables.write_json(report | {"utterances": quality.counts(good)}, "data/metrics/quality.json")


if __name__ == "__main__":
    run(main)
