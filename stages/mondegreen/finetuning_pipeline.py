"""`FinetuningDatasetPipeline`: the pipeline from Python: it changes params.yaml, runs `dvc repro`, returns facts."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from mondegreen import ingest, params, repository, tables, version_control
from mondegreen.data_manager import DataManager
from mondegreen.errors import DataError, ParamsError
from mondegreen.schemas import LEFT_OUT, REJECTED

FORMATS = ("json", "csv", "parquet")

_BATCH_ROWS = 1000

NULL = "tag:yaml.org,2002:null"


class FinetuningDatasetPipeline:
    """Prepares the dataset of the repository around a spool. There is one, `data/dataset`; its id is its DVC hash."""

    def __init__(self, data_manager: DataManager | None = None) -> None:
        """Work on the repository around the data manager's spool."""
        self.data_manager = data_manager or DataManager()

    @property
    def root(self) -> Path:
        """The repository; raises `RepositoryError` where there is none."""
        return repository.root(self.data_manager.path)

    def prepare_dataset(
        self,
        min_error_score: float = 0.5,
        include_uncorrected: bool = False,
        train_ratio: float = 0.8,
        val_ratio: float = 0.1,
        test_ratio: float = 0.1,
        max_samples: int | None = None,
        balance_error_types: bool = True,
    ) -> dict[str, Any]:
        """Ingest what waits, write what differs into params.yaml (comments stay), run `dvc repro`, return the facts.

        The facts are those of `get_dataset_info`. Uncorrected cases are never trained on: with `include_uncorrected`
        they are exported without a target, in a split of their own, `unlabelled`. Raises `ParamsError`, `DataError` or
        `RepositoryError` with what the pipeline said (a shut gate, too little data); then params.yaml is as it was,
        and the last good dataset stays.
        """
        root = self.root
        if self.data_manager.path.is_dir():
            ingest.ingest(self.data_manager.path, root / repository.RAW, track=repository.track, root=root)
        wanted = {
            "split.min_error_score": min_error_score,
            "split.train_ratio": train_ratio,
            "split.validation_ratio": val_ratio,
            "split.test_ratio": test_ratio,
            "split.max_samples": max_samples,
            "split.balance_error_types": balance_error_types,
            "split.include_uncorrected": include_uncorrected,
        }
        return self._rebuilt(wanted, params.Split)

    def augment_dataset(
        self,
        dataset_id: str | None = None,
        factor: int = 2,
        methods: Iterable[str] | Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Rebuild the dataset with `factor` perturbed copies of each case of train, and return its facts.

        `methods` are names out of speed, noise, gain and telephone, or a mapping of such names to their parameters in
        params.yaml; None leaves them as they are there. Validation and test stay as they were recorded. Raises
        `DataError` for an unknown `dataset_id`, else as `prepare_dataset` does; then params.yaml is as it was.
        """
        self.get_dataset_info(dataset_id)
        wanted: dict[str, Any] = {"augment.factor": factor}
        if methods is not None:
            now = asdict(params.load(params.Augment, self.root / "params.yaml").methods)
            given = methods if isinstance(methods, Mapping) else {name: now.get(name) or {} for name in methods}
            wanted["augment.methods"] = {name: _plain(settings) for name, settings in given.items()}
        return self._rebuilt(wanted, params.Augment)

    def _rebuilt(self, wanted: Mapping[str, Any], block: type) -> dict[str, Any]:
        """Write `wanted` into params.yaml, run `dvc repro` and return the facts; on an error put params.yaml back."""
        path = self.root / "params.yaml"
        before = path.read_text(encoding="utf-8")
        try:
            set_params(path, wanted)
            params.load(block, path)
            repository.dvc(["repro"], self.root)
        except BaseException:
            path.write_text(before, encoding="utf-8")  # a value that does not work must not stop the next build
            raise
        return self.get_dataset_info()

    def prepare_huggingface_dataset(self, dataset_id: str | None = None, format: str = "parquet") -> dict[str, str]:
        """Return a file per split in `format`: the dataset's own Parquet files, or JSON Lines or CSV made of them.

        JSON and CSV hold every column but the audio itself, and go to `data/exports/<dataset_id>/`.
        """
        if format not in FORMATS:
            raise DataError(f"format={format!r}: expected one of {', '.join(FORMATS)}")
        info = self.get_dataset_info(dataset_id)
        folder = Path(info["local_path"])
        files: dict[str, str] = {}
        for split in info["sizes"]:
            shards = sorted((folder / "data").glob(f"{split}-*.parquet"))
            if format == "parquet":
                files[split] = str(folder / "data" / f"{split}-*.parquet")
            else:
                target = self.root / "data/exports" / info["dataset_id"] / f"{split}.{format}"
                files[split] = str(_convert(shards, target, format))
        return files

    def validate_dataset(self, dataset_id: str | None = None) -> dict[str, Any]:
        """Return the quality report of the dataset: `passed`, `quality_metrics`, `issues`, `warnings` and counts.

        `passed` asks for both the gate's verdict and the audit's. Raises `DataError` for an unknown `dataset_id`.
        """
        self.get_dataset_info(dataset_id)
        metrics = self.root / "data/metrics"
        quality, audit = (tables.read_json(metrics / f"{name}.json") for name in ("quality", "dataset"))
        return quality | {"passed": quality["passed"] and audit["passed"], "audit": audit}

    def list_datasets(self) -> list[dict[str, Any]]:
        """Return the facts of every dataset that is here: the one in the work tree, or none."""
        return [self.get_dataset_info()] if self._dataset_id() else []

    def get_dataset_info(self, dataset_id: str | None = None) -> dict[str, Any]:
        """Return what the dataset is: where, its id, sizes, quality, and how many cases were left out, and why.

        Raises `DataError` when it is not built, or when `dataset_id` is not its id.
        """
        root, known = self.root, self._dataset_id()
        if known is None or dataset_id not in (None, known):
            wanted = f"dataset {dataset_id!r}" if dataset_id else "a dataset"
            raise DataError(
                f"{wanted} is not here: 'dvc repro' builds one, 'git checkout' and 'dvc pull' bring one back"
            )
        quality = tables.read_json(root / "data/metrics/quality.json")
        left_out = _counts(root / "data/rejected.parquet", REJECTED, "reasons")
        left_out |= _counts(root / "data/left_out.parquet", LEFT_OUT, "reason")
        audit = tables.read_json(root / "data/metrics/dataset.json")
        return {
            "local_path": str(root / repository.DATASET),
            "dataset_id": known,
            "version_id": version_control.current(root),
            "sizes": audit["rows"],
            "train_size": audit["rows"].get("train", 0),
            "val_size": audit["rows"].get("validation", 0),
            "test_size": audit["rows"].get("test", 0),
            "total_samples": sum(audit["rows"].values()),
            "error_types": audit["error_types"],
            "quality": quality["quality_metrics"],
            "passed": quality["passed"] and audit["passed"],
            "left_out": left_out,
            "origins": audit["origins"],
        }

    def _dataset_id(self) -> str | None:
        lock = self.root / "dvc.lock"
        if not lock.exists() or not (self.root / repository.DATASET).is_dir():
            return None
        stages = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))["stages"]
        return str(stages["export"]["outs"][0]["md5"]) if "export" in stages else None


def _counts(path: Path, table: tables.Table, column: str) -> dict[str, int]:
    """Return how many cases there are per reason; none where a failed build took the table away."""
    if not path.exists():
        return {}
    return {
        str(reason): int(count) for reason, count in tables.read(path, table)[column].explode().value_counts().items()
    }


def set_params(path: Path, wanted: Mapping[str, Any]) -> None:
    """Write the values that differ into params.yaml, by `block.name`; comments and order stay.

    Raises `ParamsError` for a parameter that is not there.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar(NULL, "null"))
    yaml.width = 200
    content = yaml.load(path.read_text(encoding="utf-8"))
    changed = False
    for name, value in wanted.items():
        block, _, key = name.partition(".")
        if key not in content.get(block, {}):
            raise ParamsError(
                f"{path} has no parameter {name}: restore it, 'git diff params.yaml' shows what is missing"
            )
        changed |= _set(content[block], key, value)
    if changed:
        hidden = path.with_name(f".{path.name}.new")
        with hidden.open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
        hidden.replace(path)


def _set(block: dict[str, Any], key: str, value: Any) -> bool:
    """Make `block[key]` the `value`, member by member in a mapping, so that comments stay; tell whether it differed."""
    if block.get(key) == value:
        return False
    if not isinstance(value, dict) or not isinstance(block.get(key), dict):
        block[key] = value
        return True
    for name in [name for name in block[key] if name not in value]:
        del block[key][name]
    for name in value:
        _set(block[key], name, value[name])
    return True


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as YAML has them: lists for tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _no_formula(texts: pd.Series) -> pd.Series:
    """Return texts that no spreadsheet takes for a formula: an apostrophe goes before what would be one."""
    risky = texts.astype("str").str.match(r"[=+\-@\t\r]").fillna(False).astype(bool)
    return texts.mask(risky, "'" + texts.astype("str"))


def _convert(shards: list[Path], target: Path, format: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}.new")
    with hidden.open("w", encoding="utf-8", newline="") as file:
        header = True
        for shard in shards:
            parquet = pq.ParquetFile(shard)
            columns = [name for name in parquet.schema_arrow.names if name != "audio"]
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=columns):
                frame = batch.to_pandas()
                if format == "json":
                    frame.to_json(file, orient="records", lines=True, force_ascii=False)
                else:
                    frame["has_target"] = frame["text"].notna()  # an empty text is silence, not a missing one
                    frame["error_types"] = frame["error_types"].map(";".join)
                    texts = frame.select_dtypes(["object", "str"]).columns
                    frame.assign(**{name: _no_formula(frame[name]) for name in texts}).to_csv(
                        file, index=False, header=header
                    )
                header = False
    os.replace(hidden, target)  # noqa: PTH105
    return target
