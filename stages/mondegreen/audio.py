"""Audio: what a clip holds, and a name for its sound that does not depend on how it was packed."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from mondegreen.errors import DataError

Samples = npt.NDArray[np.int16]

_BLOCK_SAMPLES = 1 << 20
_FITS_16_BIT = ("PCM_16", "PCM_S8", "PCM_U8")  # libsndfile gives these as 16 bit exactly, four times as fast
MAX_SECONDS, MAX_SAMPLES = 4 * 3600, 400_000_000
"""A clip that decodes to more than either is no clip: a header may claim, or a codec unpack to, any length.

So many samples, of all channels, are 800 MB: more than an hour of stereo at 48 kHz. Silence takes a four thousandth.
"""

PEAK = 32_124
"""The loudest sample of a copy: what G.711 can express at most. Nothing reaches full scale, so nothing is clipped."""


@dataclass(frozen=True)
class Decoded:
    """Decoded sound: `samples` of shape (frames, channels), 16 bit; `sample_rate` in Hz."""

    samples: Samples
    sample_rate: int


@dataclass(frozen=True)
class Probe:
    """What a clip holds; on `error` the other figures are None. `peak` is the loudest sample, at most 32768."""

    sample_rate: int | None = None
    frames: int | None = None
    channels: int | None = None
    pcm_sha256: str | None = None
    error: str | None = None
    peak: int | None = None


class _Bytes(io.BytesIO):
    """Bytes in which libsndfile may seek to where a broken header sends it: before the beginning is the beginning."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return super().seek(0)


def decode(data: bytes) -> Decoded:
    """Decode the bytes of an audio file (wav, flac, ogg, opus, mp3, aiff); raises `DataError` when that fails.

    Samples are scaled to 16 bit by rounding, so that one sound in wav and in flac decodes to the same numbers.
    """
    try:
        with soundfile.SoundFile(_Bytes(data)) as sound:
            limit = min(MAX_SECONDS * sound.samplerate, MAX_SAMPLES // sound.channels)
            exact = sound.subtype in _FITS_16_BIT
            blocks = []
            frames = 0
            most, kind = _BLOCK_SAMPLES // sound.channels, "int16" if exact else "float32"
            while len(block := sound.read(most, dtype=kind, always_2d=True)):
                blocks.append(block if exact else np.clip(np.rint(block * 32768.0), -32768, 32767).astype("<i2"))
                frames += len(block)
                if frames > limit:
                    raise DataError(f"decodes to more than {limit / sound.samplerate:g} s")
            rate, channels = sound.samplerate, sound.channels
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise DataError(_reason(error)) from error
    if len(blocks) == 1:
        return Decoded(blocks[0], rate)
    return Decoded(np.concatenate(blocks) if blocks else np.zeros((0, channels), dtype="<i2"), rate)


def pcm_sha256(sound: Decoded) -> str:
    """Return the SHA-256 over `<rate>/<channels>/` and the interleaved 16-bit little-endian samples."""
    digest = hashlib.sha256(f"{sound.sample_rate}/{sound.samples.shape[1]}/".encode())
    digest.update(np.ascontiguousarray(sound.samples).data)
    return digest.hexdigest()


def peak(samples: npt.NDArray[np.integer]) -> int:
    """Return the loudest of `samples`, whatever its sign."""
    return max(int(samples.max(initial=0)), -int(samples.min(initial=0)))


def probe(data: bytes) -> Probe:
    """Decode `data` once and return what it holds; never raises for bad audio, but names what is wrong with it."""
    try:
        sound = decode(data)
    except DataError as error:
        return Probe(error=str(error))
    frames, channels = sound.samples.shape
    if frames == 0:
        return Probe(error="holds no samples")
    return Probe(sound.sample_rate, frames, channels, pcm_sha256(sound), peak=peak(sound.samples))


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", str(error)).strip().rstrip(".")
    return f"cannot be decoded: {text or type(error).__name__}"
