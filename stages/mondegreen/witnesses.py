"""What else was heard: other recognisers' transcripts of the sound of a case."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pandas as pd

SPAN = ["recording_id", "start", "end"]


def transcripts(found: pd.DataFrame, ranked: pd.DataFrame) -> Callable[[dict[Any, Any]], dict[str, str]]:
    """Return a function of a case that gives what other recognisers made of its sound: their texts by model version.

    Those are the transcripts of other cases of the same sound, or of the same span of a recording, and what models
    proposed as corrections of the case.
    """
    keep = found[found["model_version"].notna() & ~found["withdrawn"]]
    heard: defaultdict[tuple[Any, ...], dict[str, str]] = defaultdict(dict)
    for names in (["pcm_sha256"], SPAN):
        known = keep[keep[names].notna().all(axis=1)]
        for row in known[known.duplicated(names, keep=False)].to_dict("records"):
            key = tuple(row[name] for name in names)
            heard[key].setdefault(row["model_version"], row["original_transcript"])
    models = ranked[ranked["method"].str.startswith("model:") & ~ranked["undone"]]
    models = models[models["method"] != "model:consensus"]
    proposed: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for case_id, method, text in zip(models["case_id"], models["method"], models["corrected_transcript"], strict=True):
        proposed[case_id][method.removeprefix("model:")] = text

    def others(row: dict[Any, Any]) -> dict[str, str]:
        spans = heard.get(tuple(row[name] for name in SPAN), {})
        both = {**spans, **heard.get((row["pcm_sha256"],), {}), **proposed.get(row["case_id"], {})}
        return {model: text for model, text in both.items() if model != row["model_version"]}

    return others
