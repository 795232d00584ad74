"""Components: cases that must share a split, because a speaker, a recording, the audio or a long text connects them."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from mondegreen.tables import each_of
from mondegreen.text import normalise

KEYS = ("speaker_id", "recording_id", "audio_sha256", "pcm_sha256", "long_text")
_SPLITS = ("train", "validation", "test")
DOMINANT_SHARE = 0.5  # a component with more than this share of the cases makes honest splits hard


def link_keys(cases: pd.DataFrame, *, min_shared_words: int) -> pd.DataFrame:
    """Return the keys that connect cases, one column per kind of `KEYS`, with the index of `cases`.

    A null, empty or blank key is null: it connects nothing. `long_text` is the normalised `corrected_transcript`
    where it has at least `min_shared_words` words, null elsewhere: short phrases repeat by chance. Where `cases` have
    a `long_text` already (see `pairs.with_keys`), it is taken.
    """
    keys = pd.DataFrame({kind: cases[kind].astype("str") for kind in KEYS[:-1]})
    keys["long_text"] = _long_texts(cases, min_shared_words)
    return keys.where(keys.apply(lambda column: column.str.strip().ne("").fillna(False)).astype(bool))


def components(cases: pd.DataFrame, *, min_shared_words: int) -> pd.Series:
    """Return the component of every case, with the index of `cases`: the smallest case_id that it is connected to."""
    return connect(cases["case_id"], link_keys(cases, min_shared_words=min_shared_words))


def connect(case_ids: pd.Series, keys: pd.DataFrame) -> pd.Series:
    """Return each case's component from its `keys` (see `link_keys`), named by the component's smallest case_id."""
    n = len(case_ids)
    labels = _labels(keys)
    order = np.asarray(case_ids.argsort(kind="stable"), dtype=np.int64)
    smallest = np.full(n, -1, dtype=np.int64)
    smallest[labels[order[::-1]]] = order[::-1]  # the last write wins: the smallest case_id of each label
    names = case_ids.iloc[smallest[labels]]
    return names.set_axis(case_ids.index).rename("component")


def links(keys: pd.DataFrame) -> pd.DataFrame:
    """Return what connects the cases, indexed by kind of key.

    Columns: `keys` (how many join two cases or more), `cases` (how many they join), `largest_key` (the one that
    joins the most, null if none does) and `largest_cases`.
    """
    rows = []
    for kind in keys.columns:
        counts = keys[kind].value_counts(sort=False)
        counts = counts[counts > 1]
        most = int(counts.max()) if len(counts) else 0
        largest = min(counts.index[counts == most]) if most else None
        rows.append((kind, len(counts), int(counts.sum()), largest, most))
    return pd.DataFrame(rows, columns=["kind", "keys", "cases", "largest_key", "largest_cases"]).set_index("kind")


def explain(component: pd.Series, keys: pd.DataFrame) -> str:
    """Say what makes one component of more than half of the cases, and what to do; empty if there is no such one."""
    sizes = component.value_counts()
    if sizes.empty or sizes.iloc[0] <= DOMINANT_SHARE * len(keys):
        return ""
    joins = links(keys)
    largest = joins.sort_values("largest_cases", kind="stable").iloc[-1]
    kind, key, count = str(largest.name), str(largest["largest_key"]), int(largest["largest_cases"])
    if count > DOMINANT_SHARE * len(keys):
        shown = key if len(key) <= 60 else key[:59] + "…"
        return f"{kind} {shown!r} joins {_percent(count, keys)}: if it is a placeholder, leave {kind} empty"
    kind, without = _weakest_kind(keys, joins)
    advice = "raise split.min_shared_words" if kind == "long_text" else f"check {kind}"
    return (
        f"one component holds {_percent(int(sizes.iloc[0]), keys)}: cases are linked in chains; without {kind} there "
        f"would be {without} components instead of {len(sizes)}: {advice}"
    )


def _weakest_kind(keys: pd.DataFrame, joins: pd.DataFrame) -> tuple[str, int]:
    """Return the kind to question first: the one that joins the fewest cases of those that hold the chain together.

    Also returns how many components there would be without it. If each kind alone would hold the chain together, it
    is the one without which there would be the most components.
    """
    rest = {kind: np.bincount(_labels(keys.drop(columns=kind))) for kind in keys.columns}
    breaks = [kind for kind, sizes in rest.items() if sizes.max() <= DOMINANT_SHARE * len(keys)]
    if breaks:
        kind = min(breaks, key=lambda name: int(joins["cases"].loc[name]))
    else:
        kind = max(rest, key=lambda name: len(rest[name]))
    return kind, len(rest[kind])


def _percent(cases: int, keys: pd.DataFrame) -> str:
    return f"{100 * cases / len(keys):.0f} % of the cases ({cases} of {len(keys)})"


def shared_counts(splits: pd.DataFrame, *, min_shared_words: int) -> dict[str, dict[str, int]]:
    """Count what each pair of splits shares: `{"speakers": {"train_validation": 0, …}, …}`.

    Recomputed from the columns of the rows, independently of how components were found; `components` is counted
    where `splits` has that column.
    """
    columns = {
        "speakers": splits["speaker_id"],
        "recordings": splits["recording_id"],
        "audio": splits["audio_sha256"],
        "audio_samples": splits["pcm_sha256"],
        "long_texts": _long_texts(splits, min_shared_words),
    }
    if "component" in splits:
        columns["components"] = splits["component"]
    split_codes = each_of(splits["split"], _SPLITS.index).to_numpy(dtype=np.int64)
    counts = {}
    for name, column in columns.items():
        codes, values = pd.factorize(column.where(column.str.strip() != ""))
        found = np.zeros((len(values), len(_SPLITS)), dtype=bool)
        known = codes >= 0
        found[codes[known], split_codes[known]] = True
        pairs = combinations(range(len(_SPLITS)), 2)
        counts[name] = {f"{_SPLITS[a]}_{_SPLITS[b]}": int((found[:, a] & found[:, b]).sum()) for a, b in pairs}
    return counts


def _labels(keys: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Connect cases over a graph of cases and keys; one label per case."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(keys)
    rows, nodes, size = [], [], n
    for kind in keys.columns:
        codes, uniques = pd.factorize(keys[kind])
        joins = np.append(np.bincount(codes[codes >= 0], minlength=len(uniques)) > 1, False)
        case = np.flatnonzero(joins[codes])
        rows.append(case)
        nodes.append(codes[case] + size)
        size += len(uniques)
    row, node = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(row), dtype=np.int8), (row, node)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][:n]
    return np.asarray(pd.factorize(labels)[0], dtype=np.int64)


def long_text(text: str, min_shared_words: int) -> str:
    """Return a normalised `text` where it is long enough to link cases, else an empty one."""
    return text if len(text.split()) >= min_shared_words else ""


def _long_texts(cases: pd.DataFrame, min_shared_words: int) -> pd.Series:
    """Return the `long_text` of each case, made where it is not there yet."""
    texts = cases["corrected_transcript"]
    known = cases["long_text"] if "long_text" in cases else pd.Series(None, index=cases.index, dtype="str")
    made = each_of(texts[known.isna()], lambda text: long_text(normalise(text), min_shared_words))
    return known.fillna(made).astype("str")
