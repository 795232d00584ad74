"""Stage `augment`: copies of train's cases, perturbed, so that rare mistakes count for more and a model hears more."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import augmentation, augmenting, batches, executor, packs, params, tables
from mondegreen.schemas import FAILURE, SPLITS
from mondegreen.stage import run

TARGET = Path("data/augmented")


def main() -> None:
    """Read the splits and the batches, write the copies."""
    settings = params.load(params.Augment)
    factor, strengthen = settings.factor, settings.strengthen
    if not params.load(params.Export).require_audio:
        factor, strengthen = 0, {}  # a dataset of texts has no sound to perturb
    failures = (pc.field("split") == "train") & (pc.field("origin") == FAILURE)
    types = ["error_types", "detected_error_types"] if strengthen else []
    train = tables.read("data/splits.parquet", SPLITS, failures, ["case_id", *types])
    counts = augmentation.wanted(train, factor, strengthen)
    parents = pa.array(train.loc[counts > 0, "case_id"].tolist(), pa.string())
    found, noises, engine = [], {}, executor.engine()
    if counts.any():
        augmentation.check(settings.methods)
        found = batches.packs(Path("data/raw"))
        if settings.methods.noise and settings.methods.noise.files:
            noises = augmenting.noises(Path("data/noise"))
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    copies = augmenting.augment(
        tables.read("data/splits.parquet", SPLITS, pc.field("case_id").isin(parents)),
        counts[counts > 0].reset_index(drop=True),
        found,
        TARGET,
        settings,
        noises=noises,
        limits=params.load(params.Validate),
        engine=engine,
        urls=packs.urls(found, Path()) if engine == "dask" else None,
    )
    tables.write(copies, TARGET / "rows.parquet", SPLITS)
    tables.write_json(augmenting.metrics(train, counts, copies), "data/metrics/augment.json")
    for name in sorted(set(strengthen) - augmentation.error_types(train)) if strengthen else ():
        print(f"note: augment.strengthen names {name}, which no case of train has")


if __name__ == "__main__":
    run(main)
