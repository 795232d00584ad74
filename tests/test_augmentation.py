"""Copies with other sound: they depend on their parent alone, stay within bounds, and are the same on any processor."""

import io
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy._core import _multiarray_umath

from conftest import ROOT, sound
from mondegreen import audio, augmentation, augmenting, batches, params, perturbation, tables
from mondegreen.audio import Decoded
from mondegreen.errors import DataError, ParamsError
from mondegreen.schemas import SPLITS
from test_dataset import CLIPS, SPLIT_OF, case, digests, splits_table, write_packs

EVERYTHING = params.Methods(
    speed=params.Speed(share=1), noise=params.Noise(share=1), gain=params.Gain(share=1), telephone=params.Telephone()
)
SETTINGS = params.Augment(seed=1, factor=2, strengthen={}, methods=EVERYTHING)
LIMITS = params.load(params.Validate, ROOT / "params.yaml")


def tone(hertz: float, *, rate: int = 16000, level: float = 0.25, seconds: float = 1.0, channels: int = 1) -> Decoded:
    wave = np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate) * level * 32767
    return Decoded(np.repeat(wave.astype("<i2")[:, None], channels, axis=1), rate)


def rms(samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def decibels(samples, reference) -> float:
    return 20 * np.log10(rms(samples) / rms(reference))


def loudest(found: Decoded) -> float:
    """Return the frequency, in Hz, of the strongest tone."""
    spectrum = np.abs(np.fft.rfft(found.samples[:, 0].astype(np.float64)))
    return float(spectrum.argmax() * found.sample_rate / len(found.samples))


def made(case_id: str = "case", *, parent: Decoded | None = None, count: int = 2, settings=SETTINGS, noises=None):
    options = {"noises": noises or {}, "min_duration": 0.1, "max_duration": 30.0}
    return list(augmentation.copies(case_id, parent or tone(440), count, settings, **options))


def heard(copy: augmentation.Copy) -> Decoded:
    return audio.decode(copy.data)


# -- what is done to the sound


@pytest.mark.parametrize("factor", [0.9, 1.1, 0.85, 1.25, 2.0])
def test_speed_changes_length_and_pitch(factor: float):
    parent = tone(440, channels=2)
    samples = perturbation.speed(parent.samples, factor)
    assert samples.shape == (pytest.approx(16000 / factor, abs=1), 2)
    assert loudest(Decoded(samples, 16000)) == pytest.approx(440 * factor, rel=0.01)
    middle = slice(1000, -1000)
    assert decibels(samples[middle], parent.samples) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("ratio", [0.0, 10.0, 30.0])
def test_noise_lies_as_far_below_the_voice_as_asked_for(ratio: float):
    parent = tone(440, level=0.1).samples
    added = perturbation.pink(np.random.default_rng(1), *parent.shape)
    noisy = perturbation.noise(parent, added, ratio)
    assert decibels(parent, noisy.astype(int) - parent) == pytest.approx(ratio, abs=0.3)


def test_generated_noise_is_pink():
    noise = perturbation.pink(np.random.default_rng(1), 1 << 16, 1)[:, 0].astype(np.float64)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[first : 2 * first].sum() for first in (1 << 7, 1 << 9, 1 << 11, 1 << 13)]
    assert max(octaves) / min(octaves) < 2


def test_gain_is_as_asked_for_and_never_clips():
    parent = tone(440, level=0.25).samples
    assert decibels(perturbation.gain(parent, -6.0), parent) == pytest.approx(-6, abs=0.01)
    assert audio.peak(perturbation.gain(parent, 20.0)) == audio.PEAK


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_telephone_passes_its_band_alone(rate: int):
    low, voice, high = (tone(hertz, rate=rate) for hertz in (60, 1000, 3900))
    levels = [
        decibels(perturbation.telephone(each.samples, rate, 300, 3400), each.samples) for each in (low, voice, high)
    ]
    assert levels[0] < -20
    assert abs(levels[1]) < 0.5
    assert levels[2] < (-6 if rate == 8000 else -20)


def test_noise_of_a_file_is_resampled_and_begins_anew_where_it_ends():
    noise = tone(1000, rate=44100, seconds=0.3)
    copies = made(noises={"hum.wav": noise}, parent=tone(440, level=0.01), settings=only(noise=params.Noise(share=1)))
    assert [copy.plan["noise"] for copy in copies] == ["hum.wav", "hum.wav"]
    stretch = perturbation.excerpt(noise, np.random.default_rng(1), 16000, 2, 16000)
    assert stretch.shape == (16000, 2)
    assert loudest(Decoded(stretch.astype("<i2"), 16000)) == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize(
    ("container", "coding", "rate", "channels"),
    [
        ("OGG", "OPUS", 48000, 1),
        ("OGG", "VORBIS", 22050, 2),
        ("MP3", "MPEG_LAYER_III", 44100, 2),
        ("FLAC", "PCM_24", 44100, 2),
        ("WAV", "ULAW", 8000, 1),
    ],
)
def test_a_parent_may_be_packed_in_any_way(container: str, coding: str, rate: int, channels: int):
    packed = io.BytesIO()
    soundfile.write(packed, tone(440, rate=rate, channels=channels).samples, rate, format=container, subtype=coding)
    parent = audio.decode(packed.getvalue())
    copies = made(parent=parent, count=3)
    assert [copy.number for copy in copies] == [1, 2, 3]
    for copy in copies:
        found = audio.probe(copy.data)
        assert (found.sample_rate, found.channels, found.error) == (rate, channels, None)
    assert [copy.data for copy in made(parent=audio.decode(packed.getvalue()), count=3)] == [c.data for c in copies]


def only(**methods) -> params.Augment:
    return replace(SETTINGS, methods=params.Methods(**methods))


@given(
    samples=st.lists(st.sampled_from([-32768, -32767, -1, 0, 1, 20000, 32767]), min_size=1, max_size=300),
    channels=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_whatever_the_sound_no_copy_reaches_full_scale(samples, channels, seed):
    parent = Decoded(np.array([samples] * channels, "<i2").T.copy(), 8000)
    for copy in augmentation.copies(
        "case", parent, 3, replace(SETTINGS, seed=seed), noises={}, min_duration=0, max_duration=9
    ):
        found = audio.probe(copy.data)
        assert found.error is None
        assert found.peak <= audio.PEAK
        assert found.pcm_sha256 != audio.pcm_sha256(parent)
        assert (found.frames, found.channels, found.sample_rate) == (
            copy.sound.frames,
            copy.sound.channels,
            copy.sound.sample_rate,
        )


# -- what is drawn


def test_a_copy_depends_on_seed_case_and_number_alone():
    first, second = made(count=2)
    assert made(count=1) == [first]
    assert made(count=3)[:2] == [first, second]
    assert made("other case")[0].data != first.data
    assert made(settings=replace(SETTINGS, seed=2))[0].data != first.data


def test_copies_of_a_case_differ_from_it_and_from_each_other():
    silence = Decoded(np.zeros((1600, 1), "<i2"), 16000)
    assert made(parent=silence, settings=only(gain=params.Gain(share=1))) == []
    assert len(made(parent=silence, settings=only(noise=params.Noise(share=1)))) == 2
    two_speeds = only(speed=params.Speed(share=1))
    copies = made(count=5, settings=two_speeds)
    assert sorted(copy.plan["speed"] for copy in copies) == [0.9, 1.1]


def test_no_speed_makes_a_copy_longer_than_a_clip_may_be():
    speeds = {
        copy.plan["speed"]
        for number in range(20)
        for copy in augmentation.copies(
            str(number), tone(440), 1, only(speed=params.Speed(share=1)), noises={}, min_duration=0.1, max_duration=1.05
        )
    }
    assert speeds == {1.1}


def test_each_method_is_applied_to_its_share():
    methods = params.Methods(speed=params.Speed(share=0.5), noise=params.Noise(share=0.1), gain=params.Gain(share=0))
    random = np.random.default_rng(1)
    plans = [augmentation.draw(methods, random, [0.9], []) for _ in range(2000)]
    assert sum("speed" in plan for plan in plans) / 2000 == pytest.approx(0.5, abs=0.04)
    assert sum("noise" in plan for plan in plans) / 2000 == pytest.approx(0.1, abs=0.03)
    assert not any("gain" in plan or "telephone" in plan for plan in plans)
    assert all(10 <= plan["noise_snr"] <= 30 for plan in plans if "noise" in plan)


def test_rare_types_get_more_copies(make_cases):
    rows = make_cases(3)
    rows["error_types"] = [["accent"], [], ["accent", "loop"]]
    rows["detected_error_types"] = [[], ["substitution"], []]
    assert list(augmentation.wanted(rows, 1, {"accent": 2, "loop": 5, "substitution": 0})) == [2, 1, 5]


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({}, "share above 0"),
        ({"speed": params.Speed(factors=(0.9, 1.0))}, "holds 1"),
        ({"gain": params.Gain(min_db=3, max_db=-3)}, "min_db is above max_db"),
        ({"noise": params.Noise(min_snr=20, max_snr=10)}, "min_snr is above"),
    ],
)
def test_methods_that_make_no_copy_are_refused(methods, said):
    with pytest.raises(ParamsError, match=said):
        augmentation.check(params.Methods(**methods))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{speed: {factors: []}}", r"speed\.factors=\[\].*a list of numbers"),
        ("{speed: {factors: [3]}}", r"speed\.factors=3: expected a number from 0.5 to 2"),
        ("{noise: {loudness: 3}}", r"unknown parameter augment\.methods\.noise\.loudness"),
        ("{echo: {}}", r"unknown parameter augment\.methods\.echo; .* speed, noise, gain, telephone"),
        ("{noise: loud}", r"augment\.methods\.noise='loud': expected a block"),
        ("loud", r"augment\.methods='loud': expected a block"),
    ],
)
def test_params_name_what_is_wrong_with_a_method(tmp_path, text, said):
    (tmp_path / "params.yaml").write_text(f"augment: {{seed: 1, factor: 1, strengthen: {{loop: 2}}, methods: {text}}}")
    with pytest.raises(ParamsError, match=said):
        params.load(params.Augment, tmp_path / "params.yaml")


def test_a_method_has_defaults_and_may_be_left_out(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("augment: {seed: 1, factor: 1, strengthen: {loop: 2}, methods: {speed: {}, noise: null}}")
    found = params.load(params.Augment, path)
    assert found.methods == params.Methods(speed=params.Speed())
    assert found.strengthen == {"loop": 2}


# -- many


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Return a folder with the packs and the rows (`splits.parquet`) of twelve cases."""
    folder = tmp_path_factory.mktemp("sample")
    splits_table([case(n, SPLIT_OF[n], CLIPS[n]) for n in range(12)], folder)
    write_packs(folder, CLIPS)
    return folder


def augment(folder: Path, target: Path, rows: pd.DataFrame | None = None, **changes) -> pd.DataFrame:
    target.mkdir(exist_ok=True)
    rows = tables.read(folder / "splits.parquet", SPLITS) if rows is None else rows
    counts = augmentation.wanted(rows, SETTINGS.factor, SETTINGS.strengthen)
    options = {"noises": {}, "limits": LIMITS} | changes
    return augmenting.augment(rows, counts, batches.packs(folder / "raw"), target, SETTINGS, **options)


def test_a_copy_names_its_parent_and_shares_its_text_and_component(sample, tmp_path):
    rows = tables.read(sample / "splits.parquet", SPLITS)
    copies = augment(sample, tmp_path / "out")
    tables.write(copies, tmp_path / "rows.parquet", SPLITS)
    assert len(copies) == 24
    assert copies["case_id"].is_monotonic_increasing
    parents = rows.set_index("case_id").loc[copies["parent_case_id"]]
    for name in ("corrected_transcript", "component", "split", "speaker_id", "wer", "batch"):
        assert list(copies[name]) == list(parents[name])
    packed = pd.concat([pq.read_table(pack).to_pandas() for pack in sorted((tmp_path / "out").glob("audio-*"))])
    clips = packed.set_index("sha256")["bytes"]
    for copy in copies.itertuples():
        found = audio.probe(clips[copy.audio_sha256])
        assert (found.frames, found.pcm_sha256) == (copy.frames, copy.pcm_sha256)
        assert copy.duration == pytest.approx(found.frames / found.sample_rate, abs=1e-6)
        assert json.loads(copy.augmentation)
    assert set(copies["origin"]) == {"augmented"}
    figures = augmenting.metrics(rows, pd.Series([3] * 12), copies)
    assert figures["copies"] == {"wanted": 36, "made": 24, "short_of": 12}
    assert figures["methods"]["noise"] == 24


def test_audio_that_is_missing_stops_the_stage(sample, tmp_path):
    rows = tables.read(sample / "splits.parquet", SPLITS)
    rows.loc[3, "audio_sha256"] = "0" * 64
    with pytest.raises(DataError, match="case case-00003 has no audio in data/raw"):
        augment(sample, tmp_path / "out", rows)


def test_packs_end_and_memory_stays_small(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(augmenting, "GROUP_BYTES", 30_000)
    monkeypatch.setattr(augmenting, "PACK_BYTES", 60_000)
    copies = augment(sample, tmp_path / "out")
    packs = sorted((tmp_path / "out").glob("audio-*.parquet"))
    assert len(packs) > 2
    assert sum(pq.read_metadata(pack).num_rows for pack in packs) == len(copies)


def test_a_folder_of_noises(tmp_path):
    with pytest.raises(DataError, match=r"holds no \.wav or \.flac"):
        augmenting.noises(tmp_path)
    (tmp_path / "street.wav").write_bytes(sound(0.2))
    assert list(augmenting.noises(tmp_path)) == ["street.wav"]
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"broken\.wav cannot be decoded"):
        augmenting.noises(tmp_path)


# -- the same bytes

BUILD = """
import os, sys
sys.path[:0] = sys.argv[3:]
cores = int(os.environ["CORES"])
os.cpu_count = lambda: cores
from pathlib import Path
from test_augmentation import augment
augment(Path(sys.argv[1]), Path(sys.argv[2]))
"""
_FEATURES = _multiarray_umath.__cpu_features__
_SWITCHABLE = [name for name in _multiarray_umath.__cpu_dispatch__ if _FEATURES.get(name)]
PROCESSORS = {
    "as it is, one core": {"CORES": "1", "OPENBLAS_NUM_THREADS": "1"},
    "as it is, two cores": {"CORES": "2", "OPENBLAS_NUM_THREADS": "2"},
    "NumPy without SIMD": {"CORES": "2", "NPY_DISABLE_CPU_FEATURES": " ".join(_SWITCHABLE)},
    "an old core for BLAS": {"CORES": "1", "OPENBLAS_CORETYPE": "Prescott"},
    "a C library without AVX and FMA": {
        "CORES": "2",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-FMA,-FMA4,-ERMS",
        "OPENBLAS_CORETYPE": "Haswell" if _FEATURES.get("AVX2") else "Nehalem",
    },
}


def test_any_processor_makes_the_same_bytes(sample, tmp_path):
    found = {}
    for number, (name, settings) in enumerate(PROCESSORS.items()):
        target = tmp_path / str(number)
        places = [str(ROOT / "stages"), str(ROOT / "tests")]
        command = [sys.executable, "-c", BUILD, str(sample), str(target), *places]
        subprocess.run(command, env=os.environ | settings, check=True, timeout=300)
        found[name] = digests(target)
        assert found[name]
    assert len({json.dumps(each) for each in found.values()}) == 1, found


DECODE = """
import hashlib, sys
from pathlib import Path
import soundfile
for clip in sorted(Path(sys.argv[1]).iterdir()):
    print(clip.name, hashlib.sha256(soundfile.read(clip, dtype="int16")[0].tobytes()).hexdigest())
"""
ENCODINGS = [("MP3", None, 16000), ("OGG", "OPUS", 48000), ("OGG", "VORBIS", 44100), ("FLAC", None, 16000)]


@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None or platform.machine() != "x86_64",
    reason="no emulator of processors: apt-get install qemu-user",
)
def test_decoders_give_every_processor_the_same_samples(tmp_path):
    """Except stereo MP3, where Nehalem differs: see the README."""
    (tmp_path / "clips").mkdir()
    noise = np.random.default_rng(1)
    for number, (form, subtype, rate) in enumerate(ENCODINGS):
        for channels in (1, 2) if form != "MP3" else (1,):
            glide = np.sin(np.linspace(0, 900, rate)[:, None] ** 1.2 * np.arange(1, channels + 1))
            sound = 0.5 * glide + 0.1 * noise.standard_normal(glide.shape)
            soundfile.write(tmp_path / f"clips/{number}-{channels}", sound, rate, format=form, subtype=subtype)
    python = str(Path(sys.executable).resolve())
    places = os.environ | {"PYTHONPATH": str(Path(np.__file__).parents[1])}
    decode = [python, "-c", DECODE, str(tmp_path / "clips")]
    kinds = {"native": []} | {name: ["qemu-x86_64", "-cpu", name] for name in ("Nehalem", "Haswell")}
    found = {
        name: subprocess.run([*emulator, *decode], env=places, check=True, timeout=300, capture_output=True).stdout
        for name, emulator in kinds.items()
    }
    assert found["native"].count(b"\n") == 7
    assert len(set(found.values())) == 1, found


def test_no_coefficient_is_near_the_middle_between_two_whole_numbers():
    """So that the last bits of a sine or a window, which do change with the processor, change none of them."""
    filters = [perturbation._resampler(*ratio) for ratio in ((10, 9), (10, 11))]
    filters += [perturbation._band(rate, 300, 3400) for rate in (8000, 16000, 22050, 32000, 44100, 48000)]
    assert all(np.array_equal(taps, np.rint(taps)) for taps in filters)
    exact = [perturbation._low_pass(10), perturbation._low_pass(11)]
    exact += [perturbation._band_pass(rate, 300, 3400) for rate in (8000, 16000, 22050, 32000, 44100, 48000)]
    for taps in exact:
        assert (np.abs(taps - np.floor(taps) - 0.5) > 1e-6).all()


def test_the_copies_are_wav_of_16_bit(tmp_path):
    (tmp_path / "copy.wav").write_bytes(made()[0].data)
    info = soundfile.info(tmp_path / "copy.wav")
    assert (info.format, info.subtype) == ("WAV", "PCM_16")
