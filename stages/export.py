"""Stage `export`: the selected cases become a Hugging Face dataset, audio inside."""

import hashlib
from pathlib import Path
from typing import Any

from mondegreen import batches, params, portions, tables
from mondegreen.card import card
from mondegreen.dataset import export
from mondegreen.errors import GateError
from mondegreen.shelf import FOLDER, Shelf
from mondegreen.stage import run
from mondegreen.terminal import progress


def check_gate(report: bytes, gate: dict[str, Any], quality: dict[str, Any], split: dict[str, Any]) -> None:
    """Raise `GateError` unless the gate passed this very report, and the splits were made of the rows it speaks of.

    `dvc repro` runs the stages in order; `dvc repro -s export` does not, and must not slip past the gate.
    """
    if not gate["passed"] or gate["report_sha256"] != hashlib.sha256(report).hexdigest():
        raise GateError("the gate has not passed data/metrics/quality.json as it is now: run 'dvc repro', without -s")
    if split["valid_sha256"] != quality["valid_sha256"]:
        raise GateError("data/splits.parquet was made of other rows than the gate passed: run 'dvc repro', without -s")


def main() -> None:
    """Read the splits and the batches, write the dataset."""
    settings = params.load(params.Export)
    quality = tables.read_json("data/metrics/quality.json")
    check_gate(
        Path("data/metrics/quality.json").read_bytes(),
        tables.read_json("data/metrics/gate.json"),
        quality,
        tables.read_json("data/metrics/split.json"),
    )
    parts = portions.with_copies(tables.files("data/splits.parquet"), tables.load("data/augmented/rows.parquet"))
    packs = [*batches.packs(Path("data/raw")), *sorted(Path("data/augmented").glob("audio-*.parquet"))]
    normaliser = params.load(params.Collect).normaliser
    shelf, passed = Shelf(FOLDER / "export"), Shelf(FOLDER / "passed").get("shards")
    with progress(sum(map(len, parts)), " rows", "export") as advance:
        export(
            parts,
            packs if settings.require_audio else [],
            Path("data/dataset"),
            require_audio=settings.require_audio,
            max_shard_mb=settings.max_shard_mb,
            shelf=shelf,
            passed=set(passed["sha256"].to_pylist()) if passed else (),
            describe=lambda contents, figures: card(
                figures,
                contents,
                quality,
                name=settings.name,
                licence=settings.licence,
                normaliser=normaliser,
                require_audio=settings.require_audio,
            ),
            advance=advance,
        )
    shelf.sweep()


if __name__ == "__main__":
    run(main)
