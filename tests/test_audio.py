"""Decoding: one sound has one name however it is packed, and bad audio is named."""

import io

import numpy as np
import pytest
import soundfile

from conftest import sound
from mondegreen import audio
from mondegreen.errors import DataError


def packed(samples: np.ndarray, fmt: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format=fmt, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("fmt", "subtype"), [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16")]
)
def test_sixteen_bit_sound_is_the_same_in_every_lossless_packing(fmt: str, subtype: str):
    samples = np.random.default_rng(1).integers(-32768, 32768, (1000, 2), dtype=np.int16)
    written = samples if subtype == "PCM_16" else (samples / 32768.0)
    decoded = audio.decode(packed(written, fmt, subtype))
    assert decoded.sample_rate == 16000
    assert np.array_equal(decoded.samples, samples)


@pytest.mark.parametrize("subtype", ["PCM_U8", "ULAW", "ALAW", "DOUBLE"])
def test_coarser_and_finer_packings_come_near(subtype: str):
    samples = (np.sin(np.arange(8000) / 20) * 0.5)[:, None]
    decoded = audio.decode(packed(samples, "WAV", subtype)).samples / 32768
    assert np.abs(decoded - samples).max() < 0.02


def test_loud_float_sound_is_clipped_not_wrapped():
    decoded = audio.decode(packed(np.array([2.0, -2.0, 0.5]), "WAV", "FLOAT"))
    assert decoded.samples[:, 0].tolist() == [32767, -32768, 16384]


def test_eight_bit_sound_decodes_as_float_would():
    data = packed(np.linspace(-1, 0.99, 256), "WAV", "PCM_U8")
    as_float, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert np.array_equal(audio.decode(data).samples, np.rint(as_float * 32768).astype(np.int16))


@pytest.mark.parametrize("data", [b"", b"RIFF", b"\0" * 1000, b"<html>", sound()[:20]])
def test_what_is_no_audio_is_an_error(data: bytes):
    with pytest.raises(DataError, match="cannot be decoded"):
        audio.decode(data)
    assert audio.probe(data).error


def test_a_header_without_samples_is_named():
    assert audio.probe(sound()[:44]).error == "holds no samples"


def test_a_clip_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(audio, "MAX_SECONDS", 10)
    with pytest.raises(DataError, match="more than 10 s"):
        audio.decode(packed(np.zeros((16000 * 60, 1), dtype=np.int16), "FLAC", "PCM_16"))
