"""Components: cases that must share a split, because a speaker, a recording, the audio or a long text connects them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from mondegreen.tables import codes_of, each_of
from mondegreen.text import normalise

KEYS = ("speaker_id", "recording_id", "audio_sha256", "pcm_sha256", "long_text")
LINKING = (*KEYS[:-1], "corrected_transcript")
"""The columns of a case from which `link_keys` are made."""
_SHARED = ("speakers", "recordings", "audio", "audio_samples", "long_texts")
_SPLITS = ("train", "validation", "test")
DOMINANT_SHARE = 0.5  # a component with more than this share of the cases makes honest splits hard


Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Keys:
    """What connects cases: for each kind of `KEYS`, the code of each case's key, -1 where it has none, and values."""

    codes: Mapping[str, Ints]
    values: Mapping[str, pd.Index]

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.codes["long_text"])

    def of(self, rows: Ints | slice) -> "Keys":
        """Return the keys of some cases."""
        return Keys({kind: codes[rows] for kind, codes in self.codes.items()}, self.values)

    def without(self, kind: str) -> "Keys":
        """Return the keys of all other kinds."""
        return Keys({name: codes for name, codes in self.codes.items() if name != kind}, self.values)

    def column(self, kind: str) -> pd.Series:
        """Return the key of each case, null where it has none."""
        codes = self.codes[kind]
        found = pd.Series(self.values[kind].astype("str")).reindex(codes).reset_index(drop=True)
        return found.astype("str").where(codes >= 0)


def link_keys(cases: pd.DataFrame, *, min_shared_words: int) -> Keys:
    """Return the keys that connect `cases`, in their order.

    A null, empty or blank key connects nothing. `long_text` is the normalised `corrected_transcript` where it has at
    least `min_shared_words` words: short phrases repeat by chance. Where `cases` have a `long_text` already (see
    `traits`), it is taken.
    """
    columns = {kind: cases[kind] for kind in KEYS[:-1]} | {"long_text": _long_texts(cases, min_shared_words)}
    found = {kind: _coded(column) for kind, column in columns.items()}
    return Keys(
        {kind: codes for kind, (codes, _) in found.items()}, {kind: values for kind, (_, values) in found.items()}
    )


def components(cases: pd.DataFrame, *, min_shared_words: int) -> pd.Series:
    """Return the component of every case, with the index of `cases`: the smallest case_id that it is connected to."""
    return connect(cases["case_id"], link_keys(cases, min_shared_words=min_shared_words))


def connect(case_ids: pd.Series, keys: Keys) -> pd.Series:
    """Return each case's component from its `keys`, named by the component's smallest case_id."""
    names = case_ids.iloc[roots(case_ids, keys)]
    return names.set_axis(case_ids.index).rename("component")


def roots(case_ids: pd.Series, keys: Keys) -> Ints:
    """Return each case's component from its `keys`: where the smallest case_id of it stands."""
    labels = _labels(keys)
    order = np.asarray(case_ids.argsort(kind="stable"), dtype=np.int64)
    smallest = np.full(len(labels), -1, dtype=np.int64)
    smallest[labels[order[::-1]]] = order[::-1]  # the last write wins: the smallest case_id of each label
    return np.asarray(smallest[labels], dtype=np.int64)


def links(keys: Keys) -> pd.DataFrame:
    """Return what connects the cases, indexed by kind of key.

    Columns: `keys` (how many join two cases or more), `cases` (how many they join), `largest_key` (the one that
    joins the most, null if none does) and `largest_cases`.
    """
    rows = []
    for kind, codes in keys.codes.items():
        counts = np.bincount(codes[codes >= 0])
        joining = counts[counts > 1]
        most = int(joining.max()) if len(joining) else 0
        largest = min(keys.values[kind][np.flatnonzero(counts == most)]) if most else None
        rows.append((kind, len(joining), int(joining.sum()), largest, most))
    return pd.DataFrame(rows, columns=["kind", "keys", "cases", "largest_key", "largest_cases"]).set_index("kind")


def explain(component: pd.Series, keys: Keys) -> str:
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


def _weakest_kind(keys: Keys, joins: pd.DataFrame) -> tuple[str, int]:
    """Return the kind to question first: the one that joins the fewest cases of those that hold the chain together.

    Also returns how many components there would be without it. If each kind alone would hold the chain together, it
    is the one without which there would be the most components.
    """
    rest = {kind: np.bincount(_labels(keys.without(kind))) for kind in keys.codes}
    breaks = [kind for kind, sizes in rest.items() if sizes.max() <= DOMINANT_SHARE * len(keys)]
    if breaks:
        kind = min(breaks, key=lambda name: int(joins["cases"].loc[name]))
    else:
        kind = max(rest, key=lambda name: len(rest[name]))
    return kind, len(rest[kind])


def _percent(cases: int, keys: Keys) -> str:
    return f"{100 * cases / len(keys):.0f} % of the cases ({cases} of {len(keys)})"


def shared_counts(splits: pd.DataFrame, keys: Keys) -> dict[str, dict[str, int]]:
    """Count what each pair of splits shares: `{"speakers": {"train_validation": 0, …}, …}`.

    `keys` are those of the rows (see `link_keys`): counted anew, independently of how components were found;
    `components` is counted where `splits` has that column.
    """
    columns = {name: (keys.codes[kind], len(keys.values[kind])) for kind, name in zip(KEYS, _SHARED, strict=True)}
    if "component" in splits:
        component, names = pd.factorize(splits["component"])
        columns["components"] = component, len(names)
    split = codes_of(splits["split"], _SPLITS)
    counts = {}
    for name, (codes, size) in columns.items():
        found = np.zeros((size, len(_SPLITS)), dtype=bool)
        known = codes >= 0
        found[codes[known], split[known]] = True
        pairs = combinations(range(len(_SPLITS)), 2)
        counts[name] = {f"{_SPLITS[a]}_{_SPLITS[b]}": int((found[:, a] & found[:, b]).sum()) for a, b in pairs}
    return counts


def _coded(column: pd.Series) -> tuple[Ints, pd.Index]:
    """Return the code of each value, -1 where it is null or blank, and the values."""
    codes, values = pd.factorize(column.astype("str"))
    values = pd.Index(values)
    blank = np.append(values.str.strip() == "", False)
    return np.where(blank[codes], -1, codes), values


def _labels(keys: Keys) -> Ints:
    """Connect cases over a graph of cases and keys; one label per case."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(next(iter(keys.codes.values())))
    rows, nodes, size = [], [], n
    for kind, codes in keys.codes.items():
        joins = np.append(np.bincount(codes[codes >= 0], minlength=len(keys.values[kind])) > 1, False)
        case = np.flatnonzero(joins[codes])
        rows.append(case)
        nodes.append(codes[case] + size)
        size += len(keys.values[kind])
    row, node = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(row), dtype=np.int8), (row, node)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][:n]
    return np.asarray(pd.factorize(labels)[0], dtype=np.int64)


def long_text(text: str, min_shared_words: int) -> str:
    """Return a normalised `text` where it is long enough to link cases, else an empty one."""
    return text if len(text.split()) >= min_shared_words else ""


def _long_texts(cases: pd.DataFrame, min_shared_words: int) -> pd.Series:
    """Return the `long_text` of each case, made where it is not there yet."""
    known = cases["long_text"] if "long_text" in cases else pd.Series(None, index=cases.index, dtype="str")
    if not (missing := known.isna()).any():
        return known
    texts = cases.loc[missing, "corrected_transcript"]
    return known.fillna(each_of(texts, lambda text: long_text(normalise(text), min_shared_words))).astype("str")
