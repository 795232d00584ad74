"""`IntegratedDataManagementSystem`: everything behind one object, thin over the library, Git and DVC."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mondegreen import environments, ingest, publishing, reporting, repository, rollback, transfer
from mondegreen.data_manager import DataManager
from mondegreen.errors import CloudError, DataError, RepositoryError
from mondegreen.finetuning_pipeline import FinetuningDatasetPipeline
from mondegreen.metadata_tracker import MetadataTracker
from mondegreen.objects import Store
from mondegreen.place import Place
from mondegreen.tables import write_json
from mondegreen.transfer import Transfer
from mondegreen.version_control import DataVersionControl

_log = logging.getLogger("mondegreen")


class IntegratedDataManagementSystem:
    """Records into the spool `base_dir`; builds and reports on the repository around it."""

    def __init__(
        self,
        base_dir: str | os.PathLike[str] = "data/inbox",
        use_gcs: bool = False,
        gcs_bucket_name: str | None = None,
        project_id: str | None = None,
    ) -> None:
        """Use the spool `base_dir`.

        With `use_gcs`, all that is recorded is uploaded in the background, to `gcs_bucket_name` or the bucket of the
        chosen environment; no call waits for the network, or fails without it.
        """
        self.base_dir = Path(base_dir)
        self.use_gcs, self.gcs_bucket_name, self.project_id = use_gcs, gcs_bucket_name, project_id
        self.data_manager = DataManager(base_dir, upload=self._learning_data() if use_gcs else None)
        self.metadata_tracker = MetadataTracker(base_dir)
        self.finetuning_pipeline = FinetuningDatasetPipeline(self.data_manager)
        self.version_control = DataVersionControl(base_dir)

    def record_failed_transcription(
        self,
        audio_path: str | os.PathLike[str] | bytes | None,
        original_transcript: str,
        corrected_transcript: str | None = None,
        error_types: Iterable[str] = (),
        error_score: float | None = None,
        inference_time: float | None = None,
        model_confidence: float | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        *,
        speaker_id: str | None = None,
        recording_id: str | None = None,
        language: str | None = None,
        model_version: str | None = None,
        start: float | None = None,
        end: float | None = None,
        is_speech: bool | None = None,
    ) -> str:
        """Record a failed transcription, its correction if it is known, and the inference; return the case id."""
        case_id = self.data_manager.store_failed_case(
            audio_path,
            original_transcript,
            corrected_transcript,
            error_types,
            error_score,
            inference_time,
            model_confidence,
            additional_metadata,
            speaker_id=speaker_id,
            recording_id=recording_id,
            language=language,
            model_version=model_version,
            start=start,
            end=end,
            is_speech=is_speech,
        )
        self.metadata_tracker.record_inference_stats(
            inference_time, failed=True, model_version=model_version, model_confidence=model_confidence
        )
        return case_id

    def add_correction(
        self,
        case_id: str,
        corrected_transcript: str,
        correction_method: str = "manual",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what was really said in a case."""
        self.data_manager.store_correction(case_id, corrected_transcript, correction_method, metadata)

    def record_training_performance(
        self,
        model_version: str,
        wer: float,
        cer: float,
        training_metadata: Mapping[str, Any] | None = None,
        **metrics: Any,
    ) -> None:
        """Record how well a trained model does: error rates as shares, and any further numbers by name."""
        self.metadata_tracker.record_performance(
            wer, cer, model_version=model_version, metadata=training_metadata, **metrics
        )

    def prepare_finetuning_dataset(
        self,
        min_error_score: float = 0.5,
        max_samples: int | None = None,
        balance_error_types: bool = True,
        create_version: bool = False,
        **settings: Any,
    ) -> dict[str, Any]:
        """Build the dataset (see `FinetuningDatasetPipeline.prepare_dataset`).

        Returns a dictionary with `local_path`, `dataset_id`, `version_id`, the sizes, the quality, and `left_out`: how
        many cases, by reason. With `create_version` the dataset is released: the tree has to be clean before; what the
        build changes (params.yaml, dvc.lock, batches, metrics) is committed, since a version is a commit. A dataset
        that a release has already keeps that `version_id`; nothing is released twice.
        """
        if create_version:
            rollback.check_clean(self.finetuning_pipeline.root)
        wanted = {
            "min_error_score": min_error_score,
            "max_samples": max_samples,
            "balance_error_types": balance_error_types,
            **settings,
        }
        info = self.finetuning_pipeline.prepare_dataset(**wanted)
        if create_version:
            self._commit_build(wanted)
            if info["version_id"] is None:
                info["version_id"] = self.version_control.create_version()
        return info

    def _commit_build(self, settings: Mapping[str, Any]) -> None:
        root = self.finetuning_pipeline.root
        repository.git(["add", "--all", "--", "params.yaml", "dvc.lock", "data"], root)
        if repository.changed(root):
            said = ", ".join(f"{name}={value}" for name, value in settings.items())
            repository.git(["commit", "--quiet", "-m", f"Prepare the dataset: {said}"], root)

    def get_system_statistics(self) -> dict[str, Any]:
        """Return the counts of cases, the trends, learning, inferences, versions and datasets, as of now."""
        return {
            "data_management": self.data_manager.get_statistics(),
            "performance_trends": {name: self.metadata_tracker.get_performance_trend(name) for name in ("wer", "cer")},
            "learning_summary": self.metadata_tracker.get_learning_summary(),
            "inference_stats": self.metadata_tracker.get_inference_statistics(),
            "version_control": self.version_control.get_statistics(),
            "available_datasets": len(self._datasets()),
        }

    def generate_comprehensive_report(self, output_path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Return the report of the repository's last build, as stage `report` writes it; and write it to `output_path`.

        Statistics, performance trends, an assessment of the data's quality, recommendations, facts of the dataset.
        Raises `DataError` where nothing is built, `RepositoryError` where there is no repository.
        """
        report = reporting.gather(self.finetuning_pipeline.root)
        if output_path is not None:
            write_json(report, output_path)
        return report

    def _datasets(self) -> list[dict[str, Any]]:
        try:
            return self.finetuning_pipeline.list_datasets()
        except (RepositoryError, DataError):
            return []

    def sync_all_to_gcs(self) -> None:
        """Ingest what waits and push all data to the default remote; raises `CloudError` when it is not all there.

        In a bucket, the newest release is published as well, and with `use_gcs` all that was recorded is uploaded.
        With `use_gcs` or a bucket's name, the remote must be on Google Cloud Storage, in that bucket.
        """
        root = self.finetuning_pipeline.root
        self._check_remote(root)
        if self.base_dir.is_dir():
            ingest.ingest(self.base_dir, root / repository.RAW, track=repository.track, root=root)
        _complete(transfer.push(root, Store(root)), "'mondegreen push' says what to do")
        environment = environments.find(root)
        if environment.url.startswith("gs://") and publishing.releases(root):
            publishing.publish(publishing.gather(root), Place(environment.address("")))
        recorder = self.data_manager.recorder
        if recorder.upload and not recorder.uploaded(timeout=60):
            raise CloudError(f"not all that was recorded is in {recorder.upload} yet: it is kept, and upload goes on")

    def sync_all_from_gcs(self) -> None:
        """Pull the data of this commit from the default remote; raises `CloudError`, changing nothing, if it cannot."""
        root = self.finetuning_pipeline.root
        self._check_remote(root)
        _complete(transfer.pull(root, Store(root)), "whoever has them runs 'mondegreen push'")

    def _learning_data(self) -> str | None:
        """Return where recorded data goes; None, and a warning in the log, where nothing says so."""
        if self.gcs_bucket_name:
            return f"gs://{self.gcs_bucket_name}/{environments.LEARNING}"
        try:
            return environments.find(repository.root(self.base_dir)).address(environments.LEARNING)
        except RepositoryError as error:
            _log.warning("nothing is uploaded while it is recorded: %s", error)
            return None

    def _check_remote(self, root: Path) -> None:
        url = repository.default_remote(root)
        wanted = f"gs://{self.gcs_bucket_name}" if self.gcs_bucket_name else "gs://" if self.use_gcs else ""
        if not url or not f"{url}/".startswith(f"{wanted}/" if self.gcs_bucket_name else wanted):
            raise RepositoryError(
                f"the default remote is {url or 'not set'}, not {wanted or 'gs://'}: nothing was transferred. Set one: "
                f"mondegreen environment dev --bucket {self.gcs_bucket_name or 'BUCKET'} && mondegreen environment dev"
            )


def _complete(done: Transfer, remedy: str) -> None:
    if done.problems:
        path, why = next(iter(done.problems.items()))
        raise CloudError(
            f"{len(done.problems)} objects are not in order in {done.place}, such as {path}: {why}; {remedy}"
        )
