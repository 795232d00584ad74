"""Methods of correction: which are people's, and which may train."""

from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import pandas as pd

from mondegreen.errors import ParamsError

HUMAN = ("manual", "user_feedback")
"""A person said what was spoken. Only such cases are ever evaluated on."""

MACHINE_CORRECTED = "machine_corrected"
"""Why a case is left out: its component is in validation or test, where only people's corrections count."""

MAY_NOT_TRAIN = "method_may_not_train"
"""Why a case is left out: `train_methods` does not name the method of its correction."""


def by_people(methods: pd.Series) -> pd.Series:
    """Return which of the corrections' `methods` are a person's."""
    return methods.isin(HUMAN)


def may_train(methods: pd.Series, train_methods: str) -> pd.Series:
    """Return which of the corrections' `methods` the parameter `train_methods` names.

    Names and patterns with `*`, separated by commas. Raises `ParamsError` for a name that no method can have.
    """
    patterns = [name.strip() for name in train_methods.split(",") if name.strip()]
    for pattern in patterns:
        if pattern not in (*HUMAN, "*") and not pattern.startswith(("rule:", "model:")):
            raise ParamsError(
                f"split.train_methods names {pattern!r}: expected {', '.join(HUMAN)}, rule:NAME or model:NAME"
            )
    chosen = [method for method in methods.unique() if any(fnmatchcase(method, pattern) for pattern in patterns)]
    return methods.isin(chosen)


def refused(assigned: pd.Series, people: npt.NDArray[np.bool_], trains: npt.NDArray[np.bool_]) -> pd.Series:
    """Return why a case may not be in the split that its component is assigned to; null: it may.

    `people` and `trains` tell, row by row, what `by_people` and `may_train` say of its correction.
    """
    reasons = pd.Series(None, index=assigned.index, dtype="str")
    reasons[assigned.isin(["validation", "test"]) & ~people] = MACHINE_CORRECTED
    reasons[(assigned == "train") & ~trains] = MAY_NOT_TRAIN
    return reasons
