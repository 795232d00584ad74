"""Selection: which cases are eligible, and how many of each split and error type are kept.

Draws are seeded hashes of the case_id: one case's draw never depends on which other cases exist.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pandas as pd

from mondegreen.tables import codes_of, named

SPLITS = ("train", "validation", "test")
UNKNOWN_TYPE = "unknown"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Selection:
    """What was selected: one `reasons` entry per case (null = kept), and `notes` for the reader of the report."""

    reasons: pd.Series
    notes: tuple[str, ...]


def primary_error_types(cases: pd.DataFrame) -> pd.Series:
    """Return each case's primary error type: the first detected one, else the agent's first, else "unknown"."""
    pairs = zip(cases["detected_error_types"], cases["error_types"], strict=True)
    first = [detected[0] if len(detected) else own[0] if len(own) else UNKNOWN_TYPE for detected, own in pairs]
    return pd.Series(first, index=cases.index, dtype="str", name="primary_error_type")


def selection_scores(cases: pd.DataFrame) -> pd.Series:
    """Return how wrong each case is, 0..1: `error_score`, else the WER capped at 1.

    Without a reference word (silence, noise) there is no WER: 1 when the recogniser heard something, else 0.
    """
    heard = cases["original_transcript"].str.strip().ne("").fillna(False).astype("float64")
    scores = cases["error_score"].astype("float64").fillna(cases["wer"].astype("float64").clip(upper=1.0))
    return scores.fillna(heard).rename("selection_score")


def draws(case_ids: pd.Series, *, purpose: str, seed: int) -> npt.NDArray[np.uint64]:
    """Return one uniform 64-bit number per case (SipHash, keyed by `purpose` and `seed`), the same on any machine."""
    key = blake2b(f"{purpose}:{seed}".encode(), digest_size=8).hexdigest()
    hashed = pd.util.hash_array(case_ids.to_numpy(dtype=object), hash_key=key, categorize=False)
    return np.asarray(hashed, dtype=np.uint64)


def apportion(total: int, weights: Sequence[float], lower: Sequence[int], upper: Sequence[int]) -> list[int]:
    """Share `total` out in proportion to `weights` (all > 0), each share within `lower..upper`.

    What one share cannot take goes to the others; the sum is `total` where the bounds allow it. Rounding is by
    largest remainder, the earlier one first.
    """
    total = min(max(total, sum(lower)), sum(upper))

    def shares(level: float) -> list[float]:
        return [min(max(level * w, low), high) for w, low, high in zip(weights, lower, upper, strict=True)]

    below, above = 0.0, (max(upper, default=0) + 1.0) / min(weights, default=1.0)
    for _ in range(200):
        middle = (below + above) / 2
        below, above = (middle, above) if sum(shares(middle)) < total else (below, middle)
    exact = [round(share, 6) for share in shares(above)]
    parts = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: parts[i] - exact[i])
    while sum(parts) < total:
        for i in [i for i in by_remainder if parts[i] < upper[i]][: total - sum(parts)]:
            parts[i] += 1
    return parts


def largest_capped(counts: Sequence[int], max_share: float) -> int:
    """Return how many cases of types with `counts` can be kept when none may exceed `max_share` of those kept.

    All of them when the cap cannot be met without cutting every type down to the rarest (`max_share` times the
    number of types is at most 1): see `cap_applies`.
    """
    if not cap_applies(counts, max_share):
        return sum(counts)
    low, high = 0, sum(counts)
    while low < high:  # what fits under the cap is concave in the total, so the feasible totals have no gaps
        middle = (low + high + 1) // 2
        fits = sum(min(count, max_share * middle) for count in counts) >= middle - 1e-6
        low, high = (middle, high) if fits else (low, middle - 1)
    return max(low, min(1, sum(counts)))


def cap_applies(counts: Sequence[int], max_share: float) -> bool:
    """Tell whether `max_share` can be met without cutting every type down to the rarest."""
    return max_share * sum(count > 0 for count in counts) > 1 + 1e-9


def type_quotas(counts: dict[str, int], total: int, *, alpha: float, max_share: float) -> dict[str, int]:
    """Return how many cases of each error type to keep so that they sum to `total`, or to as many as the cap allows.

    Type i gets a share proportional to `counts[i] ** alpha` (1: natural, 0: uniform), at most `max_share` of all
    (rounded up) and at most what it has; what it cannot fill goes to the other types.
    """
    counts = {name: counts[name] for name in sorted(counts) if counts[name]}
    have = list(counts.values())
    total = min(total, largest_capped(have, max_share))
    cap = math.ceil(max_share * total - 1e-6) if cap_applies(have, max_share) else total
    weights = [round(float(count) ** alpha, 6) for count in have]
    parts = apportion(total, weights, [0] * len(have), [min(count, cap) for count in have])
    return dict(zip(counts, parts, strict=True))


def select(
    assigned: pd.DataFrame,
    *,
    seed: int,
    ratios: dict[str, float],
    max_samples: int | None,
    balance_error_types: bool,
    alpha: float,
    max_share: float,
) -> Selection:
    """Keep up to `max_samples` of the assigned cases (`case_id, split, frozen, primary_error_type`).

    Frozen cases are always kept and count first. Validation and test are a uniform sample; so is train unless
    `balance_error_types`. Reasons: `balanced_out` for a case that a uniform sample under `max_samples` would have
    kept, else `over_max_samples`.
    """
    split = codes_of(assigned["split"], SPLITS)
    train = split == 0
    kind, kinds = pd.factorize(assigned["primary_error_type"][train], sort=True)
    counts = dict(zip(map(str, kinds), np.bincount(kind, minlength=len(kinds)).tolist(), strict=True))
    available = dict(zip(SPLITS, np.bincount(split, minlength=len(SPLITS)).tolist(), strict=True))
    held = assigned["frozen"].to_numpy(dtype=bool)
    frozen = dict(zip(SPLITS, np.bincount(split[held], minlength=len(SPLITS)).tolist(), strict=True))
    natural = split_quotas(available, dict.fromkeys(SPLITS, 0), ratios=ratios, max_samples=max_samples)
    if balance_error_types:
        available["train"] = largest_capped(list(counts.values()), max_share)
    quotas = split_quotas(available, frozen, ratios=ratios, max_samples=max_samples)
    order = np.lexsort([draws(assigned["case_id"], purpose="selection", seed=seed), ~held])
    rank = _ranks(split, order)
    kept = rank < np.array([quotas[name] for name in SPLITS])[split]
    if balance_error_types:
        per_type = type_quotas(counts, quotas["train"], alpha=alpha, max_share=max_share)
        rank_in_type = _ranks(kind, np.cumsum(train)[order[train[order]]] - 1)
        kept[train] = rank_in_type < np.array([per_type[str(name)] for name in kinds], dtype=np.int64)[kind]
    within = rank < np.array([natural[name] for name in SPLITS])[split]
    reasons = named(np.where(kept, -1, np.where(within, 0, 1)), ("balanced_out", "over_max_samples"))
    notes = _notes(counts, max_share) if balance_error_types else ()
    return Selection(reasons.set_axis(assigned.index), notes)


def split_quotas(
    available: dict[str, int], frozen: dict[str, int], *, ratios: dict[str, float], max_samples: int | None
) -> dict[str, int]:
    """Return how many cases each split keeps: by `ratios`, at least the frozen ones and one, at most what it has.

    What one split cannot fill goes to the others; no `max_samples` means no limit. Freezing all that validation and
    test keep changes nothing.
    """
    if max_samples is None:
        return dict(available)
    weights, upper = [ratios[split] for split in SPLITS], [available[split] for split in SPLITS]
    lower = [min(max(frozen[split], 1), available[split]) for split in SPLITS]
    while (parts := apportion(max_samples, weights, lower, upper))[1:] != lower[1:]:
        lower[1:] = parts[1:]
    return dict(zip(SPLITS, parts, strict=True))


def _ranks(groups: Ints, order: Ints) -> Ints:
    """Return each case's place, from 0, in its group, of all cases in `order`."""
    within = order[np.argsort(groups[order], kind="stable")]
    sizes = np.bincount(groups)
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[within] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return ranks


def _notes(counts: dict[str, int], max_share: float) -> tuple[str, ...]:
    """Explain what max_share did where a reader would be surprised."""
    total, most = sum(counts.values()), max(counts.values(), default=0)
    if most <= max_share * total:
        return ()
    name = min(name for name, count in counts.items() if count == most)
    if not cap_applies(list(counts.values()), max_share):
        return (
            f"max_share={max_share:g} was not applied: train has {len(counts)} primary error type(s), "
            f"{name!r} in {most} of {total} cases, so it would cut every type down to the rarest",
        )
    left = total - largest_capped(list(counts.values()), max_share)
    if left <= total / 2:
        return ()
    return (
        f"max_share={max_share:g} leaves out {left} of {total} cases of train, because {name!r} is the primary error "
        f"type of {most}: raise split.max_share, or record more of the other types",
    )
