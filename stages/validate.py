"""Stage `validate`: a candidate passes all rules, or is rejected with every reason; suspect ones are ranked."""

import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import judging, params, quality, suspects, tables, witnesses
from mondegreen.executor import engine
from mondegreen.schemas import CORRECTIONS, HEARINGS, SUSPECTS, UTTERANCES
from mondegreen.shelf import FOLDER, Shelf
from mondegreen.stage import run

OPINIONS = ("case_id", "method", "author", "corrected_transcript", "undone")


def main() -> None:
    """Read the cases, write valid, rejected and the quality report."""
    settings, require_audio = params.load(params.Validate), params.load(params.Export).require_audio
    shelf = Shelf(FOLDER / "validate")
    files = {file: shelf.digest(file) for file in tables.files("data/cases.parquet")}
    judged = judging.judge(files, settings, require_audio=require_audio, shelf=shelf, engine=engine())
    judging.write(judged, files, "data/valid.parquet", "data/rejected.parquet", shelf=shelf)
    found = judged.sorted()
    disputed = pa.array(found.valid.loc[found.valid["conflicting_corrections"] > 0, "case_id"], pa.string())
    wanted = pc.starts_with(pc.field("method"), "model:") | pc.field("case_id").isin(disputed)
    corrections = tables.read("data/corrections.parquet", CORRECTIONS, only=wanted, columns=OPINIONS)
    heard = witnesses.transcripts(judged.shared, corrections, tables.read("data/hearings.parquet", HEARINGS))
    ranked = suspects.rank(found.valid, corrections, heard.of_all(found.valid), texts=judged.texts, shelf=shelf)
    shelf.sweep()
    tables.save(ranked, "data/suspects.parquet", SUSPECTS)
    valid_sha256 = tables.sha256("data/valid.parquet")
    shares = quality.measure(found)
    report = quality.report(judged.narrow, found, shares, params.load(params.Gate), valid_sha256)
    report["suspects"] = suspects.summary(ranked)
    report["warnings"] += suspects.warning(report["suspects"], len(ranked))
    spoken = tables.read("data/utterances.parquet", UTTERANCES)
    spoken = spoken[~spoken["withdrawn"]].reset_index(drop=True)
    good = quality.sort_out(spoken, settings, require_audio=True, failures=False)
    tables.write(good.valid, "data/valid_utterances.parquet", UTTERANCES)
    tables.write_json(report | {"utterances": quality.counts(good)}, "data/metrics/quality.json")


if __name__ == "__main__":
    run(main)
