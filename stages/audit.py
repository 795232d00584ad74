"""Stage `audit`: the dataset is read back, and every promise about it is checked from its bytes."""

from pathlib import Path

import pyarrow as pa

from mondegreen import params, tables
from mondegreen.auditing import audit
from mondegreen.errors import AuditError
from mondegreen.portions import Portion
from mondegreen.shelf import FOLDER, Shelf
from mondegreen.stage import run
from mondegreen.terminal import progress

ROWS = ("data/splits.parquet", "data/augmented/rows.parquet")


def main() -> None:
    """Read the dataset, write what was found; raise `AuditError` when anything is wrong."""
    limits = params.load(params.Validate)
    expected = [Portion(file) for path in ROWS for file in tables.files(path)]
    shelf = Shelf(FOLDER / "audit")
    with progress(sum(map(len, expected)), " rows", "audit") as advance:
        report = audit(
            Path("data/dataset"),
            expected,
            require_audio=params.load(params.Export).require_audio,
            normaliser=params.load(params.Collect).normaliser,
            min_shared_words=params.load(params.Split).min_shared_words,
            min_duration=limits.min_duration,
            max_duration=limits.max_duration,
            shelf=shelf,
            advance=advance,
        )
    shelf.sweep()
    tables.write_json(report.metrics, "data/metrics/dataset.json")
    if report.passed:
        Shelf(FOLDER / "passed").put("shards", pa.table({"sha256": report.sha256}))
    if report.problems:
        problems = "\n".join(f"  {problem}" for problem in report.problems)
        raise AuditError(
            f"data/dataset is not what it should be:\n{problems}\n\n"
            "Back to the last good one: 'git checkout HEAD -- dvc.lock && dvc checkout data/dataset'. A damaged "
            "batch comes back by: 'git checkout HEAD -- data/raw && dvc checkout --force', then 'dvc repro'"
        )


if __name__ == "__main__":
    run(main)
