"""Sound made faster, noisier, louder or narrower, in whole numbers: the same bytes on any x86-64 machine.

Filters run in scipy.signal on samples and coefficients that are whole numbers: every product and sum stays below 2**53
and is exact, in whatever order a processor adds. Ratios of loudness come from `decimal`, which rounds the same
everywhere, draws from PCG64's integers. Not used, since their last bits were seen to change with the processor's
features, and 16-bit sound with them: soxr (its SIMD switch; it dithers, too), NumPy's FFT, sine and exponential (AVX,
FMA), BLAS products (OPENBLAS_CORETYPE); audiomentations and pedalboard stand on these or on other floating-point code.
FLAC's encoder also chooses its arithmetic by processor: copies are WAV.

Samples are 16 bit, of shape (frames, channels); what is returned never exceeds `PEAK`.
"""

import io
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import soundfile
from scipy import signal

from mondegreen.audio import PEAK, Decoded, Samples, peak

_BITS = 24  # of filter coefficients and loudness ratios: times a 16-bit sample, summed, far below 2**53
_ZERO_CROSSINGS = 10  # of the resampling filter on each side, at the lower rate; as in scipy.signal.resample_poly
_QUIET = 100**2  # mean square: noise over a silent clip is as over one of -50 dBFS, else it would be silent, too
_OCTAVES = 10

Whole = npt.NDArray[np.int64]


def speed(samples: Samples, factor: float) -> Samples:
    """Return the sound played `factor` times as fast, pitch and all: 1/factor of its length."""
    return fit(_resampled(samples, 1 / Fraction(str(factor))))


def noise(samples: Samples, sound: npt.NDArray[np.integer], decibels: float) -> Samples:
    """Return the samples with `sound`, of the same shape, under them: `decibels` is the signal-to-noise ratio."""
    added = sound.astype(np.int64)
    wanted = Decimal(max(_energy(samples), _QUIET * samples.size)) / max(1, _energy(added))
    ratio = _whole(wanted.sqrt() / _amplitude(decibels))
    return fit(samples + _shifted(added * ratio))


def pink(random: np.random.Generator, frames: int, channels: int) -> Whole:
    """Return noise as loud in each octave: the sum of random numbers that change every, every second, fourth … frame.

    The method is Voss's (Gardner, Scientific American 238/4, 1978).
    """
    sound = np.zeros((frames, channels), np.int64)
    for octave in range(_OCTAVES):
        drawn = random.integers(-4096, 4096, (-(-frames >> octave), channels), np.int16)
        sound += np.repeat(drawn, 1 << octave, axis=0)[:frames]
    return sound


def excerpt(sound: Decoded, random: np.random.Generator, frames: int, channels: int, sample_rate: int) -> Whole:
    """Return a drawn stretch of `sound`, its first channel in all `channels`, from its start again where it ends."""
    ratio = Fraction(sample_rate, sound.sample_rate)
    source = sound.samples[:, :1]
    start = int(random.integers(len(source)))
    places = np.arange(start, start + 1 + -(-frames // ratio)) % len(source)
    stretch = source[places].astype(np.int64) if ratio == 1 else _resampled(source[places], ratio)
    return np.repeat(stretch[:frames], channels, axis=1)


def gain(samples: Samples, decibels: float) -> Samples:
    """Return the samples louder (or quieter, below 0) by `decibels`, as far as `PEAK` lets them."""
    return fit(_shifted(samples.astype(np.int64) * _whole(_amplitude(decibels))))


def telephone(samples: Samples, sample_rate: int, low: int, high: int) -> Samples:
    """Return the sound as a telephone passes it on: `low` to `high` Hz, eight bits of G.711 µ-law; the rate stays."""
    taps = _band(sample_rate, low, min(high, sample_rate * 9 // 20))
    passed = signal.upfirdn(taps, samples.astype(np.float64), axis=0)[len(taps) // 2 :][: len(samples)]
    coded = io.BytesIO()
    soundfile.write(coded, fit(_shifted(passed.astype(np.int64))), sample_rate, format="WAV", subtype="ULAW")
    coded.seek(0)
    heard: Samples = soundfile.read(coded, dtype="int16", always_2d=True)[0]
    return heard


def fit(samples: npt.NDArray[np.integer]) -> Samples:
    """Return the samples as 16 bit, all of them made quieter by one ratio where the loudest exceeds `PEAK`."""
    if (loudest := peak(samples)) > PEAK:
        samples = samples.astype(np.int64) * PEAK // loudest
    return samples.astype("<i2")


def _resampled(samples: Samples, ratio: Fraction) -> Whole:
    """Return the samples at `ratio` times their rate."""
    up, down = ratio.numerator, ratio.denominator
    return _shifted(
        signal.resample_poly(samples.astype(np.float64), up, down, 0, _resampler(up, down)).astype(np.int64)
    )


def _energy(samples: npt.NDArray[np.integer]) -> int:
    wide = samples.astype(np.int64)
    return int((wide * wide).sum())


def _amplitude(decibels: float) -> Decimal:
    return Decimal(10) ** (Decimal(str(decibels)) / 20)


def _whole(ratio: Decimal) -> int:
    return int((ratio * (1 << _BITS)).to_integral_value())


def _shifted(samples: Whole) -> Whole:
    """Return the samples without the scale of coefficients and ratios, rounded."""
    return (samples + (1 << _BITS - 1)) >> _BITS


@lru_cache(64)
def _resampler(up: int, down: int) -> npt.NDArray[np.float64]:
    """Return whole coefficients of the low-pass filter for `resample_poly`, which multiplies them by `up`."""
    return np.rint(_low_pass(max(up, down)))


@lru_cache(64)
def _band(sample_rate: int, low: int, high: int) -> npt.NDArray[np.float64]:
    """Return whole coefficients of a filter that passes `low` to `high` Hz."""
    return np.rint(_band_pass(sample_rate, low, high))


def _low_pass(widest: int) -> npt.NDArray[np.float64]:
    taps = signal.firwin(2 * _ZERO_CROSSINGS * widest + 1, 1 / widest, window=("kaiser", 5.0))
    return np.asarray(taps, np.float64) * (1 << _BITS)


def _band_pass(sample_rate: int, low: int, high: int) -> npt.NDArray[np.float64]:
    taps = signal.firwin(sample_rate // 100 | 1, [low, high], pass_zero=False, fs=sample_rate)
    return np.asarray(taps, np.float64) * (1 << _BITS)
