"""What tests share: sound to record, a recorder, and one factory of rows of the table of cases."""

import fcntl
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, settings

import history
from mondegreen import Recorder
from mondegreen.measuring import measure
from mondegreen.schemas import CASES

if TYPE_CHECKING:
    from clone import Clone

ROOT = Path(__file__).parent.parent

# the same examples in every run, and no stop-watch: a slow machine is no failure
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

os.environ["DVC_NO_ANALYTICS"] = "true"  # else every DVC starts a process more, which reports to its makers
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a clone's modules are compiled once, as where its users run it


def sound(seconds: float = 1.0, *, seed: int = 0, rate: int = 16000, fmt: str = "WAV", channels: int = 1) -> bytes:
    """Return the bytes of an audio file of seeded noise; two seeds never sound the same."""
    noise = np.random.default_rng(seed).integers(-8000, 8000, (int(seconds * rate), channels), dtype=np.int16)
    file = io.BytesIO()
    soundfile.write(file, noise, rate, format=fmt, subtype="PCM_16")
    return file.getvalue()


LONG = [
    "test_forget",
    "test_readme",
    "test_two_people",
    "test_from_python",
    "test_version_control",
    "test_erasing",
    "test_transfer",
    "test_compaction",
    "test_pipeline",
    "test_publishing",
    "test_round_trip",
    "test_bench",
    "test_release",
    "test_rollback",
]
"""The longest files, which begin: at the end no process should be left with one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, then the others that drive DVC."""
    slow = {item.path for item in items if item.get_closest_marker("dvc")}
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: (order.get(item.path.stem, len(order)), item.path not in slow))


@pytest.fixture
def recorder(tmp_path: Path):
    with Recorder(tmp_path / "inbox") as made:
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return a function of a name and of what fills a folder: it is filled once, by the first process that asks."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        with (place / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (place / f"{name}.made").exists():
                shutil.rmtree(place / name, ignore_errors=True)  # where filling it failed
                (place / name).mkdir()
                fill(place / name)
                (place / f"{name}.made").touch()
        return place / name

    return made


@pytest.fixture(scope="session")
def two_versions(once: Once) -> Path:
    """A folder with `repo` and `remote`, see `history`; copy it before you change anything."""
    return once("history", history.build)


@pytest.fixture(scope="session")
def built(once: Once) -> "Clone":
    """A clone whose sample is built and committed; `copy` it before you change anything."""
    from clone import Clone, build  # needs ROOT

    return Clone.at(once("built", build) / "clone")


@pytest.fixture(scope="session")
def voices_made(once: Once) -> Path:
    """A folder with `repo` and `remote`, see `voices`; copy it before you change anything."""
    import voices  # it imports this module

    return once("voices", voices.build)


def case_row(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a valid row of cases.parquet, measured; `changes` set columns, and what follows from them follows."""
    row: dict[str, Any] = dict.fromkeys(CASES.arrow.names)
    row |= {
        "case_id": f"case-{number:05d}",
        "event_id": f"event-{number:05d}",
        "batch": "20260101T000000Z-000000000000",
        "recorded_at": pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=number),
        "audio_sha256": f"{number:064x}",
        "audio_bytes": 64044,
        "audio_ext": ".wav",
        "sample_rate": 16000,
        "frames": 32000,
        "channels": 1,
        "pcm_sha256": f"{number + 10**9:064x}",
        "duration": 2.0,
        "original_transcript": f"kiss this guy {number}",
        "corrected_transcript": f"kiss the sky {number}",
        "correction_method": "manual",
        "correction_author": "ann",
        "corrected_at": pd.Timestamp("2026-01-02", tz="UTC"),
        "correction_count": 1,
        "conflicting_corrections": 0,
        "error_types": [],
        "error_score": 0.5,
        "model_version": "asr-1",
        "language": "en",
        "speaker_id": f"speaker-{number % 10}",
        "recording_id": f"recording-{number}",
        "is_speech": None,
        "withdrawn": False,
    } | changes
    if row["corrected_transcript"] is not None:
        texts = ([row["original_transcript"]], [row["corrected_transcript"]])
        figures = measure(*texts, [row["language"]], [row["is_speech"]], "basic-1")
        row |= {name: values[0] for name, values in figures.items() if name not in changes}
    row["detected_error_types"] = row["detected_error_types"] or []
    return row


def case_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as the stages see them."""
    kinds = {"is_speech": "boolean", "sample_rate": "Int32", "frames": "Int64", "channels": "Int16"}
    frame = pd.DataFrame(rows, columns=CASES.arrow.names).astype(kinds)
    floats = ["start", "end", "wer", "cer", "duration", "error_score"]
    return frame.astype(dict.fromkeys(floats, "float64"))


@pytest.fixture
def make_cases() -> Callable[..., pd.DataFrame]:
    """Return a function of how many rows, and of changes to all of them, that makes a table of cases."""
    return lambda count=10, **changes: case_table([case_row(number, **changes) for number in range(count)])
