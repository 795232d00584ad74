"""Uncorrected cases: sound without a target, for those who train on unlabelled speech. Never trained on as failures."""

import pandas as pd

from mondegreen.balancing import primary_error_types
from mondegreen.components import connect, link_keys
from mondegreen.schemas import SPLITS, UNLABELLED


def unlabelled(cases: pd.DataFrame, rows: pd.DataFrame, *, min_shared_words: int, require_audio: bool) -> pd.DataFrame:
    """Return the uncorrected `cases` as rows of splits.parquet, in a split of their own, sorted by case_id.

    Left out is what is withdrawn, what has no sound that can be decoded (with `require_audio`), what repeats a sound,
    and whatever shares a speaker, a recording or a sound with a case of `rows` in validation or test: who trains on
    unlabelled speech must not meet the speakers that the model is measured on.
    """
    found = cases[cases["corrected_transcript"].isna() & ~cases["withdrawn"] & cases["audio_error"].isna()]
    if require_audio:
        found = found[found["pcm_sha256"].notna()]
    repeated = found["pcm_sha256"].notna() & (
        found["pcm_sha256"].duplicated() | found["pcm_sha256"].isin(rows["pcm_sha256"].dropna())
    )
    found = found[~repeated]
    evaluated = rows[rows["split"] != "train"]
    both = pd.concat([found, evaluated], ignore_index=True)
    component = connect(both["case_id"], link_keys(both, min_shared_words=min_shared_words))
    met = set(component[len(found) :])
    apart = ~component[: len(found)].isin(met).to_numpy()
    kept = found[apart].sort_values("case_id", ignore_index=True)
    labels = primary_error_types(kept) if len(kept) else pd.Series([], dtype="str")
    kept = kept.assign(split=UNLABELLED, component=kept["case_id"], primary_error_type=labels)
    return kept.reindex(columns=SPLITS.arrow.names)
