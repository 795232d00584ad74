"""The audio of cases: from the spool, or from the batches' packs after an ingest."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mondegreen import audio, repository
from mondegreen.clips import Clips
from mondegreen.errors import DataError, RepositoryError
from mondegreen.recorder import sniff
from mondegreen.worst import PLAYABLE

BARS = 240
"""Bars of a waveform."""

DRAWN_BYTES = 50_000_000
"""Audio over this is played, not drawn."""


@dataclass(frozen=True)
class Clip:
    """Audio as a browser plays it: the bytes of a file and its media type."""

    data: bytes
    media_type: str


class Sounds:
    """Where the audio of a spool and its repository lies, by its SHA-256."""

    def __init__(self, inbox: Path) -> None:
        """Look below the spool `inbox`, then in the batches of the repository around it."""
        try:
            raw = repository.root(inbox) / repository.RAW
        except RepositoryError:
            raw = None
        self._clips = Clips(raw, inbox)
        self.clip = lru_cache(maxsize=16)(self._clip)

    def of(self, recorded: Mapping[str, Any] | None) -> Clip:
        """Return the audio of a case; raises `DataError` saying why it cannot be played."""
        if recorded is None:
            raise DataError("no audio was recorded with this case")
        return self.clip(recorded["sha256"], recorded["ext"])

    def bars(self, recorded: Mapping[str, Any] | None) -> list[int]:
        """Return the loudness of a clip from its start to its end, 0..100 of its loudest; raises `DataError`."""
        data = self.of(recorded).data
        if len(data) > DRAWN_BYTES:
            return []
        samples = np.abs(audio.decode(data).samples.astype("int32")).max(axis=1, initial=0)
        parts = np.array_split(samples, min(BARS, max(1, len(samples))))
        peaks = np.array([part.max(initial=0) for part in parts], dtype="float64")
        return [int(peak) for peak in np.rint(100 * peaks / max(1.0, peaks.max()))]

    def _clip(self, sha256: str, ext: str) -> Clip:
        data = self._clips.get(sha256, ext)
        if data is None:
            raise DataError("its audio is neither in the spool nor in a batch: dvc pull")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DataError("its audio is damaged: it is not what was recorded")
        kind = PLAYABLE.get(ext) or PLAYABLE.get(sniff(data[:12]))
        return Clip(data, kind) if kind else Clip(_wav(data), PLAYABLE[".wav"])


def _wav(data: bytes) -> bytes:
    """Return audio that browsers do not play as one that they do; raises `DataError` where it cannot be decoded."""
    sound = audio.decode(data)
    file = io.BytesIO()
    soundfile.write(file, sound.samples, sound.sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
