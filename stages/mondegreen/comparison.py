"""Two models on the same cases: is the second better, worse, or can nobody tell yet; which cases it fixed and broke.

The verdict rests on the interval of the difference of the corpus WERs (paired block bootstrap, see `bootstrap`): better
or worse where it leaves out 0. "Can't tell" is not "equally good": it comes with how many more cases it would take.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from mondegreen.bootstrap import (
    FEWEST_BLOCKS,
    Blocks,
    MatchedPairs,
    PairedEstimate,
    SampleSize,
    matched_pairs,
    paired,
    power,
)
from mondegreen.errors import DataError
from mondegreen.evaluation import RESAMPLES, SEED, Evaluation, names_by_kind, word_errors
from mondegreen.tables import rounded

_HOPELESS = 100
Verdict = Literal["better", "worse", "can't tell"]
LISTS = ("fixed", "regressed", "still_failing")
"""Cases that B alone has right, that A alone has right, that both have wrong; by the normalised words."""


@dataclass(frozen=True)
class Comparison:
    """B (`after`) against A (`before`): differences are B minus A, so that a negative one is an improvement.

    `needed` is None where the verdict is clear, or nothing differs. `by_error_type` counts the cases of each list per
    error type (None: cases without one). `fewer_errors` and `more_errors` count those of the cases still failing.
    """

    before: Evaluation
    after: Evaluation
    verdict: Verdict
    wer: PairedEstimate
    cer: PairedEstimate
    test: MatchedPairs
    needed: SampleSize | None
    fixed: tuple[str, ...]
    regressed: tuple[str, ...]
    still_failing: tuple[str, ...]
    fewer_errors: int
    more_errors: int
    by_error_type: dict[str | None, dict[str, int]]

    @property
    def blocks(self) -> Blocks:
        """Return what was drawn together."""
        return self.before.blocks

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON, floats rounded; `improvement` is positive where B makes fewer errors."""
        types = [{"error_type": name, **counts} for name, counts in self.by_error_type.items()]
        value = self.wer.difference
        facts = {
            "verdict": self.verdict,
            "improvement": None if value is None else -value,
            "wer": asdict(self.wer),
            "cer": asdict(self.cer),
            "matched_pairs": asdict(self.test),
            "needed": self.needed and asdict(self.needed),
            **{name: getattr(self, name) for name in LISTS},
            "fewer_errors": self.fewer_errors,
            "more_errors": self.more_errors,
            "by_error_type": types,
        }
        return dict(rounded(facts)) | {"before": self.before.as_dict(), "after": self.after.as_dict()}


def compare(before: Evaluation, after: Evaluation) -> Comparison:
    """Compare two evaluations of the same cases under the same normaliser; raises `DataError` where they are not."""
    for name in ("test_set", "normaliser"):
        if getattr(before, name) != getattr(after, name):
            raise DataError(
                f"{name} {getattr(before, name)} and {getattr(after, name)} differ: measure both models on the same"
            )
    cases, labels = before.cases, before.blocks.labels
    errors = word_errors(before.cases).to_numpy(), word_errors(after.cases).to_numpy()
    characters = before.cases["character_errors"], after.cases["character_errors"]
    words = cases["reference_words"].to_numpy()
    wer = paired(*errors, words, labels, resamples=RESAMPLES, seed=SEED)
    spoken = words > 0
    lists = _lists(*errors)
    failing = lists["still_failing"]
    return Comparison(
        before=before,
        after=after,
        verdict=_verdict(wer),
        wer=wer,
        cer=paired(*characters, cases["reference_characters"], labels, resamples=RESAMPLES, seed=SEED),
        test=matched_pairs(errors[0][spoken], errors[1][spoken], np.flatnonzero(spoken)),
        needed=None if wer.decided else power(*errors, words, labels),
        **{name: tuple(cases["case_id"][chosen]) for name, chosen in lists.items()},
        fewer_errors=int((failing & (errors[1] < errors[0])).sum()),
        more_errors=int((failing & (errors[1] > errors[0])).sum()),
        by_error_type=_by_error_type(before, lists),
    )


def reason(comparison: Comparison) -> str:
    """Return one sentence that says why the verdict is what it is, and what would change it."""
    wer, kind, needed = comparison.wer, comparison.blocks.kind, comparison.needed
    if wer.decided:
        return f"the interval of the difference leaves out 0, over {wer.blocks} {kind}s"
    if wer.difference is None or wer.low is None:
        why = f"it takes {FEWEST_BLOCKS} {kind}s with words to tell anything, {wer.blocks} are there"
    elif not wer.differing:
        return "both make equally many errors in every case with speech; words heard in silence are counted apart"
    elif wer.differing < FEWEST_BLOCKS:
        why = f"the two differ in {wer.differing} {kind}s only, which may be chance"
    else:
        why = "the interval of the difference holds 0"
    if needed is None:
        return why
    if needed.blocks > _HOPELESS * wer.blocks:
        return f"{why}; more than {_HOPELESS} times as many cases would not tell: if they differ, it is by very little"
    more = f"{_about(needed.more_cases)} more cases"
    more += f" of {_about(needed.more_blocks)} more {kind}s" if kind != "case" else ""
    return f"{why}; it would take about {more} like these, if the difference is as large as it looks"


def _about(count: int) -> str:
    """Return `count` to two digits: the estimate is no better."""
    digits = max(len(str(count)) - 2, 0)
    return f"{round(count, -digits):,}"


def _verdict(wer: PairedEstimate) -> Verdict:
    if not wer.decided or wer.difference is None:
        return "can't tell"
    return "better" if wer.difference < 0 else "worse"


def _lists(before: Any, after: Any) -> dict[str, Any]:
    wrong, still_wrong = before > 0, after > 0
    return dict(zip(LISTS, (wrong & ~still_wrong, ~wrong & still_wrong, wrong & still_wrong), strict=True))


def _by_error_type(evaluation: Evaluation, lists: dict[str, Any]) -> dict[str | None, dict[str, int]]:
    names = names_by_kind(evaluation.cases)["error_type"]
    sizes = Counter(name for each in names for name in each)
    counts = {
        label: Counter(name for each, is_in in zip(names, chosen, strict=True) if is_in for name in each)
        for label, chosen in lists.items()
    }
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name or ""))
    return {name: {"cases": sizes[name], **{label: counts[label][name] for label in LISTS}} for name in ranked}
