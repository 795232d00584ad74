"""Make the sample batch: `python tests/sample/make.py [FOLDER]`; FOLDER is data/raw/sample and must not exist yet.

espeak-ng speaks every utterance of utterances.csv in its speaker's voice (speakers.csv), noise is mixed in,
PocketSphinx transcribes the clip, and what happened is recorded and sealed as any agent's events are. Needs the
program espeak-ng (made with 1.51) and the extra `[dev]`. Sound and transcripts come out the same on every run of one
machine; ids, times and the measured inference times do not.

Columns of utterances.csv: `text` is the right transcript, `spoken` what espeak-ng reads where that differs. `noise`
(see there) lies `snr` dB below the speech; without it there is the room's noise alone; with `fade` the second half
fades away; without a speaker nobody speaks. `handling` says how the case is treated should the recogniser fail (see
`corrections` and `record`), `earlier` what a first annotator wrote who does not agree with the second.
"""

import contextlib
import csv
import io
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pocketsphinx
import soundfile
from scipy.signal import resample_poly

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "stages"))

from mondegreen import Recorder, alignment, ingest  # noqa: E402
from mondegreen.text import normalise  # noqa: E402

Samples = npt.NDArray[np.float64]

MODEL = "pocketsphinx-5.1.1-en-us"
RATE = 16_000  # Hz
LEVEL = 0.007  # root mean square of the speech; quiet, so that FLAC stays small
ROOM_SNR = "27"  # dB; PocketSphinx hears synthetic speech better above a noise floor
FADE = 0.003  # what is left of the speech's level at the end of a fading clip
PAD = RATE // 10  # samples of room before and after the speech
SILENT_SECONDS = 2.0  # length of a clip in which nobody speaks
PAUSE = 0.5  # s between the clips of a recording
CLIPS_PER_RECORDING = 5
LOW_CONFIDENCE = 0.15

TENS = {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}
UNITS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}


@dataclass(frozen=True)
class Utterance:
    """A row of utterances.csv, with its number and its speaker's voice."""

    number: int
    speaker: str
    voice: dict[str, str]
    text: str
    spoken: str
    noise: str
    snr: str
    handling: str
    earlier: str


@dataclass(frozen=True)
class Heard:
    """What the recogniser made of a clip: confidence in 0..1 or None without a word, time in seconds."""

    transcript: str
    confidence: float | None
    inference_time: float


def utterances() -> list[Utterance]:
    """Return the rows of utterances.csv, numbered from 1."""
    with (HERE / "speakers.csv").open(encoding="utf-8", newline="") as file:
        voices = {row.pop("speaker"): row for row in csv.DictReader(file)}
    with (HERE / "utterances.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [Utterance(number=number, voice=voices.get(row["speaker"], {}), **row) for number, row in enumerate(rows, 1)]


def noise(kind: str, n: int, seed: int) -> Samples:
    """Return `n` samples of noise of root mean square 1: white, pink, gusts, hum, tone, clicks, knocks or silence."""
    rng = np.random.default_rng(seed)
    t = np.arange(n) / RATE
    white = rng.normal(size=n)
    if kind == "silence":
        return np.zeros(n)
    if kind in ("pink", "gusts"):
        shape = np.sqrt(np.maximum(np.fft.rfftfreq(n, 1 / RATE), 50))
        sound = np.fft.irfft(np.fft.rfft(white) / shape, n) * (1 + np.sin(3 * np.pi * t) * (kind == "gusts"))
    elif kind == "hum":
        sound = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 4, 6)) + 0.1 * white
    elif kind == "tone":
        sound = np.sin(2 * np.pi * 440 * t) * (np.sin(4 * np.pi * t) > 0) + 0.02 * white
    elif kind == "clicks":
        hits = np.bincount(rng.integers(0, n, n // 1600), minlength=n)
        sound = np.convolve(hits, np.exp(-np.arange(80) / 12), "same") + 0.004 * white
    else:
        sound = white * (np.exp(-((2.5 * t) % 1) * 12) + 0.02 if kind == "knocks" else 1)
    normalised: Samples = sound / np.sqrt(np.mean(sound**2))
    return normalised


def synthesise(utterance: Utterance) -> npt.NDArray[np.int16]:
    """Return the utterance as 16-bit samples at `RATE`, mono."""
    if not utterance.speaker:
        sound = LEVEL * noise(utterance.noise, int(SILENT_SECONDS * RATE), utterance.number)
        return np.rint(sound * 32767).astype(np.int16)
    voice = utterance.voice
    options = ["-v", voice["voice"], "-p", voice["pitch"], "-s", voice["speed"], "-g", "1", "-z", "--stdout"]
    words = utterance.spoken or utterance.text
    wav = subprocess.run(["espeak-ng", *options, words], capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav))
    speech = resample_poly(samples, RATE, rate)
    sound = np.pad(speech * LEVEL / np.sqrt(np.mean(speech**2)), PAD)
    if utterance.noise == "fade":  # from the middle on, the speaker walks away
        sound = sound * np.geomspace(1 / FADE, FADE, len(sound)).clip(max=1)
    for kind, snr in [("pink", ROOM_SNR), (utterance.noise, utterance.snr)]:
        if snr:
            sound = sound + LEVEL * 10 ** (-float(snr) / 20) * noise(kind, len(sound), utterance.number)
    return np.rint(sound * 32767).clip(-32768, 32767).astype(np.int16)


def transcribe(decoder: pocketsphinx.Decoder, pcm: npt.NDArray[np.int16]) -> Heard:
    """Return what PocketSphinx hears; its confidence is the geometric mean of the words' posterior probabilities."""
    begin = time.perf_counter()
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    seconds = round(time.perf_counter() - begin, 4)
    if hypothesis is None or not hypothesis.hypstr:
        return Heard("", None, seconds)
    posteriors = [word.prob for word in decoder.seg() if word.word[0] not in "<["]
    confidence = math.exp(sum(math.log(max(p, 1e-12)) for p in posteriors) / len(posteriors))
    return Heard(hypothesis.hypstr, round(min(confidence, 1.0), 4), seconds)


def own_findings(heard: Heard) -> tuple[list[str], float | None]:
    """Return the error types and the score that an agent can give without knowing what was said."""
    words = heard.transcript.split()
    if not words:
        return ["empty"], 1.0
    types = ["repeated_words"] if any(a == b for a, b in pairwise(words)) else []
    if heard.confidence is not None and heard.confidence < LOW_CONFIDENCE:
        return ["low_confidence", *types], round(1 - heard.confidence, 4)
    return types, None


def with_digits(transcript: str) -> str:
    """Return `transcript` with its numbers from 20 to 99 in digits: the rule `number-words`."""
    pattern = rf"\b({'|'.join(TENS)})(?: ({'|'.join(UNITS)}))?\b"
    return re.sub(pattern, lambda found: str(TENS[found[1]] + UNITS.get(found[2], 0)), transcript)


def corrections(
    utterance: Utterance, transcript: str, second_pass: pocketsphinx.Decoder, pcm: npt.NDArray[np.int16]
) -> Iterator[tuple[str, str, str | None]]:
    """Yield the corrections of a case as (text, method, author), in the order in which they were made."""
    annotator, other = (f"annotator-{1 + (utterance.number + shift) % 3}" for shift in (0, 1))
    match utterance.handling:
        case "uncorrected":
            return
        case "markup":
            yield "[inaudible]", "manual", annotator
            return
        case "user":
            yield utterance.text, "user_feedback", None
            return
        case "twice":
            yield utterance.earlier or utterance.text, "manual", other
        case "rule":
            yield with_digits(transcript), "rule:number-words", None
        case "model":
            yield transcribe(second_pass, pcm).transcript, "model:pocketsphinx-second-pass", None
    yield utterance.text, "manual", annotator


def record(
    recorder: Recorder, utterance: Utterance, heard: Heard, recording: str, start: float, seconds: float
) -> list[str]:
    """Record a failure, whose clip lies in the current folder, and return the ids of its cases: two for a duplicate."""
    clip = Path(f"{recording}-{utterance.number:03d}.flac")
    if utterance.handling == "missing":
        clip.unlink()
    if utterance.handling == "undecodable":
        clip.write_bytes(clip.read_bytes()[:60])  # as if the agent had died while it wrote the file
    error_types, error_score = own_findings(heard)
    made_of = {"voice": utterance.voice.get("voice"), "noise": utterance.noise, "snr_db": utterance.snr}
    return [
        recorder.failure(
            clip,
            original_transcript=heard.transcript,
            error_types=error_types,
            error_score=error_score,
            inference_time=heard.inference_time,
            model_confidence=heard.confidence,
            model_version=MODEL,
            language="en",
            speaker_id=utterance.speaker or None,
            recording_id=recording,
            start=round(start, 4),
            end=round(start + seconds + (4 if utterance.handling == "wrong_length" else 0), 4),
            metadata={name: value for name, value in made_of.items() if value},
        )
        for _ in range(2 if utterance.handling == "duplicate" else 1)
    ]


def run(recorder: Recorder) -> None:
    """Speak, transcribe and record every utterance; clips are written to the current folder."""
    decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")
    second_pass = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", lw=9.5, beam=1e-80, wbeam=1e-60)
    spoken: Counter[str] = Counter()
    ends: dict[str, float] = defaultdict(float)
    scores: dict[str, list[alignment.Alignment]] = defaultdict(list)
    counts: Counter[str] = Counter()
    recorder.model_version(MODEL, model_name="PocketSphinx")
    for utterance in utterances():
        pcm = synthesise(utterance)
        heard = transcribe(decoder, pcm)
        source, seconds = utterance.speaker or "room", len(pcm) / RATE
        recording = f"{source}-r{1 + spoken[source] // (CLIPS_PER_RECORDING if utterance.speaker else 1)}"
        spoken[source] += 1
        failed = normalise(heard.transcript) != normalise(utterance.text)
        recorder.inference(
            inference_time=heard.inference_time,
            failed=failed,
            model_version=MODEL,
            model_confidence=heard.confidence,
            audio_seconds=round(seconds, 4),
        )
        words = normalise(utterance.spoken or utterance.text)
        scores["noisy" if utterance.noise else "quiet"].append(alignment.align(words, normalise(heard.transcript)))
        counts["failures" if failed else "right"] += 1
        print(f"{source:<5}{heard.confidence or 0:.2f} {'FAIL' if failed else 'ok  '} {utterance.handling:<13}", end="")
        print(f"{utterance.text or utterance.noise!r} => {heard.transcript}")
        if failed:
            soundfile.write(f"{recording}-{utterance.number:03d}.flac", pcm, RATE, compression_level=1.0)
            for case_id in record(recorder, utterance, heard, recording, ends[recording], seconds):
                for text, method, author in corrections(utterance, heard.transcript, second_pass, pcm):
                    silent = None if utterance.speaker else False
                    recorder.correction(case_id, text, method=method, author=author, is_speech=silent)
                if utterance.handling == "withdrawn":
                    recorder.withdrawal(case_id=case_id, reason="the speaker withdrew consent")
        ends[recording] += seconds + PAUSE
    for condition, aligned in scores.items():
        total = alignment.corpus(aligned)
        rates: dict[str, Any] = {"wer": round(total.wer or 0, 6), "cer": round(total.cer or 0, 6)}
        measured = {"test_set": f"sample, {condition}", "normaliser": "basic-1"}
        recorder.performance(**rates, model_version=MODEL, metadata=measured, utterances=len(aligned))
        print(condition, rates)
    recorder.learning_progress("collection", dict(counts))
    print(dict(counts))


def main() -> None:
    """Make the batch in a temporary folder, then move it to where it belongs."""
    target = (Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "data/raw/sample").absolute()
    if target.exists():
        sys.exit(f"{target} exists: events are recorded once. Remove it if it is to be made anew.")
    with tempfile.TemporaryDirectory() as folder:
        spool, raw, clips = (Path(folder, name) for name in ("spool", "raw", "clips"))
        clips.mkdir()
        with contextlib.chdir(clips), Recorder(spool, durability="os") as recorder:
            run(recorder)
        sealed = ingest.ingest(spool, raw, track=lambda _: None)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(raw / str(sealed.batch), target)
    print(sealed, f"{sum(path.stat().st_size for path in target.iterdir()):,} bytes", sep=os.linesep)


if __name__ == "__main__":
    main()
