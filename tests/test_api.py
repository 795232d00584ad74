"""The Python API: every call of its documentation, on what a recogniser really said; and what went wrong elsewhere."""

import json
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mondegreen
from conftest import ROOT, sound
from mondegreen import (
    DataManager,
    DataVersionControl,
    FinetuningDatasetPipeline,
    MetadataTracker,
    performance,
)
from mondegreen.errors import DataError, ParamsError, RepositoryError
from mondegreen.finetuning_pipeline import set_params
from mondegreen.integration import IntegratedDataManagementSystem


@pytest.fixture
def system(tmp_path: Path) -> IntegratedDataManagementSystem:
    return IntegratedDataManagementSystem(tmp_path / "inbox")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "sample.wav"
    path.write_bytes(sound())
    return path


def heard() -> list[dict[str, Any]]:
    """Return what the sample's recogniser said, as an agent would hand it on."""
    lines = (ROOT / "data/raw/sample/events.jsonl").read_text().splitlines()
    failures = [event for event in map(json.loads, lines) if event["event"] == "failure"]
    return [
        {
            "transcript": event["original_transcript"],
            "error_detection": {
                "has_errors": True,
                "error_types": dict.fromkeys(event["error_types"], 1),
                "error_score": event.get("error_score"),
            },
            "inference_time_seconds": event["inference_time"],
        }
        for event in failures
    ]


def test_production_monitoring(system: IntegratedDataManagementSystem, clip: Path):
    """Record failures as they are detected, add corrections by hand, watch the statistics."""
    for result in heard()[:20]:
        if result["error_detection"]["has_errors"]:
            system.record_failed_transcription(
                audio_path=clip,
                original_transcript=result["transcript"],
                corrected_transcript=None,
                error_types=list(result["error_detection"]["error_types"].keys()),
                error_score=result["error_detection"]["error_score"],
                inference_time=result["inference_time_seconds"],
            )
    uncorrected = system.data_manager.get_uncorrected_cases()
    assert len(uncorrected) == 20
    for case in uncorrected[:15]:
        system.add_correction(case.case_id, f"really {case.original_transcript}")
    stats = system.get_system_statistics()
    assert stats["data_management"]["total_failed_cases"] == 20
    assert stats["data_management"]["corrected_cases"] == 15
    assert stats["data_management"]["correction_rate"] == 0.75
    assert stats["data_management"]["total_corrections"] == 15
    assert stats["inference_stats"]["count"] == 20
    assert set(stats) == {
        "data_management",
        "performance_trends",
        "learning_summary",
        "inference_stats",
        "version_control",
        "available_datasets",
    }


def test_a_case_as_it_is_recorded(system: IntegratedDataManagementSystem, clip: Path):
    case_id = system.record_failed_transcription(
        audio_path=str(clip),
        original_transcript="THIS IS ALL CAPS",
        corrected_transcript="This is proper text",
        error_types=["all_caps"],
        error_score=0.8,
        inference_time=0.5,
        model_confidence=0.85,
        additional_metadata={"call": 7},
        speaker_id="s1",
    )
    case = system.data_manager.get_failed_case(case_id)
    assert case is not None
    assert (case.original_transcript, case.corrected_transcript) == ("THIS IS ALL CAPS", "This is proper text")
    assert (case.error_types, case.error_score, case.metadata) == (["all_caps"], 0.8, {"call": 7})
    assert Path(str(case.audio_path)).read_bytes() == clip.read_bytes()
    assert system.data_manager.get_failed_cases_by_error_type("all_caps") == [case]
    assert system.data_manager.get_failed_cases_by_error_type("empty") == []
    assert system.data_manager.get_corrected_cases() == [case]
    assert system.data_manager.get_failed_case("unknown") is None
    assert list(system.data_manager.export_to_dataframe()["case_id"]) == [case_id]


def test_an_empty_spool_has_statistics(system: IntegratedDataManagementSystem):
    stats = system.get_system_statistics()
    assert stats["data_management"]["total_failed_cases"] == 0
    assert stats["data_management"]["correction_rate"] == 0.0
    assert stats["performance_trends"]["wer"]["count"] == 0
    assert stats["inference_stats"] == {"count": 0}
    assert stats["version_control"]["total_versions"] == 0
    assert not system.base_dir.exists(), "asking changes nothing"


def test_corrections_are_never_forgotten_and_count_once(tmp_path: Path):
    first, second = DataManager(tmp_path), DataManager(tmp_path)
    case_id = first.store_failed_case(None, "kiss this guy")
    first.store_correction(case_id, "kiss the guy")
    assert second.get_statistics()["correction_rate"] == 1.0, "another reader sees it at once"
    second.store_correction(case_id, "kiss the sky", "user_feedback", {"stars": 5})
    again = DataManager(tmp_path)
    assert again.get_statistics()["corrected_cases"] == 1
    assert again.get_statistics()["total_corrections"] == 2
    assert again.get_corrected_cases()[0].corrected_transcript == "kiss the sky"
    corrections = again.export_corrections_to_dataframe()
    assert list(corrections["won"]) == [False, True]


def test_a_correction_that_was_taken_back_corrects_nothing(tmp_path: Path):
    manager = DataManager(tmp_path)
    case_id = manager.store_failed_case(None, "kiss this guy", error_types=["substitution"])
    manager.store_correction(case_id, "kiss the sky")
    [correction] = manager.export_corrections_to_dataframe()["event_id"]
    manager.recorder.review(case_id, "undo", undoes=correction)
    found = manager.get_statistics()
    assert (found["corrected_cases"], found["total_corrections"]) == (0, 1) == (len(manager.get_corrected_cases()), 1)
    manager.recorder.failure(None, original_transcript="x", error_types=["deletion"], case_id=case_id)
    assert manager.get_statistics()["error_type_distribution"] == {"deletion": 1}, "recorded again: the later counts"


def test_a_withdrawn_case_is_gone(tmp_path: Path):
    manager = DataManager(tmp_path)
    for speaker in ("s1", "s2", None):
        manager.store_failed_case(None, "x", speaker_id=speaker)
    manager.recorder.withdrawal(reason="asked to", speaker_id="s1")
    assert manager.get_statistics()["total_failed_cases"] == len(manager.get_uncorrected_cases()) == 2


def _record_models(path: Path, number: int) -> None:
    tracker = MetadataTracker(path)
    for version in range(20):
        tracker.record_model_version(f"m{number}-{version}", training_data_size=version)


def test_eight_processes_record_160_models(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_record_models, args=(tmp_path, number)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert MetadataTracker(tmp_path).get_learning_summary()["model_versions"] == 160


def test_two_trackers_in_one_process_do_not_overwrite_each_other(tmp_path: Path):
    trackers = [MetadataTracker(tmp_path) for _ in range(2)]
    threads = [threading.Thread(target=tracker.record_performance, args=(0.1, 0.05)) for tracker in trackers * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert MetadataTracker(tmp_path).get_performance_trend("wer")["count"] == 20


def test_a_trend_is_positive_when_things_got_better(tmp_path: Path):
    tracker = MetadataTracker(tmp_path)
    for wer, accuracy in ((0.20, 0.80), (0.15, 0.85), (0.10, 0.90)):
        tracker.record_performance(wer, wer / 2, "m", accuracy=accuracy, oddity=wer)
    trend = tracker.get_performance_trend("wer")
    assert trend["values"] == [0.2, 0.15, 0.1]
    assert (trend["count"], trend["latest"], trend["min"], trend["max"]) == (3, 0.1, 0.1, 0.2)
    assert (trend["mean"], trend["std"]) == (0.15, 0.05)
    assert (trend["improvement"], trend["improvement_percent"]) == (0.1, 50.0)
    assert tracker.get_performance_trend("accuracy")["improvement"] == 0.1
    assert tracker.get_performance_trend("oddity")["improvement"] is None, "nobody knows which way is better"
    assert tracker.get_performance_trend("nothing") == {
        "metric": "nothing",
        "better": "unknown",
        "count": 0,
        "timestamps": [],
        "values": [],
    }
    assert tracker.get_performance_trend("wer", time_window_days=0)["count"] == 0


def test_a_trend_never_mixes_test_sets_or_normalisers(tmp_path: Path):
    tracker = MetadataTracker(tmp_path)
    tracker.record_performance(0.5, 0.3, "m1", test_set="hard", normaliser="basic-1")
    tracker.record_performance(0.2, 0.1, "m1", test_set="easy", normaliser="basic-1")
    tracker.record_performance(0.4, 0.2, "m2", test_set="hard", normaliser="basic-1")
    tracker.record_performance(0.6, 0.4, "m2", test_set="hard", normaliser="none-1")
    tracker.record_performance(0.3, 0.2, "m3", test_set="hard", normaliser="basic-1")
    trend = tracker.get_performance_trend("wer")
    assert (trend["test_set"], trend["normaliser"], trend["left_out"]) == ("hard", "basic-1", 2)
    assert trend["values"] == [0.5, 0.4, 0.3]
    models = tracker.get_model_comparison()
    hard = models[(models["test_set"] == "hard") & (models["normaliser"] == "basic-1")]
    assert list(hard["model_version"]) == ["m3", "m2", "m1"]


@pytest.mark.parametrize("wer", [-3, float("nan"), "0.1", None, True])
def test_an_error_rate_that_is_none_is_refused(tmp_path: Path, wer: Any):
    with pytest.raises((ValueError, TypeError)):
        MetadataTracker(tmp_path).record_performance(wer, 0.1)
    assert not list(tmp_path.iterdir())


def test_inference_statistics(tmp_path: Path):
    tracker = MetadataTracker(tmp_path)
    for number in range(100):
        tracker.record_inference_stats(number / 100, failed=number < 30, audio_seconds=2.0)
    stats = tracker.get_inference_statistics(hours=1)
    assert (stats["count"], stats["failed"], stats["error_rate"]) == (100, 30, 0.3)
    assert stats["mean_inference_time"] == 0.495
    assert stats["real_time_factor"] == pytest.approx(0.495 / 2, abs=1e-6)


def test_learning_and_reports(tmp_path: Path):
    tracker = MetadataTracker(tmp_path)
    tracker.record_learning_progress("epoch", {"loss": 0.5})
    tracker.record_learning_progress("epoch", {"loss": 0.3})
    tracker.record_model_version("whisper_base_v1", model_name="whisper base", training_data_size=500)
    tracker.record_performance(0.12, 0.06, "whisper_base_v1", {"epochs": 10, "batch_size": 16})
    summary = tracker.get_learning_summary()
    assert summary == {
        "count": 2,
        "stages": {"epoch": {"loss": 0.3}},
        "model_versions": 1,
        "latest_model_version": "whisper_base_v1",
    }
    report = tracker.generate_performance_report(tmp_path / "reports/performance.json")
    assert json.loads((tmp_path / "reports/performance.json").read_text()) == report
    assert report["performance_trends"]["wer"]["latest"] == 0.12
    assert report["models"][0]["model_version"] == "whisper_base_v1"


def test_outside_a_repository_the_pipeline_says_so(tmp_path: Path):
    pipeline = FinetuningDatasetPipeline(DataManager(tmp_path))
    with pytest.raises(RepositoryError, match="not inside a Mondegreen repository"):
        pipeline.prepare_dataset()


@pytest.mark.parametrize("name", [name for name in vars(DataVersionControl) if not name.startswith("_")])
def test_outside_a_repository_versions_say_so(tmp_path: Path, name: str):
    control = DataVersionControl(tmp_path)
    if name == "get_statistics":
        assert control.get_statistics()["total_versions"] == 0
        return
    with pytest.raises(RepositoryError, match="not inside a Mondegreen repository"):
        asked = getattr(control, name)
        asked("v1.0.0") if name in ("compare_versions", "rollback_to_version") else asked()


def test_parameters_change_and_comments_stay(tmp_path: Path):
    path = tmp_path / "params.yaml"
    before = (ROOT / "params.yaml").read_text()
    path.write_text(before)
    set_params(path, {"split.seed": 1})
    assert path.read_text() == before
    set_params(path, {"split.max_samples": 1000, "split.min_error_score": 0.5})
    changed = [line for line in path.read_text().splitlines() if line not in before.splitlines()]
    assert [line.split("#")[0].strip() for line in changed] == ["min_error_score: 0.5", "max_samples: 1000"]
    assert all("#" in line for line in changed)
    set_params(path, {"split.max_samples": None})
    with pytest.raises(ParamsError, match=r"split\.nonsense"):
        set_params(path, {"split.nonsense": 1})


def test_the_package_offers_the_names():
    for name in ("DataManager", "MetadataTracker", "FinetuningDatasetPipeline", "DataVersionControl", "Recorder"):
        assert name in mondegreen.__all__
        assert getattr(mondegreen, name).__doc__
    with pytest.raises(AttributeError):
        mondegreen.nonsense  # noqa: B018


def test_unknown_format_and_dataset(tmp_path: Path):
    pipeline = FinetuningDatasetPipeline(DataManager(ROOT / "data/inbox"))
    with pytest.raises(DataError, match="expected one of json, csv, parquet"):
        pipeline.prepare_huggingface_dataset(format="arrow")
    with pytest.raises(DataError, match="is not here"):
        pipeline.get_dataset_info("nonsense")


@pytest.mark.parametrize(
    ("metric", "way"),
    [
        ("wer", "lower"),
        ("raw_wer", "lower"),
        ("validation_loss", "lower"),
        ("inference_time", "lower"),
        ("accuracy", "higher"),
        ("answer_accuracy", "higher"),
        ("error_correction_rate", "higher"),
        ("real_time_speed", "higher"),
        ("customer_score", "higher"),
        ("cancer", "unknown"),
        ("twelve", "unknown"),
    ],
)
def test_the_direction_of_a_metric_is_decided_by_whole_words(metric: str, way: str):
    assert performance.better(metric) == way


def test_what_a_figure_was_measured_on_is_a_text_and_no_metric_takes_its_name(tmp_path: Path):
    tracker = MetadataTracker(tmp_path)
    with pytest.raises(ValueError, match=r"metadata\.test_set"):
        tracker.record_performance(0.1, 0.1, metadata={"test_set": ["calls", "meetings"]})
    with pytest.raises(ValueError, match=r"metrics\.test_set"):
        tracker.recorder.performance(wer=0.1, cer=0.1, **{"test_set": 3.0})
    with pytest.raises(ValueError, match="foo"):
        tracker.record_performance(0.1, 0.1, foo=10**400)
    assert not list(tmp_path.iterdir())


def test_figures_of_two_datasets_without_a_named_test_set_do_not_compare(tmp_path: Path):
    tracker = MetadataTracker(tmp_path)
    tracker.record_performance(0.3, 0.1, "a", dataset_version="v1")
    tracker.record_performance(0.1, 0.05, "b", dataset_version="v2")
    trend = tracker.get_performance_trend("wer")
    assert (trend["count"], trend["left_out"], trend["test_set"]) == (1, 1, "unnamed, dataset v2")


def test_a_log_with_odd_measurements_can_still_be_read():
    """What an older recorder let through must never stop the pipeline."""
    odd = {"test_set": "[1, 2]", "normaliser": 3}
    table = pd.DataFrame(
        {
            "event_id": ["e1"],
            "recorded_at": [pd.Timestamp("2026-01-01", tz="UTC")],
            "model_version": ["m"],
            "dataset_version": [None],
            "wer": [0.1],
            "cer": [0.1],
            "metrics": [json.dumps({"test_set": 3.0, "wer": 9.0, "loss": 0.5})],
            "metadata": [json.dumps(odd | {"test_set": ["a"]})],
        }
    )
    flat = performance.flatten(table)
    assert flat.loc[0, ["test_set", "normaliser", "wer", "loss"]].tolist() == ["unknown", "unknown", 0.1, 0.5]


def test_a_failure_without_a_time_is_an_inference_too(system: IntegratedDataManagementSystem):
    system.record_failed_transcription(None, "x")
    assert system.get_system_statistics()["inference_stats"]["count"] == 1


def test_a_spool_never_gets_into_git_by_accident(system: IntegratedDataManagementSystem):
    system.record_failed_transcription(None, "x")
    assert (system.base_dir / ".gitignore").read_text() == "*\n"
