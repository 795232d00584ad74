"""A second recogniser's opinion. The recognisers' packages and weights are needed only once they listen."""

import math
import threading
from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mondegreen import audio as sound
from mondegreen.correctors import Case, Heard, Suggestion
from mondegreen.errors import CorrectorError, DataError
from mondegreen.text import normalise

RATE = 16_000
"""Hz; what every recogniser here was trained on."""

UNSURE = 0.5
"""The confidence of a recogniser that does not say how sure it is."""

SHORTEST = 1600
"""Samples, 0.1 s; what is shorter gets silence behind it: a model's convolutions need something to work on."""

WINDOW = 30
"""Seconds that a model takes at once."""

SILENCE = 1e-4
"""Root mean square (full scale is 1, this is -80 dB) below which there is nothing to hear: recognisers invent words."""

Waveform = npt.NDArray[np.float32]
"""Mono, `RATE`, -1..1."""


class Recogniser(Protocol):
    """Whatever transcribes; `name` is recorded with what it corrects: letters, digits and `_.-/`."""

    name: str

    def transcribe(self, waveform: Waveform, language: str | None) -> Heard:
        """Return what is said in `waveform`; an empty text where it hears nothing, or not this language."""
        ...


class SecondRecogniser:
    """What another recogniser hears: `model:NAME`; `second-recogniser:faster-whisper/small` names it.

    The recogniser that misheard the case is no second one: of its own cases it says nothing.
    """

    name = "second-recogniser"

    def __init__(self, option: str | Recogniser = "pocketsphinx") -> None:
        """Listen with `option`: an object, or a name for `recogniser`."""
        self.recogniser = recogniser(option) if isinstance(option, str) else option
        self.model_version = self.recogniser.name
        self.method = f"model:{self.model_version}"

    def suggest(self, case: Case, audio: bytes | None) -> Suggestion | None:
        """Return what the recogniser hears; None without audio or words, and where it hears the same words."""
        if case.get("model_version") == self.recogniser.name:
            return None
        language = case.get("language")
        heard = listen(self.recogniser, audio, language)
        if heard is None or normalise(heard.text, language) == normalise(case["original_transcript"], language):
            return None
        return Suggestion(heard.text, UNSURE if heard.confidence is None else heard.confidence, self.method)

    def hear(self, case: Case, audio: bytes) -> Heard | None:
        """Return what the recogniser hears, also where it is what the first one heard; None without words."""
        return listen(self.recogniser, audio, case.get("language"))


def listen(by: Recogniser, audio: bytes | None, language: str | None) -> Heard | None:
    """Return what a recogniser makes of an audio file; None without sound, and without words."""
    if audio is None:
        return None
    try:
        decoded = sound.decode(audio)
    except DataError:  # said where the batch was sealed: the case's audio_error
        return None
    waveform = _waveform(decoded)
    if not len(waveform) or float(np.sqrt(np.mean(waveform**2))) < SILENCE:
        return None
    heard = by.transcribe(waveform, language)
    return heard if normalise(heard.text) else None


def _waveform(decoded: sound.Decoded) -> Waveform:
    from scipy.signal import resample_poly

    mono = decoded.samples.mean(axis=1) / 32768
    divisor = gcd(RATE, decoded.sample_rate)
    if decoded.sample_rate != RATE and len(mono):
        mono = resample_poly(mono, RATE // divisor, decoded.sample_rate // divisor)
    return np.pad(np.asarray(mono, np.float32), (0, max(0, SHORTEST - len(mono)) if len(mono) else 0))


class PocketSphinx:
    """CMU PocketSphinx with its own English model: small, quick, and easily mistaken. Its search is wider than usual.

    So it also differs from a PocketSphinx that misheard a case. Its confidence is the geometric mean of the words'
    posterior probabilities.
    """

    def __init__(self, option: str = "") -> None:
        """Take no option."""
        if option:
            raise CorrectorError(f"pocketsphinx has no model {option!r}: it knows its own English one")
        self.name = "pocketsphinx-wide"
        self._lock = threading.Lock()
        self._decoder: Any = None

    def transcribe(self, waveform: Waveform, language: str | None) -> Heard:
        """Return what it hears; nothing in another language than English."""
        if not (language or "en").lower().startswith("en"):
            return Heard("")
        with self._lock:
            if self._decoder is None:
                Decoder = _import("pocketsphinx", "pocketsphinx").Decoder  # noqa: N806
                self._decoder = Decoder(samprate=RATE, loglevel="FATAL", lw=9.5, beam=1e-80, wbeam=1e-60)
            decoder = self._decoder
            decoder.start_utt()
            decoder.process_raw(np.rint(waveform * 32767).clip(-32768, 32767).astype("<i2").tobytes(), full_utt=True)
            decoder.end_utt()
            hypothesis = decoder.hyp()
            if hypothesis is None or not hypothesis.hypstr:
                return Heard("")
            logs = [math.log(max(word.prob, 1e-12)) for word in decoder.seg() if word.word[0] not in "<["]
            return Heard(hypothesis.hypstr, min(math.exp(sum(logs) / max(1, len(logs))), 1.0))


class Transformers:
    """Any speech recogniser of a Hugging Face `transformers` pipeline, such as `transformers/openai/whisper-small`.

    The pipeline does not say how sure it is.
    """

    def __init__(self, option: str) -> None:
        """Use the model `option`: a name on the Hub, or a folder."""
        self.name = _named("transformers", option)
        self._model = option
        self._pipeline: Any = None
        self._lock = threading.Lock()

    def transcribe(self, waveform: Waveform, language: str | None) -> Heard:
        """Return what it hears; the model is loaded the first time, and finds out the language by itself."""
        with self._lock:
            if self._pipeline is None:
                make = _import("transformers", "transformers torch").pipeline
                self._pipeline = _done(
                    _unloaded(self.name), lambda: make("automatic-speech-recognition", model=self._model)
                )
            run, sound = self._pipeline, {"raw": waveform, "sampling_rate": RATE}
            long: dict[str, Any] = {}
            if len(waveform) > WINDOW * RATE:  # Whisper goes from window to window by its timestamps
                long = {"return_timestamps": True} if run.type == "seq2seq_whisper" else {"chunk_length_s": WINDOW}
            found = _done(f"{self.name} cannot transcribe a clip", lambda: run(sound, **long))
        return Heard(str(found["text"]).strip())


class FasterWhisper:
    """Whisper by `faster-whisper`, such as `faster-whisper/small`; surest where the decoder's tokens are likeliest.

    Its confidence is the mean probability of a token: e to the segments' mean log probability.
    """

    def __init__(self, option: str) -> None:
        """Use the model `option`: a size, a name on the Hub, or a folder."""
        self.name = _named("faster-whisper", option)
        self._model = option
        self._loaded: Any = None
        self._lock = threading.Lock()

    def transcribe(self, waveform: Waveform, language: str | None) -> Heard:
        """Return what it hears; the model is loaded the first time."""
        with self._lock:
            if self._loaded is None:
                make = _import("faster_whisper", "faster-whisper").WhisperModel
                self._loaded = _done(_unloaded(self.name), lambda: make(self._model))
            tongue = (language or "").split("-")[0].split("_")[0].lower()
            known = tongue if tongue in self._loaded.supported_languages else None  # None: it finds out by itself
            hear = self._loaded.transcribe
            found = _done(f"{self.name} cannot transcribe a clip", lambda: list(hear(waveform, language=known)[0]))
        seconds = sum(segment.end - segment.start for segment in found)
        logs = sum(segment.avg_logprob * (segment.end - segment.start) for segment in found)
        confidence = min(1.0, math.exp(logs / seconds)) if seconds > 0 else None
        return Heard("".join(segment.text for segment in found).strip(), confidence)


RECOGNISERS: dict[str, Callable[[str], Recogniser]] = {
    "faster-whisper": FasterWhisper,
    "pocketsphinx": PocketSphinx,
    "transformers": Transformers,
}
"""The recognisers that have an adapter here; another one is given to `SecondRecogniser` as an object."""


def recogniser(name: str) -> Recogniser:
    """Return a recogniser by its name and, behind a slash, its model; raises `CorrectorError`."""
    kind, _, model = name.partition("/")
    if kind not in RECOGNISERS:
        raise CorrectorError(f"there is no recogniser {kind!r}: choose one of {', '.join(RECOGNISERS)}")
    return RECOGNISERS[kind](model)


def _named(kind: str, model: str) -> str:
    """Return the name to record: of a folder its own name alone, since where it lies is nobody's business."""
    if not model:
        raise CorrectorError(f"{kind} needs a model, such as second-recogniser:{kind}/NAME")
    known = Path(model).resolve().name if Path(model).is_dir() else model
    shown = "".join(letter if letter.isalnum() or letter in "_.-/" else "-" for letter in known.strip("/"))
    return f"{kind}/{shown}"


def _import(module: str, packages: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise CorrectorError(f"{module} is not installed: pip install {packages}") from error


def _unloaded(name: str) -> str:
    return f"{name} cannot be loaded (it is a folder, or a name on the Hub)"


def _done(failure: str, do: Callable[[], Any]) -> Any:
    """Return what `do` returns; where weights are missing or unfit, a `CorrectorError` of one line says so."""
    try:
        return do()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise CorrectorError(f"{failure}: {' '.join(str(error).split())[:300]}") from error
