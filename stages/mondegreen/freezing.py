"""Freezing: what a release adds to the ledger, and where the ledger's cases send all that they are linked to.

A case that trained in a release never evaluates later, and the reverse, whatever is added, corrected or withdrawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mondegreen.balancing import SPLITS
from mondegreen.components import Keys, roots
from mondegreen.ledger import RESERVE
from mondegreen.schemas import RETENTION
from mondegreen.tables import among, codes_of, named, place

EVALUATION = ("validation", "test")
LINKS_EVALUATION, LINKS_TRAIN = "links_validation_and_test", "links_train_and_evaluation"


Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Forced:
    """Where the ledger sends cases, one entry each, in the order of the cases.

    `split`: its place in `SPLITS`, -1 where nothing forces one, or where the ledger forbids all. `reason`: why it
    forbids all, else null. `component`: as it was, but of those that held too much, the parts that stay. `free`: the
    case is to be placed.
    """

    split: Ints
    reason: pd.Series
    component: Ints
    free: npt.NDArray[np.bool_]


def sides(case_ids: pd.Series, speakers: Ints, ledger: pd.DataFrame) -> Ints:
    """Return the split that the ledger itself has for each case, -1 if none: its own row, else its speaker's.

    `speakers` are the codes of `components.link_keys`: -1 where unknown.
    """
    at, known = place(case_ids, ledger["case_id"])
    found = codes_of(ledger["split"].str.removesuffix(RESERVE), SPLITS)
    own = np.where(known, np.append(found, -1)[at], -1)
    trained = np.zeros(speakers.max(initial=-1) + 2, dtype=bool)
    trained[speakers[own == 0]] = True
    trained[-1] = False  # whom nobody knows
    return np.where((own < 0) & trained[speakers], 0, own)


def force(case_ids: pd.Series, component: Ints, side: Ints, keys: Keys) -> Forced:
    """Send every component (see `components.roots`) to the one side that it touches.

    A component that touches more than one is taken apart: what the ledger does not know stays out, for that is what
    joins the sides. Of what is joined even then, only the cases of one side stay: test, else validation.
    """
    touched = _touched(component, side)
    count = touched.sum(axis=1)
    split, torn = np.where(count == 1, touched.argmax(axis=1), -1), count > 1
    if torn.any():
        known = np.flatnonzero(torn & (side >= 0))
        parts = roots(case_ids.iloc[known], keys.of(known))
        strongest = len(SPLITS) - 1 - _touched(parts, side[known])[:, ::-1].argmax(axis=1)
        split[known] = np.where(side[known] == strongest, side[known], -1)
        component = component.copy()
        component[known] = known[parts]
    both = touched[:, 1] & touched[:, 2]
    reason = named(np.where(torn & (split < 0), both, -1), (LINKS_TRAIN, LINKS_EVALUATION))
    return Forced(split, reason, component, count == 0)


def to_freeze(cases: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the rows (`case_id, split`), sorted by case_id, that a release of `cases` adds to `ledger`.

    `cases` are all that have a split: `case_id, split, component, speaker_id, kept` (in the dataset, or left out).
    Every case of validation, test and retention that is kept is frozen, and one of each component of which none is kept
    (`test_reserve`): the component stays where it is. Of train, one case of each speaker, and each case without one:
    whatever is corrected or withdrawn, every case that trained is then in the ledger or shares its speaker with one.
    """
    cases = cases.sort_values("case_id", ignore_index=True)
    evaluation = cases[cases["split"].isin(EVALUATION)]
    kept = evaluation[evaluation["kept"]]
    reserve = evaluation[~evaluation["component"].isin(kept["component"])].drop_duplicates("component")
    reserve = reserve.assign(split=reserve["split"] + RESERVE)
    train = cases[cases["split"] == "train"]
    voice = train["speaker_id"].where(train["speaker_id"].str.strip() != "")
    known = set(voice[train["case_id"].isin(ledger["case_id"])].dropna())
    first = voice.isna() | ~(voice.duplicated() | voice.isin(known))
    rows = pd.concat([kept, reserve, cases[cases["split"] == RETENTION], train[first]])[["case_id", "split"]]
    have = rows.merge(ledger[["case_id", "split"]], how="left", indicator=True)["_merge"] == "both"
    return rows[~have.to_numpy()].sort_values("case_id", ignore_index=True)


def counts(case_ids: pd.Series, split: pd.Series, ledger: pd.DataFrame) -> dict[str, int]:
    """Return how many of the ledger's evaluation cases are kept, by split, left out (they link two), or not valid.

    `case_ids` are all valid cases, `split` is null where one is left out. `train` counts rows of the ledger.
    """
    frozen = ledger[ledger["split"].isin(EVALUATION)]["case_id"]
    valid = among(case_ids, frozen)
    kept = {name: int((valid & (split == name)).sum()) for name in EVALUATION}
    return {
        **kept,
        "left_out": int(valid.sum()) - sum(kept.values()),
        "not_valid": len(frozen) - int(valid.sum()),
        "train": int((ledger["split"] == "train").sum()),
    }


def _touched(component: Ints, side: Ints) -> npt.NDArray[np.bool_]:
    """Return, per case and split, whether the case's component holds a case of that side."""
    found = np.zeros((len(component), len(SPLITS)), dtype=bool)
    known = side >= 0
    found[component[known], side[known]] = True
    return np.asarray(found[component], dtype=bool)
