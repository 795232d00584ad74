"""params.yaml: one block of flat scalars per stage, checked when it is read."""

import types
import typing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mondegreen.errors import ParamsError

Block = TypeVar("Block")
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _range(low: float, high: float) -> Any:
    return field(metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Collect:
    """How transcripts are measured."""

    normaliser: str


@dataclass(frozen=True, kw_only=True)
class Validate:
    """What a candidate must be like; seconds, Hz, words per second, characters."""

    min_duration: float = _range(0, 3600)
    max_duration: float = _range(0, 14400)
    duration_tolerance: float = _range(0, 3600)
    max_words_per_second: float = _range(0, 1000)
    min_sample_rate: int = _range(1, 768000)
    max_characters: int = _range(1, 1_000_000)
    clock_skew: float = _range(0, 31_536_000)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The least share of candidates that must meet each measure."""

    completeness: float = _range(0, 1)
    consistency: float = _range(0, 1)
    validity: float = _range(0, 1)
    uniqueness: float = _range(0, 1)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Selection, balancing and assignment."""

    seed: int = _range(0, 2**32 - 1)
    train_ratio: float = _range(0, 1)
    validation_ratio: float = _range(0, 1)
    test_ratio: float = _range(0, 1)
    min_error_score: float = _range(0, 1)
    max_samples: int | None = _range(1, 10**12)
    include_uncorrected: bool
    balance_error_types: bool
    alpha: float = _range(0, 1)
    max_share: float = _range(0, 1)
    min_shared_words: int = _range(1, 1000)


@dataclass(frozen=True, kw_only=True)
class Export:
    """What the dataset holds and is called."""

    require_audio: bool
    max_shard_mb: int = _range(1, 10_000)
    name: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """From where on the report recommends something, and how much it shows."""

    min_correction_rate: float = _range(0, 1)
    max_waiting_days: float = _range(0, 36_500)
    min_cases_per_type: int = _range(0, 1_000_000)
    min_rejected: int = _range(1, 10**9)
    max_disputed: int = _range(0, 10**9)
    quality_margin: float = _range(0, 1)
    min_test_cases: int = _range(0, 10**9)
    min_test_speakers: int = _range(0, 10**6)
    max_speaker_share: float = _range(0, 1)
    max_without_speaker: float = _range(0, 1)
    max_wer_increase: float = _range(0, 1)
    min_measurements: int = _range(0, 1000)
    max_unnamed_measurements: int = _range(0, 10**9)
    confident: float = _range(0, 1)
    wrong: float = _range(0, 10)
    max_confident_wrong: float = _range(0, 1)
    worst_cases: int = _range(0, 500)
    audio_clips: int = _range(0, 500)
    audio_kb: int = _range(0, 100_000)


def load(block: type[Block], path: str | Path = "params.yaml") -> Block:
    """Return the block of params.yaml that `block`, one of this module's classes, describes.

    Raises `ParamsError` naming the parameter, its value and what it should be.
    """
    name = block.__name__.lower()
    try:
        content = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read: {error}") from error
    values = content.get(name) if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise ParamsError(f"{path} has no block '{name}:'")
    known = {item.name: item for item in fields(block)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(block)
    if odd := sorted(set(map(str, values)) ^ known.keys()):
        verb = "has no parameter" if odd[0] in known else "has an unknown parameter"
        raise ParamsError(f"{path} {verb} {name}.{odd[0]}; the block's parameters are {', '.join(known)}")
    return block(**{key: _checked(f"{name}.{key}", values[key], hints[key], item) for key, item in known.items()})


def _checked(name: str, value: Any, hint: Any, item: Any) -> Any:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in allowed:
        return None
    kind = allowed[0]
    fits = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    low, high = item.metadata.get("low"), item.metadata.get("high")
    if not fits or (low is not None and not low <= value <= high):
        limits = "" if low is None else f" from {low} to {high}"
        null = " or null" if type(None) in allowed else ""
        raise ParamsError(f"{name}={value!r}: expected {KINDS[kind]}{limits}{null}; change it in params.yaml")
    return kind(value)
