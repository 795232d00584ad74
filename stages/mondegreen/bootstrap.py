"""How sure a corpus error rate, or the difference of two, is: block bootstrap, matched pairs, sample size.

A corpus rate is a ratio of sums: all errors over all reference words (or characters). The cases of one speaker or
recording err alike, so what is drawn anew is whole blocks of cases, not cases: Bisani & Ney 2004, "Bootstrap
estimates for confidence intervals in ASR performance evaluation", ICASSP.

Intervals are percentile intervals (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", ch. 13), expanded
for few blocks (Hesterberg 2015, "What teachers should know about the bootstrap", The American Statistician 69:4):
the tails are those of Student's t with n - 1 degrees of freedom, times sqrt(n / (n - 1)).

Cases without reference words enter nothing here: they have no rate (see `alignment`). Sums are whole numbers, the
generator is seeded: the same input, in any order of cases, gives the same figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

FEWEST_BLOCKS = 6
"""No interval below it: were two models equally good, n blocks would all favour the same one with chance 2^(1 - n),
which falls below 5 % only from 6 on. Fewer blocks cannot tell anything at 95 %, however much they agree."""

_DRAWN_AT_ONCE = 100_000  # fits a processor's cache: five times as fast as in one go
_NORMAL = NormalDist()
_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """Which cases are drawn together: `labels` has one number per case, `kind` says what shares a number."""

    kind: str
    labels: npt.NDArray[np.int64]
    count: int


@dataclass(frozen=True)
class Estimate:
    """A corpus rate with its interval; `blocks` and `cases` are those with reference words.

    `value` is None without any reference word, `low` and `high` with fewer than `FEWEST_BLOCKS` blocks.
    """

    value: float | None
    low: float | None
    high: float | None
    blocks: int
    cases: int


@dataclass(frozen=True)
class PairedEstimate:
    """The rate of B minus that of A on the same cases: negative where B makes fewer errors.

    `probability_of_improvement` is the share of resamples in which B makes fewer errors than A, ties counted half
    (Bisani & Ney 2004; ties: so that the two directions add up to 1). `differing` is how many blocks the two differ in.
    """

    difference: float | None
    low: float | None
    high: float | None
    probability_of_improvement: float | None
    blocks: int
    differing: int
    cases: int

    @property
    def decided(self) -> bool:
        """Return whether the interval leaves out 0, and enough blocks differ for chance not to explain it."""
        if self.low is None or self.high is None:
            return False
        return self.differing >= FEWEST_BLOCKS and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class MatchedPairs:
    """The test of Gillick & Cox; `mean` and `deviation` are errors of B minus errors of A per segment.

    `z` and `p_value` are None where the test says nothing: fewer than two segments, or all differing by the same.
    """

    segments: int
    mean: float | None
    deviation: float | None
    z: float | None
    p_value: float | None


@dataclass(frozen=True)
class SampleSize:
    """How much a test set would have to hold in all, and beyond what it holds."""

    blocks: int
    cases: int
    more_blocks: int
    more_cases: int


def choose_blocks(keys: Mapping[str, Sequence[str | None]], words: npt.ArrayLike) -> Blocks:
    """Return blocks by the first of `keys` (coarsest first; the last is never null) that makes enough of them.

    A case whose key is null is in the block of its next finer key. Enough are `FEWEST_BLOCKS` with reference words,
    which `count` counts; where no kind makes as many, the finest stands.
    """
    kinds, spoken = list(keys), np.asarray(words) > 0
    for level, kind in enumerate(kinds[:-1]):
        blocks = _blocks(kind, [keys[name] for name in kinds[level:]], spoken)
        if any(keys[kind]) and blocks.count >= FEWEST_BLOCKS:
            return blocks
    return _blocks(kinds[-1], [keys[kinds[-1]]], spoken)


def _blocks(kind: str, keys: list[Sequence[str | None]], spoken: npt.NDArray[np.bool_]) -> Blocks:
    own = [next((depth, key) for depth, key in enumerate(row) if key) for row in zip(*keys, strict=True)]
    numbers = {key: number for number, key in enumerate(sorted(set(own)))}
    labels = np.array([numbers[key] for key in own], np.int64)
    return Blocks(kind, labels, len(np.unique(labels[spoken])))


def corpus_rate(
    errors: npt.ArrayLike,
    words: npt.ArrayLike,
    blocks: npt.ArrayLike,
    *,
    resamples: int = 1000,
    seed: int,
    level: float = 0.95,
) -> Estimate:
    """Return sum(errors) / sum(words) with its interval at `level`; one entry per case in each array.

    With characters and their errors in place of words it is the CER. Not rounded.
    """
    sums, cases = _block_sums(blocks, words, errors)
    if not cases:
        return Estimate(None, None, None, 0, 0)
    total_words, total_errors = sums.sum(axis=0)
    low = high = None
    if len(sums) >= FEWEST_BLOCKS:
        drawn = _resampled(sums, resamples, seed)
        low, high = _interval(drawn[:, 1] / drawn[:, 0], len(sums), level)
    return Estimate(float(total_errors / total_words), low, high, len(sums), cases)


def paired(
    errors_a: npt.ArrayLike,
    errors_b: npt.ArrayLike,
    words: npt.ArrayLike,
    blocks: npt.ArrayLike,
    *,
    resamples: int = 1000,
    seed: int,
    level: float = 0.95,
) -> PairedEstimate:
    """Return the rate of B minus the rate of A, both taken from the same resamples (Bisani & Ney 2004)."""
    sums, cases = _block_sums(blocks, words, errors_a, errors_b)
    if not cases:
        return PairedEstimate(None, None, None, None, 0, 0, 0)
    gains = sums[:, 2] - sums[:, 1]
    difference, differing = float(gains.sum() / sums[:, 0].sum()), int(np.count_nonzero(gains))
    low = high = chance = None
    if len(sums) >= FEWEST_BLOCKS:
        drawn = _resampled(np.column_stack([sums[:, 0], gains]), resamples, seed)
        low, high = _interval(drawn[:, 1] / drawn[:, 0], len(sums), level)
        chance = float(np.mean(drawn[:, 1] < 0) + np.mean(drawn[:, 1] == 0) / 2)
    return PairedEstimate(difference, low, high, chance, len(sums), differing, cases)


def matched_pairs(errors_a: npt.ArrayLike, errors_b: npt.ArrayLike, segments: npt.ArrayLike) -> MatchedPairs:
    """Test whether A and B make equally many errors per segment: Z = mean(d) / (sd(d) / sqrt(n)), two-sided.

    Gillick & Cox 1989, "Some statistical issues in the comparison of speech recognition algorithms", ICASSP. `segments`
    labels each case. Assumes that the segments' differences are independent, and enough of them (some dozens) for
    their mean to be normal. One case per segment ignores that a speaker's cases differ alike: then p is too small.
    """
    labels, inverse = np.unique(np.asarray(segments), return_inverse=True)
    gains = np.asarray(errors_b, np.float64) - np.asarray(errors_a, np.float64)
    per_segment = np.bincount(inverse.ravel(), weights=gains, minlength=len(labels))
    n = len(labels)
    if n < 2:
        return MatchedPairs(n, float(per_segment[0]) if n else None, None, None, None)
    mean, deviation = float(per_segment.mean()), float(per_segment.std(ddof=1))
    if deviation == 0:
        same = (0.0, 1.0) if mean == 0 else (None, None)
        return MatchedPairs(n, mean, deviation, *same)
    z = mean / (deviation / math.sqrt(n))
    return MatchedPairs(n, mean, deviation, z, math.erfc(abs(z) / math.sqrt(2)))


def power(
    errors_a: npt.ArrayLike,
    errors_b: npt.ArrayLike,
    words: npt.ArrayLike,
    blocks: npt.ArrayLike,
    *,
    alpha: float = 0.05,
    chance: float = 0.8,
) -> SampleSize | None:
    """Return how many blocks it takes to tell the observed difference at `alpha` with a `chance` of success.

    n = ((z_(1 - alpha/2) + z_chance) * sd / mean)^2 with mean and standard deviation of the blocks' differences; sd is
    that of d - r * words (r: the difference of the rates), since a long block weighs more (the delta method for a
    ratio). At least as many as let `FEWEST_BLOCKS` blocks differ. It assumes that the true difference is the observed
    one, that further blocks are independent and like these, and as large: an order of magnitude, not a promise.
    None where A and B differ nowhere in sum, or fewer than two blocks are there to measure the spread.
    """
    sums, cases = _block_sums(blocks, words, errors_a, errors_b)
    gains, n = sums[:, 2] - sums[:, 1], len(sums)
    if n < 2 or gains.sum() == 0:
        return None
    residuals = gains - gains.sum() / sums[:, 0].sum() * sums[:, 0]
    deviation = math.sqrt(float(residuals @ residuals) / (n - 1))
    wanted = (_NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(chance)) * deviation / float(gains.mean())
    in_all = max(math.ceil(wanted**2), math.ceil(n * FEWEST_BLOCKS / int(np.count_nonzero(gains))), FEWEST_BLOCKS)
    cases_in_all = math.ceil(in_all * cases / n)
    return SampleSize(in_all, cases_in_all, max(in_all - n, 0), max(cases_in_all - cases, 0))


def _block_sums(blocks: npt.ArrayLike, words: npt.ArrayLike, *errors: npt.ArrayLike) -> tuple[_Numbers, int]:
    """Return words and errors summed by block (a row per block that has words) and the number of cases with words."""
    columns = [np.asarray(column, np.float64) for column in (words, *errors)]
    spoken = columns[0] > 0
    labels, inverse = np.unique(np.asarray(blocks)[spoken], return_inverse=True)
    sums = [np.bincount(inverse.ravel(), weights=column[spoken], minlength=len(labels)) for column in columns]
    return np.column_stack(sums), int(spoken.sum())


def _resampled(sums: _Numbers, resamples: int, seed: int) -> _Numbers:
    """Return the column sums of `resamples` samples of as many rows, drawn with replacement."""
    generator = np.random.Generator(np.random.PCG64(seed))
    columns, n = np.ascontiguousarray(sums.T), len(sums)
    totals = np.empty((len(columns), resamples))
    step = max(1, _DRAWN_AT_ONCE // n)
    for start in range(0, resamples, step):
        rows = generator.integers(n, size=(min(step, resamples - start), n))
        for total, column in zip(totals, columns, strict=True):
            total[start : start + len(rows)] = column.take(rows).sum(axis=1)
    return totals.T


def _interval(values: _Numbers, blocks: int, level: float) -> tuple[float, float]:
    """Return the expanded percentile interval of resampled `values`."""
    quantile = float(stdtrit(blocks - 1, (1 + level) / 2)) * math.sqrt(blocks / (blocks - 1))
    tail = _NORMAL.cdf(-quantile)
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
