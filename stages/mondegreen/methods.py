"""Methods of correction: which are people's, and which may train."""

from fnmatch import fnmatchcase

import pandas as pd

from mondegreen.errors import ParamsError

HUMAN = ("manual", "user_feedback")
"""A person said what was spoken. Only such cases are ever evaluated on."""


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
