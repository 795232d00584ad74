"""params.yaml: one block per stage, flat but for the methods of `augment`, checked when it is read."""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mondegreen.errors import ParamsError

Block = TypeVar("Block")
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _range(low: float, high: float, default: Any = MISSING) -> Any:
    return field(metadata={"low": low, "high": high}, default=default)


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
    train_methods: str


@dataclass(frozen=True, kw_only=True)
class Replay:
    """How much speech that the recogniser gets right is mixed in, and how much is kept apart to measure forgetting."""

    seed: int = _range(0, 2**32 - 1)
    ratio: float = _range(0, 100)
    retention: int = _range(0, 10**9)
    sources: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Faster and slower, pitch and all; one of `factors` is drawn for a copy."""

    share: float = _range(0, 1, 0.7)
    factors: tuple[float, ...] = _range(0.5, 2, (0.9, 1.1))


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise under the sound, `min_snr` to `max_snr` dB below it: generated, or from the files in data/noise."""

    share: float = _range(0, 1, 0.7)
    min_snr: float = _range(-20, 60, 10.0)
    max_snr: float = _range(-20, 60, 30.0)
    files: bool = False


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Louder and quieter, `min_db` to `max_db`."""

    share: float = _range(0, 1, 0.5)
    min_db: float = _range(-40, 20, -10.0)
    max_db: float = _range(-40, 20, 6.0)


@dataclass(frozen=True, kw_only=True)
class Telephone:
    """The band of a telephone, `low` to `high` Hz, in eight bits."""

    share: float = _range(0, 1, 0.2)
    low: int = _range(20, 2000, 300)
    high: int = _range(2000, 20_000, 3400)


@dataclass(frozen=True, kw_only=True)
class Methods:
    """How copies are made; a method that is left out, or null, is not applied."""

    speed: Speed | None = None
    noise: Noise | None = None
    gain: Gain | None = None
    telephone: Telephone | None = None


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How many copies of which cases of train, and how they are made."""

    seed: int = _range(0, 2**32 - 1)
    factor: int = _range(0, 100)
    strengthen: Mapping[str, int] = _range(0, 100)
    methods: Methods


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
    values = top_level(name, path)
    if not isinstance(values, dict):
        raise ParamsError(f"{path} has no block '{name}:'")
    return _block(str(path), name, values, block)


def _block(path: str, name: str, values: dict[Any, Any], block: type[Block]) -> Block:
    known = {item.name: item for item in fields(block)}  # type: ignore[arg-type]
    needed = {key for key, item in known.items() if item.default is MISSING}
    hints = typing.get_type_hints(block)
    if odd := sorted((set(map(str, values)) - known.keys()) | (needed - values.keys())):
        verb = "has no parameter" if odd[0] in known else "has an unknown parameter"
        raise ParamsError(f"{path} {verb} {name}.{odd[0]}; the block's parameters are {', '.join(known)}")
    return block(**{key: _checked(path, f"{name}.{key}", values[key], hints[key], known[key]) for key in values})


def top_level(name: str, path: str | Path = "params.yaml") -> Any:
    """Return a block of params.yaml, or a value that stands beside the blocks; None where it is not there."""
    try:
        content = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except (OSError, YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path} cannot be read: {str(error)[:500]}") from error
    return content.get(name) if isinstance(content, dict) else None


def _checked(path: str, name: str, value: Any, hint: Any, item: Any) -> Any:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in allowed:
        return None
    kind = allowed[0]
    if is_dataclass(kind) and isinstance(value, dict):
        return _block(path, name, value, typing.cast(type[Any], kind))
    if typing.get_origin(kind) is tuple and isinstance(value, list) and value:
        return tuple(_checked(path, name, each, typing.get_args(kind)[0], item) for each in value)
    if typing.get_origin(kind) is Mapping and isinstance(value, dict):
        return {str(key): _checked(path, f"{name}.{key}", each, int, item) for key, each in value.items()}
    low, high = item.metadata.get("low"), item.metadata.get("high")
    fits = kind in KINDS and isinstance(value, (int, float) if kind is float else kind)
    fits = fits and isinstance(value, bool) == (kind is bool)
    if not fits or (low is not None and not low <= value <= high):
        limits = "" if low is None else f" from {low} to {high}"
        null = " or null" if type(None) in allowed else ""
        raise ParamsError(f"{name}={value!r}: expected {_expected(kind)}{limits}{null}; change it in {path}")
    return kind(value)


def _expected(kind: Any) -> str:
    if is_dataclass(kind):
        return f"a block with any of {', '.join(item.name for item in fields(kind))}"
    if typing.get_origin(kind) is tuple:
        return "a list of names in brackets" if str in typing.get_args(kind) else "a list of numbers"
    return {Mapping: "whole numbers by name"}.get(typing.get_origin(kind)) or KINDS[kind]
