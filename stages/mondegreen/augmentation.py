"""Augmentation: which case gets how many copies, and how each of them is made.

What is drawn for a copy follows from the seed, its parent and its number alone: a case's copies do not depend on which
other cases there are.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from mondegreen import audio, params, perturbation
from mondegreen.audio import Decoded
from mondegreen.errors import ParamsError

_TRIES = 20
"""Draws until a copy is like neither its parent nor an earlier copy; then there is one copy less."""

Plan = dict[str, Any]
"""How a copy is made, in the order in which it is applied: `{"speed": 0.9, "noise_snr": 17.3, …}`."""


@dataclass(frozen=True)
class Copy:
    """A copy of a case: its number from 1, how it was made, and the bytes of its WAV file with what they hold."""

    number: int
    plan: Plan
    data: bytes
    sound: audio.Probe

    @property
    def seconds(self) -> float:
        """Its duration."""
        return (self.sound.frames or 0) / (self.sound.sample_rate or 1)


def check(methods: params.Methods) -> None:
    """Raise `ParamsError` where the methods, each sound by itself, can make no copy."""
    if not any(method and method.share for method in vars(methods).values()):
        raise ParamsError("augment.methods: expected one with a share above 0, or factor 0 and no strengthen")
    if methods.speed and 1 in methods.speed.factors:
        raise ParamsError("augment.methods.speed.factors holds 1: a copy as fast as its parent is no copy")
    for method, low, high in ((methods.noise, "min_snr", "max_snr"), (methods.gain, "min_db", "max_db")):
        if method and getattr(method, low) > getattr(method, high):
            name = type(method).__name__.lower()
            raise ParamsError(f"augment.methods.{name}: {low} is above {high}: change them in params.yaml")


def wanted(rows: pd.DataFrame, factor: int, strengthen: Mapping[str, int]) -> pd.Series:
    """Return how many copies each of `rows` gets: `factor`, or the most that `strengthen` gives one of its types."""
    if not strengthen:
        return pd.Series(factor, index=rows.index, dtype="int64")
    both = zip(rows["error_types"], rows["detected_error_types"], strict=True)
    copies = [max([factor, *(strengthen.get(kind, 0) for kind in {*own, *found})]) for own, found in both]
    return pd.Series(copies, index=rows.index, dtype="int64")


def error_types(rows: pd.DataFrame) -> set[str]:
    """Return all error types of `rows`, the agent's and those of the alignment."""
    return {kind for name in ("error_types", "detected_error_types") for found in rows[name] for kind in found}


def copies(
    case_id: str,
    sound: Decoded,
    count: int,
    settings: params.Augment,
    *,
    noises: Mapping[str, Decoded],
    min_duration: float,
    max_duration: float,
) -> Iterator[Copy]:
    """Yield up to `count` copies of a case, all different; no speed makes one shorter or longer than allowed (seconds).

    Fewer where no draw changes the sound, as gain does not change silence. `noises` are sounds by name, of any rate.
    """
    seen = {audio.pcm_sha256(sound)}
    seconds = len(sound.samples) / sound.sample_rate
    allowed = [
        factor
        for factor in (settings.methods.speed.factors if settings.methods.speed else ())
        if min_duration <= seconds / factor <= max_duration
    ]
    for number in range(1, count + 1):
        for attempt in range(_TRIES):
            words = json.dumps([settings.seed, case_id, number, attempt]).encode()
            random = np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(words).digest())))
            plan = draw(settings.methods, random, allowed, sorted(noises))
            made = perturbed(sound, plan, random, noises) if plan else sound
            if (sha256 := audio.pcm_sha256(made)) not in seen:
                seen.add(sha256)
                frames, channels = made.samples.shape
                yield Copy(number, plan, _wav(made), audio.Probe(made.sample_rate, frames, channels, sha256))
                break


def draw(methods: params.Methods, random: np.random.Generator, speeds: Sequence[float], noises: Sequence[str]) -> Plan:
    """Return what is done to a copy, with whole numbers of per cent, tenths of dB and Hz; nothing, at times."""
    hit = {name: method and int(random.integers(100)) < 100 * method.share for name, method in vars(methods).items()}
    plan: Plan = {}
    if methods.speed and hit["speed"] and speeds:
        plan["speed"] = speeds[int(random.integers(len(speeds)))]
    if methods.noise and hit["noise"]:
        plan["noise"] = noises[int(random.integers(len(noises)))] if noises else "pink"
        plan["noise_snr"] = _tenths(random, methods.noise.min_snr, methods.noise.max_snr)
    if methods.gain and hit["gain"]:
        plan["gain"] = _tenths(random, methods.gain.min_db, methods.gain.max_db)
    if methods.telephone and hit["telephone"]:
        plan["telephone"] = [methods.telephone.low, methods.telephone.high]
    return plan


def perturbed(sound: Decoded, plan: Plan, random: np.random.Generator, noises: Mapping[str, Decoded]) -> Decoded:
    """Return `sound` with the `plan` applied: the voice first, then its surroundings, the microphone, the line."""
    samples, rate = sound.samples, sound.sample_rate
    if "speed" in plan:
        samples = perturbation.speed(samples, plan["speed"])
    if "noise" in plan:
        frames, channels = samples.shape
        if source := noises.get(plan["noise"]):
            added = perturbation.excerpt(source, random, frames, channels, rate)
        else:
            added = perturbation.pink(random, frames, channels)
        samples = perturbation.noise(samples, added, plan["noise_snr"])
    if "gain" in plan:
        samples = perturbation.gain(samples, plan["gain"])
    if "telephone" in plan:
        samples = perturbation.telephone(samples, rate, *plan["telephone"])
    return Decoded(samples, rate)


def _tenths(random: np.random.Generator, low: float, high: float) -> float:
    first, last = round(10 * low), round(10 * high)
    return int(random.integers(first, last + 1)) / 10


def _wav(sound: Decoded) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound.samples, sound.sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
