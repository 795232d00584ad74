"""Placement: each component that nothing has frozen gets a split, by scikit-learn, stratified and seeded.

Sizes count in cases, not in components: splits come near their ratios, and near the error types of all cases. A
component's place depends on its own draw, and on others only where a split ends: a few more cases move few. Where there
are many components, chance stratifies them as well, and a split ends at one of a few draws: then mostly none moves.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from mondegreen.balancing import draws

LARGE_SHARE = 0.002  # components with more than this share of the cases are placed first, the small ones even them out
MIN_SMALL = 100  # with fewer small components than this, all are placed together
MANY = 10_000  # as many small components are placed by their draws alone
ENDS = 512  # draws at which a split of many components may end: sizes are true to a thousandth of the cases
FEW = 1000  # fewer components than this are drawn until the deviation (see `_deviation`) is small enough
CANDIDATES = 64
ENOUGH = 0.05  # the first draw that deviates so little is taken, not the best: the next build takes it again
SLACK = 0.02  # else the first that deviates so little more than the best

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def place_components(counts: csr_array, names: pd.Series, fixed: Floats, ratios: Floats, seed: int) -> Ints:
    """Return the split (0 train, 1 validation, 2 test) of each component.

    `counts`: cases by component and error type; `names`: what a component's draw depends on, with `seed`; `fixed`:
    cases by split and error type that are already placed. Components with more than `LARGE_SHARE` of all cases come
    first, so that the many small ones even out the sizes.
    """
    sizes = counts.sum(axis=1)
    total = sizes.sum() + fixed.sum()
    large = sizes > LARGE_SHARE * total
    stages = [large, ~large] if (~large).sum() >= MIN_SMALL else [np.ones(len(sizes), dtype=bool)]
    codes = np.full(len(sizes), -1, dtype=np.int64)
    fixed = fixed.copy()
    for number, stage in enumerate(stages):
        part = counts[stage]
        wanted = np.clip(ratios * total - fixed.sum(axis=1), 0, None)
        last = number == len(stages) - 1
        codes[stage] = _best_candidate(part, names[stage], fixed, wanted, must_fill=last, seed=seed)
        fixed += _by_split(codes[stage], part)
    return codes


def _best_candidate(
    counts: csr_array, names: pd.Series, fixed: Floats, wanted: Floats, *, must_fill: bool, seed: int
) -> Ints:
    """Return a placement near `wanted` cases and the error types: of few components, the first good one of some."""
    sizes = counts.sum(axis=1)
    lower = [int(must_fill and not filled) for filled in fixed.sum(axis=1)]
    codes = np.zeros(len(sizes), dtype=np.int64)
    rest = _not_oversized(sizes, wanted, lower[1] + lower[2])
    oversized = np.setdiff1d(np.arange(len(sizes)), rest)
    if len(rest) == 0:
        return codes
    fixed = fixed + _by_split(codes[oversized], counts[oversized])
    wanted = wanted - [sizes[oversized].sum(), 0, 0]
    shares = np.clip(wanted, 0, None) / max(np.clip(wanted, 0, None).sum(), 1)
    lower[0] = int(lower[0] and len(oversized) == 0)
    strata = _types_and_sizes(counts[rest]) if len(rest) < MANY else codes
    candidates, deviations = [], []
    for number in range(CANDIDATES if len(rest) < FEW else 1):
        drawn = draws(names.iloc[rest], purpose=f"split {number}", seed=seed)
        if len(rest) < MANY:
            candidates.append(_candidate(drawn, strata, sizes[rest], shares, lower))
        else:
            candidates.append(_by_draw(drawn, sizes[rest], shares, lower))
        deviations.append(_deviation(_by_split(candidates[-1], counts[rest]), fixed, shares))
        if deviations[-1] <= ENOUGH:
            break
    good = max(ENOUGH, min(deviations) + SLACK)
    codes[rest] = candidates[next(number for number, found in enumerate(deviations) if found <= good)]
    return codes


def _not_oversized(sizes: Floats, wanted: Floats, needed: int) -> Ints:
    """Return the components that validation or test could take; at least the `needed` smallest. The others train."""
    fits = sizes <= 2 * max(wanted[1], wanted[2])
    if fits.sum() < needed:
        fits[np.argsort(sizes, kind="stable")[:needed]] = True
    return np.flatnonzero(fits)


def _candidate(drawn: npt.NDArray[np.uint64], strata: Ints, sizes: Floats, shares: Floats, lower: list[int]) -> Ints:
    """Return a placement by draws: test takes the lowest of each stratum, validation the next, train the rest.

    Each split takes at least its `lower` components.
    """
    codes = np.zeros(len(drawn), dtype=np.int64)
    rest = np.argsort(drawn, kind="stable")
    for code in (2, 1):
        taken = _lowest(rest, strata, sizes, shares[code] * sizes.sum(), lower[code], len(rest) - sum(lower[:code]))
        codes[taken] = code
        rest = rest[codes[rest] == 0]
    return codes


def _by_draw(drawn: npt.NDArray[np.uint64], sizes: Floats, shares: Floats, lower: list[int]) -> Ints:
    """Return a placement of many components by `ENDS` ranges of draws: test takes the lowest, then validation."""
    span = (drawn // np.uint64(2**64 // ENDS)).astype(np.int64)
    ends = np.append(0, np.cumsum(np.bincount(span, sizes, ENDS)))
    test = max(int(np.abs(ends - shares[2] * ends[-1]).argmin()), lower[2])
    both = max(int(np.abs(ends - (shares[1] + shares[2]) * ends[-1]).argmin()), test + lower[1])
    return np.where(span < test, 2, np.where(span < both, 1, 0)).astype(np.int64)


def _lowest(ids: Ints, strata: Ints, sizes: Floats, wanted: float, least: int, most: int) -> Ints:
    """Return the first `ids` of each stratum, `least` to `most` of them, that hold about `wanted` cases.

    Unshuffled folds of scikit-learn are blocks of the order given: the first one, as large as what is wanted, holds the
    first of each stratum. What it has too much or too little is evened out at its end.
    """
    from sklearn.model_selection import StratifiedKFold  # a second, for which a large repository has no use

    folds = min(len(ids), max(2, round(sizes[ids].sum() / wanted))) if wanted > 0 else 0
    if folds >= 2:
        labels = _merge_rare(strata[ids], folds)
        found = StratifiedKFold(folds).split(ids, labels)
        ids = ids[np.concatenate([fold for _, fold in found])]
    ends = np.append(0, np.cumsum(sizes[ids]))
    return ids[: min(max(int(np.abs(ends - wanted).argmin()), least), most)]


def _types_and_sizes(counts: csr_array) -> Ints:
    """Return two labels per component, `[size class, dominant error type]`: sizes in powers of two, ties by name."""
    pairs = counts.tocoo()
    order = np.lexsort((pairs.col, -pairs.data, pairs.row))
    _, first = np.unique(pairs.row[order], return_index=True)
    return np.column_stack([np.frexp(counts.sum(axis=1))[1], pairs.col[order][first]]).astype(np.int64)


def _merge_rare(strata: Ints, least: int) -> Ints:
    """Return one label per component; strata with fewer than `least` members join those of their size, then of all."""
    size, kind = strata[:, 0], strata[:, 1]
    labels = size * (kind.max() + 2) + kind + 1
    for wider in (size * (kind.max() + 2), np.full(len(size), -1)):
        _, codes, members = np.unique(labels, return_inverse=True, return_counts=True)
        labels = np.where(members[codes] < least, wider, labels)
    values, codes, members = np.unique(labels, return_inverse=True, return_counts=True)
    merged: Ints = np.where(members[codes] < least, values[members.argmax()], labels)
    return merged


def _by_split(codes: Ints, counts: csr_array) -> Floats:
    """Return cases by split and error type."""
    n = len(codes)
    return np.asarray((csr_array((np.ones(n), (codes, np.arange(n))), shape=(3, n)) @ counts).toarray())


def _deviation(placed: Floats, fixed: Floats, shares: Floats) -> float:
    """Return how far a placement is from the wanted shares of cases, and its error types from those of all cases."""
    sizes = np.abs(placed.sum(axis=1) / placed.sum() - shares).sum()
    both = placed + fixed
    types = both / np.maximum(both.sum(axis=1, keepdims=True), 1) - both.sum(axis=0) / both.sum()
    return round(float(sizes + 0.25 * np.abs(types).sum(axis=1).mean()), 9)
