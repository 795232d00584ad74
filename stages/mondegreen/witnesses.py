"""What else was heard: other recognisers' transcripts of the sound of a case."""

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pandas as pd

_VERSION = re.compile(r"[-/.\d]")
SPAN = ["recording_id", "start", "end"]
ASKED = ["case_id", "audio_sha256", "pcm_sha256", *SPAN, "model_version"]
"""What has to be known of a case to tell what else was heard."""


def transcripts(
    found: pd.DataFrame, ranked: pd.DataFrame, hearings: pd.DataFrame | None = None
) -> Callable[[dict[Any, Any]], dict[str, str]]:
    """Return a function of a case (its columns `ASKED`) that gives what other recognisers made of its sound.

    It gives their texts by model version: the transcripts of other cases of the same sound, or of the same span of a
    recording, what models proposed as corrections of the case, and what they heard in it as witnesses (`hearings`).
    What bears the name of the case's own family is no other.
    """
    keep = found[found["model_version"].notna() & ~found["withdrawn"]]
    heard: defaultdict[tuple[Any, ...], dict[str, str]] = defaultdict(dict)
    for names in (["audio_sha256"], ["pcm_sha256"], SPAN):  # the second is known once it is ingested
        known = keep[keep[names].notna().all(axis=1)]
        repeated = known.loc[known.duplicated(names, keep=False), [*names, "model_version", "original_transcript"]]
        for row in repeated.to_dict("records"):
            key = tuple(row[name] for name in names)
            heard[key].setdefault(row["model_version"], row["original_transcript"])
    models = ranked[ranked["method"].str.startswith("model:") & ~ranked["undone"]]
    models = models[models["method"] != "model:consensus"]
    proposed: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for case_id, method, text in zip(models["case_id"], models["method"], models["corrected_transcript"], strict=True):
        proposed[case_id][method.removeprefix("model:")] = text
    for row in [] if hearings is None else hearings.sort_values("event_id").to_dict("records"):
        if row["transcript"].strip():
            proposed[row["case_id"]][row["model_version"]] = row["transcript"]

    def others(row: dict[Any, Any]) -> dict[str, str]:
        spans = heard.get(tuple(row[name] for name in SPAN), {})
        sound = {**heard.get((row["audio_sha256"],), {}), **heard.get((row["pcm_sha256"],), {})}
        both = {**spans, **sound, **proposed.get(row["case_id"], {})}
        return {model: text for model, text in both.items() if family(model) != family(row["model_version"])}

    return others


def family(model_version: object) -> str:
    """Return what versions of one recogniser have in common, and independent ones do not: the name's first word.

    "asr-1" and "asr-2.5" are asr, "faster-whisper/small" and "transformers/openai/whisper-tiny" whisper. Two of a
    family make the same mistakes: two passes of PocketSphinx that agreed were right in 6 of 82 real cases.
    """
    if not isinstance(model_version, str):  # not known
        return ""
    name = model_version.lower().removeprefix("faster-")
    name = name.rpartition("/")[2] if name.startswith("transformers/") else name
    return _VERSION.split(name, maxsplit=1)[0] or name
