"""How well a model does on a split of the dataset: error rates with intervals, silence, slices.

What a model was measured on is part of every result (`test_set`, `normaliser`), since figures of different test sets
or normalisers do not compare.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mondegreen.alignment import Alignment, Corpus, align, corpus
from mondegreen.bootstrap import FEWEST_BLOCKS, Blocks, Estimate, choose_blocks, corpus_rate
from mondegreen.errors import DataError, ParamsError
from mondegreen.predictions import References
from mondegreen.recorder import Recorder
from mondegreen.tables import rounded
from mondegreen.text import NORMALISERS, normalise

LISTED = 20
"""How many speakers (error types, …) make slices."""

REPEATS = 0.5
"""Share of predictions equal to what was recorded from which a model is taken for the one that failed."""

RESAMPLES, SEED = 1000, 1
BANDS = ((2.0, "under 2 s"), (5.0, "2 to 5 s"), (10.0, "5 to 10 s"), (20.0, "10 to 20 s"), (np.inf, "20 s and more"))
"""Duration bands: upper bound in seconds (not in the band) and name."""


@dataclass(frozen=True)
class Rates:
    """Corpus rates with their intervals, and the sums they come from."""

    wer: Estimate
    cer: Estimate
    sums: Corpus


@dataclass(frozen=True)
class Slice:
    """Some of the cases; `name` is None for those without one, `blocks` is what was drawn together."""

    name: str | None
    cases: int
    wer: Estimate
    cer: Estimate
    blocks: str


@dataclass(frozen=True)
class Slices:
    """The largest slices by one property; `other_slices` more, holding `other_cases`, are counted alone."""

    slices: tuple[Slice, ...]
    other_slices: int
    other_cases: int


@dataclass(frozen=True)
class Evaluation:
    """What a model did on a split. Rates are shares, not rounded, and None where nothing is there to divide by.

    `cases` has a row per case: its texts, the dataset's columns, and the counts of `Alignment`, raw ones with `raw_`.
    """

    split: str
    test_set: str
    normaliser: str
    dataset_version: str | None
    blocks: Blocks
    normalised: Rates
    raw: Rates
    empty_rate: float | None
    utterance_error_rate: float
    slices: dict[str, Slices]
    notes: tuple[str, ...]
    cases: pd.DataFrame = field(repr=False, compare=False)

    def metrics(self) -> dict[str, float]:
        """Return the numbers of the performance event besides wer and cer; what is not known is left out."""
        plain, raw = self.normalised, self.raw
        known = {
            "raw_wer": raw.wer.value,
            "raw_cer": raw.cer.value,
            "wer_low": plain.wer.low,
            "wer_high": plain.wer.high,
            "cer_low": plain.cer.low,
            "cer_high": plain.cer.high,
            "substitutions": plain.sums.substitutions,
            "deletions": plain.sums.deletions,
            "insertions": plain.sums.insertions,
            "cases": len(self.cases),
            "silence_hallucination_rate": plain.sums.silence_hallucination_rate,
            "empty_rate": self.empty_rate,
            "utterance_error_rate": self.utterance_error_rate,
        }
        return {name: rounded(value) for name, value in known.items() if value is not None}

    def metadata(self) -> dict[str, Any]:
        """Return what the figures may be compared within: test set, split, normaliser, and how intervals were made."""
        blocks = {"kind": self.blocks.kind, "count": self.blocks.count}
        return {"test_set": self.test_set, "split": self.split, "normaliser": self.normaliser, "blocks": blocks}

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the single cases, for JSON, floats rounded."""
        sums = self.normalised.sums
        shares = {
            "silence_hallucination_rate": sums.silence_hallucination_rate,
            "silent_cases": sums.silent_utterances,
            "silence_hallucinations": sums.silence_hallucinations,
            "empty_rate": self.empty_rate,
            "utterance_error_rate": self.utterance_error_rate,
        }
        rates = {name: _rates_dict(each) for name, each in (("normalised", self.normalised), ("raw", self.raw))}
        slices = {kind: asdict(each) for kind, each in self.slices.items()}
        identity = self.metadata() | {"dataset_version": self.dataset_version, "cases": len(self.cases)}
        return dict(rounded(identity | shares | rates | {"slices": slices, "notes": self.notes}))

    def case_rows(self) -> list[dict[str, Any]]:
        """Return the result case by case, for JSON."""
        columns = ["case_id", "text", "hypothesis", *Alignment._fields]
        return [{str(key): rounded(row[key]) for key in row} for row in self.cases[columns].to_dict("records")]


def evaluate(
    references: References,
    hypotheses: Sequence[str],
    *,
    normaliser: str,
    dataset_version: str | None = None,
) -> Evaluation:
    """Measure one hypothesis per case of `references`, in its order, under `normaliser` and as they stand.

    Blocks are speakers; recordings or cases where there are too few (see `bootstrap.choose_blocks`). A case with an
    empty reference counts in the silence rate and in `utterance_error_rate`, the share of cases with any error.
    Raises `ParamsError` for an unknown normaliser.
    """
    if normaliser not in NORMALISERS:
        raise ParamsError(f"normaliser {normaliser!r} is unknown: choose one of {', '.join(NORMALISERS)}")
    rows = references.rows.assign(hypothesis=pd.Series(list(hypotheses), dtype=object))
    plain, raw = _alignments(rows, normaliser), _alignments(rows, "none-1")
    cases = pd.concat([rows, pd.DataFrame(plain), pd.DataFrame(raw).add_prefix("raw_")], axis=1)
    blocks = blocks_of(cases)
    spoken = [each for each in plain if each.reference_words]
    silent_output = sum(each.deletions == each.reference_words for each in spoken)
    wrong = sum(each.word_errors > 0 for each in plain)
    return Evaluation(
        split=references.split,
        test_set=references.test_set,
        normaliser=normaliser,
        dataset_version=dataset_version,
        blocks=blocks,
        normalised=Rates(*_estimates(cases, blocks), corpus(plain)),
        raw=Rates(*_estimates(cases, blocks, "raw_"), corpus(raw)),
        empty_rate=silent_output / len(spoken) if spoken else None,
        utterance_error_rate=wrong / len(plain),
        slices=_slices(cases),
        notes=tuple(_notes(cases, blocks)),
        cases=cases,
    )


def record(evaluation: Evaluation, recorder: Recorder, model_version: str) -> None:
    """Record the `performance` event of `evaluation`; raises `DataError` where there is no WER to record."""
    wer, cer = evaluation.normalised.wer.value, evaluation.normalised.cer.value
    if wer is None or cer is None:
        raise DataError(f"no case of {evaluation.split} has words, so there is no WER to record: use --no-record")
    recorder.performance(
        wer=rounded(wer),
        cer=rounded(cer),
        model_version=model_version,
        dataset_version=evaluation.dataset_version,
        metadata=evaluation.metadata(),
        **evaluation.metrics(),
    )


def blocks_of(cases: pd.DataFrame) -> Blocks:
    """Return the blocks of rows of `Evaluation.cases`: speakers if there are enough, else recordings, else cases."""
    keys = {kind: cases[f"{kind}_id"].tolist() for kind in ("speaker", "recording", "case")}
    return choose_blocks(keys, cases["reference_words"])


def _alignments(rows: pd.DataFrame, normaliser: str) -> list[Alignment]:
    fold = NORMALISERS[normaliser]
    texts = zip(rows["text"], rows["hypothesis"], rows["language"], strict=True)
    return [align(fold(text, language), fold(hypothesis, language)) for text, hypothesis, language in texts]


def _estimates(cases: pd.DataFrame, blocks: Blocks, prefix: str = "") -> tuple[Estimate, Estimate]:
    """Return WER and CER."""
    words, characters = (cases[prefix + name].to_numpy() for name in ("reference_words", "reference_characters"))
    return (
        corpus_rate(word_errors(cases, prefix), words, blocks.labels, resamples=RESAMPLES, seed=SEED),
        corpus_rate(cases[f"{prefix}character_errors"], characters, blocks.labels, resamples=RESAMPLES, seed=SEED),
    )


def word_errors(cases: pd.DataFrame, prefix: str = "") -> "pd.Series[int]":
    """Return S + D + I of rows of `Evaluation.cases`."""
    return cases[f"{prefix}substitutions"] + cases[f"{prefix}deletions"] + cases[f"{prefix}insertions"]


def names_by_kind(cases: pd.DataFrame) -> dict[str, list[list[str | None]]]:
    """Return which slices each row is in, by kind; an error type has no name where a case has none."""
    return {
        "error_type": [list(types) or [None] if types is not None else [None] for types in cases["error_types"]],
        "speaker": [[name] for name in cases["speaker_id"]],
        "language": [[name] for name in cases["language"]],
        "duration": [[_band(seconds)] for seconds in cases["duration"]],
    }


def _band(seconds: float | None) -> str | None:
    return None if seconds is None else next((name for bound, name in BANDS if seconds < bound), None)


def _slices(cases: pd.DataFrame) -> dict[str, Slices]:
    groups = {kind: _slices_by(cases, names) for kind, names in names_by_kind(cases).items()}
    bands = [name for _, name in BANDS]
    ordered = sorted(groups["duration"].slices, key=lambda each: bands.index(each.name) if each.name else len(bands))
    return groups | {"duration": Slices(tuple(ordered), 0, 0)}


def _slices_by(cases: pd.DataFrame, names: list[list[str | None]]) -> Slices:
    """Return the `LISTED` largest slices, those of one size by name."""
    sizes = Counter(name for each in names for name in each)
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name or ""))
    kept, others = ranked[:LISTED], set(ranked[LISTED:])
    rows: dict[str | None, list[int]] = {name: [] for name in kept}
    for row, each in enumerate(names):
        for name in rows.keys() & set(each):
            rows[name].append(row)
    slices = tuple(_slice(name, cases.iloc[rows[name]]) for name in kept)
    return Slices(slices, len(others), sum(not others.isdisjoint(each) for each in names))


def _slice(name: str | None, cases: pd.DataFrame) -> Slice:
    blocks = blocks_of(cases)
    return Slice(name, len(cases), *_estimates(cases, blocks), blocks.kind)


def _notes(cases: pd.DataFrame, blocks: Blocks) -> Iterator[str]:
    """Say what the figures and their intervals do not cover."""
    original = cases["original_transcript"]  # null: the recogniser never heard it
    known = original.fillna("").map(normalise) == cases["hypothesis"].map(normalise)
    known &= original.notna() & (original != cases["text"])
    if known.mean() >= REPEATS:
        yield (
            f"{int(known.sum())} of {len(cases)} predictions repeat the recorded mistakes: this is the model whose "
            "failures these cases are, so any other looks better here than it is; compare on ordinary speech too"
        )
    speakers = cases["speaker_id"].nunique()
    if blocks.count < FEWEST_BLOCKS:
        yield f"no interval: it takes {FEWEST_BLOCKS} cases with words, {blocks.count} are there"
    elif not speakers:
        yield f"no speaker_id: intervals are over {blocks.kind}s, and too narrow where a speaker is in several"
    elif blocks.kind != "speaker":
        yield f"too few speakers ({speakers}): intervals are over {blocks.kind}s and hold for these speakers alone"
    elif unnamed := int(cases["speaker_id"].isna().sum()):
        yield f"{unnamed} cases without a speaker_id count as speakers of their own, by recording or one by one"


def _rates_dict(rates: Rates) -> dict[str, Any]:
    sums = rates.sums._asdict()
    counted = (
        "substitutions",
        "deletions",
        "insertions",
        "reference_words",
        "reference_characters",
        "character_errors",
    )
    return {"wer": asdict(rates.wer), "cer": asdict(rates.cer)} | {name: sums[name] for name in counted}
