"""Stage `validate`: a candidate passes all rules, or is rejected with every reason; suspect ones are ranked."""

import pyarrow as pa

from mondegreen import params, parts, quality, suspects, tables, witnesses
from mondegreen.executor import engine, spread
from mondegreen.schemas import CASES, CORRECTIONS, HEARINGS, REJECTED, SUSPECTS, UTTERANCES, VALID
from mondegreen.shelf import FOLDER, Shelf
from mondegreen.stage import run
from mondegreen.wordings import TEXTS, wordings

PIECE = 50_000
"""Cases whose words a worker reads out at once: about a second's work."""


def main() -> None:
    """Read the cases, write valid, rejected and the quality report."""
    require_audio = params.load(params.Export).require_audio
    cases = tables.read("data/cases.parquet", CASES)
    found = quality.sort_out(quality.candidates(cases), params.load(params.Validate), require_audio=require_audio)
    shelf = Shelf(FOLDER / "validate")
    numbers = parts.numbers("data/cases.parquet")
    of_valid = numbers[tables.place(found.valid["case_id"], cases["case_id"])[0]]
    parts.write_rows(found.valid, of_valid, numbers[-1] + 1, "data/valid.parquet", VALID, shelf=shelf)
    tables.write(found.rejected, "data/rejected.parquet", REJECTED)
    corrections = tables.read("data/corrections.parquet", CORRECTIONS)
    heard = witnesses.transcripts(cases, corrections, tables.read("data/hearings.parquet", HEARINGS))
    written = tables.pieces(pa.Table.from_pandas(found.valid[list(TEXTS)], preserve_index=False), PIECE)
    texts = pa.concat_tables(spread(wordings, written, engine=engine()))
    ranked = suspects.rank(found.valid, corrections, heard.of_all(found.valid), texts=texts, shelf=shelf)
    shelf.sweep()
    tables.write(ranked.to_pandas(), "data/suspects.parquet", SUSPECTS)
    valid_sha256 = tables.sha256("data/valid.parquet")
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
