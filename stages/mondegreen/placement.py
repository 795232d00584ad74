"""Placement: each component that nothing has frozen gets a split, by scikit-learn, seeded.

Sizes count in cases, not in components: splits come near their ratios, and near the error types of all cases.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn.model_selection import train_test_split

from mondegreen.balancing import apportion

LARGE_SHARE = 0.002  # components with more than this share of the cases are placed first, the small ones even them out
MIN_SMALL = 100  # with fewer small components than this, all are placed together

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def place_components(counts: csr_array, fixed: Floats, ratios: Floats, seed: int) -> Ints:
    """Return the split (0 train, 1 validation, 2 test) of each component.

    `counts`: cases by component and error type; `fixed`: cases by split and error type that are already placed.
    Components with more than `LARGE_SHARE` of all cases come first, so that the many small ones even out the sizes.
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
        codes[stage] = _best_candidate(part, fixed, wanted, must_fill=last, seed=_state(seed, number))
        fixed += _by_split(codes[stage], part)
    return codes


def _best_candidate(counts: csr_array, fixed: Floats, wanted: Floats, *, must_fill: bool, seed: int) -> Ints:
    """Place components several times and return the placement nearest to `wanted` cases and to the error types."""
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
    strata = _types_and_sizes(counts[rest])
    best, least = codes[rest], np.inf
    for number in range(int(np.clip(200_000 // len(rest), 4, min(64, 4 * len(rest))))):
        factor = (1.0, 1.25, 1.5)[number % 3] if len(rest) < 1000 else 1.0
        weights = np.maximum(shares * [1.0, factor, factor], 1e-9)
        parts = apportion(len(rest), list(weights), lower, [len(rest)] * 3)
        candidate = _candidate(strata, parts, _state(seed, number))
        deviation = _deviation(_by_split(candidate, counts[rest]), fixed, shares)
        if deviation < least:
            best, least = candidate, deviation
    codes[rest] = best
    return codes


def _not_oversized(sizes: Floats, wanted: Floats, needed: int) -> Ints:
    """Return the components that validation or test could take; at least the `needed` smallest. The others train."""
    fits = sizes <= 2 * max(wanted[1], wanted[2])
    if fits.sum() < needed:
        fits[np.argsort(sizes, kind="stable")[:needed]] = True
    return np.flatnonzero(fits)


def _candidate(strata: Ints, parts: list[int], state: int) -> Ints:
    """Draw one stratified placement with `parts` components in train, validation and test."""
    codes = np.zeros(len(strata), dtype=np.int64)
    _, held_out = _cut(np.arange(len(strata)), parts[1] + parts[2], strata, state)
    validation, test = _cut(held_out, parts[2], strata, state)
    codes[validation], codes[test] = 1, 2
    return codes


def _cut(ids: Ints, take: int, strata: Ints, state: int) -> tuple[Ints, Ints]:
    """Divide `ids` into the others and `take` of them, stratified where there are enough."""
    if take in (0, len(ids)):
        return (ids, ids[:0]) if take == 0 else (ids[:0], ids)
    least = min(take, len(ids) - take)
    labels = _merge_rare(strata[ids], -(-len(ids) // least))
    usable = 1 < len(np.unique(labels)) <= least
    others, taken = train_test_split(
        ids, train_size=len(ids) - take, test_size=take, random_state=state, stratify=labels if usable else None
    )
    return np.sort(others), np.sort(taken)


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


def _state(seed: int, number: int) -> int:
    """Return a 32-bit state for scikit-learn."""
    return int.from_bytes(blake2b(f"split:{seed}:{number}".encode(), digest_size=4).digest(), "big")
