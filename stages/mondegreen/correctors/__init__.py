"""Automatic correctors: each takes a case and its audio, and returns a text with a confidence, or nothing.

Any package may add one: an entry point of the group `mondegreen.correctors` names a class that is made without
arguments, or with the text behind a colon (`second-recogniser:faster-whisper/small`). One whose corrections need
something to learn from has `learn(texts)`, which is given what people have corrected so far.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import Any, Protocol, runtime_checkable

from mondegreen.errors import CorrectorError

GROUP = "mondegreen.correctors"

BUILT_IN = {
    "case-restoration": "mondegreen.correctors.rules:CaseRestoration",
    "consensus": "mondegreen.correctors.consensus:Consensus",
    "loop-removal": "mondegreen.correctors.rules:LoopRemoval",
    "second-recogniser": "mondegreen.correctors.recognisers:SecondRecogniser",
}
"""Declared in pyproject.toml too; listed here so that a checkout that nobody installed has them."""

Case = Mapping[str, Any]
"""A row of cases.parquet by column, None where it knows nothing.

`transcripts`, where it is given, has what other recognisers made of the same sound: their texts by model version.
"""


@dataclass(frozen=True)
class Suggestion:
    """What was probably said; `confidence` in 0..1, `method` as a correction names it: rule:NAME or model:NAME."""

    text: str
    confidence: float
    method: str


@dataclass(frozen=True)
class Heard:
    """What a recogniser made of a clip; `confidence` in 0..1, None where it does not say."""

    text: str
    confidence: float | None = None


@runtime_checkable
class Corrector(Protocol):
    """Something that corrects by itself."""

    name: str
    method: str
    """What its corrections are recorded as."""

    def suggest(self, case: Case, audio: bytes | None) -> Suggestion | None:
        """Return what was probably said in `case`, whose audio file holds `audio`; None where it can't tell."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A corrector that learns from what people have corrected."""

    def learn(self, texts: Iterable[str]) -> None:
        """Learn from `texts`, corrections that people made."""
        ...


@runtime_checkable
class Witness(Protocol):
    """A corrector that listens: what it hears tells for or against a correction that people made."""

    model_version: str
    """The recogniser's."""

    def hear(self, case: Case, audio: bytes) -> Heard | None:
        """Return what is said in `case`, whatever the first recogniser heard; None where nothing is to be heard."""
        ...


def names() -> list[str]:
    """Return the names of all correctors, the installed packages' ones too, sorted."""
    return sorted(_declared())


def load(name: str, texts: Iterable[str] = ()) -> Corrector:
    """Return the corrector `name`, or `name:option`; one that learns is taught by `texts`, corrections of people.

    Raises `CorrectorError` where there is none of that name or it cannot be loaded.
    """
    plain, colon, option = name.partition(":")
    declared = _declared()
    if plain not in declared:
        raise CorrectorError(f"there is no corrector {plain!r}: choose one of {', '.join(sorted(declared))}")
    module, _, attribute = declared[plain].partition(":")
    try:
        factory = getattr(import_module(module), attribute)
        if colon and not signature(factory).parameters:
            raise CorrectorError(f"{plain} takes no option: leave out {':' + option!r}")
        corrector = factory(option) if colon else factory()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise CorrectorError(f"the corrector {name!r} ({declared[plain]}) cannot be loaded: {error}") from error
    if not isinstance(corrector, Corrector):
        raise CorrectorError(f"{declared[plain]} is no corrector: it has no name, method or suggest()")
    if isinstance(corrector, Learner):
        corrector.learn(texts)
    return corrector


def _declared() -> dict[str, str]:
    return {found.name: found.value for found in entry_points(group=GROUP)} | BUILT_IN
