"""Stage `audit`: the dataset is read back, and every promise about it is checked from its bytes."""

from pathlib import Path

import pandas as pd

from mondegreen import params, tables
from mondegreen.auditing import EXPECTED, audit
from mondegreen.errors import AuditError
from mondegreen.schemas import SPLITS
from mondegreen.stage import run
from mondegreen.terminal import progress

ROWS = ("data/splits.parquet", "data/augmented/rows.parquet")


def main() -> None:
    """Read the dataset, write what was found; raise `AuditError` when anything is wrong."""
    limits = params.load(params.Validate)
    rows = pd.concat([tables.read(path, SPLITS, columns=EXPECTED) for path in ROWS], ignore_index=True)
    with progress(len(rows), " rows", "audit") as advance:
        report = audit(
            Path("data/dataset"),
            rows,
            require_audio=params.load(params.Export).require_audio,
            normaliser=params.load(params.Collect).normaliser,
            min_shared_words=params.load(params.Split).min_shared_words,
            min_duration=limits.min_duration,
            max_duration=limits.max_duration,
            advance=advance,
        )
    tables.write_json(report.metrics, "data/metrics/dataset.json")
    if report.problems:
        problems = "\n".join(f"  {problem}" for problem in report.problems)
        raise AuditError(
            f"data/dataset is not what it should be:\n{problems}\n\n"
            "Back to the last good one: 'git checkout HEAD -- dvc.lock && dvc checkout data/dataset'. A damaged "
            "batch comes back by: 'git checkout HEAD -- data/raw && dvc checkout --force', then 'dvc repro'"
        )


if __name__ == "__main__":
    run(main)
