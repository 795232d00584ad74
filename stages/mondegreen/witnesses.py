"""What else was heard: other recognisers' transcripts of the sound of a case."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from mondegreen.tables import among, in_order

_VERSION = re.compile(r"[-/.\d]")
SPAN = ["recording_id", "start", "end"]
ASKED = ["case_id", "audio_sha256", "pcm_sha256", *SPAN, "model_version"]
"""What has to be known of a case to tell what else was heard."""


@dataclass(frozen=True)
class Witnesses:
    """What was heard: by the key of a sound or a span, and by case; each a text by model version."""

    heard: Mapping[tuple[Any, ...], Mapping[str, str]]
    proposed: Mapping[str, Mapping[str, str]]

    def of(self, case: Mapping[Any, Any]) -> dict[str, str]:
        """Return what other recognisers made of the sound of a case (its columns `ASKED`), by model version."""
        spans = self.heard.get(tuple(case[name] for name in SPAN), {})
        sound = {**self.heard.get((case["audio_sha256"],), {}), **self.heard.get((case["pcm_sha256"],), {})}
        both = {**spans, **sound, **self.proposed.get(case["case_id"], {})}
        return {model: text for model, text in both.items() if family(model) != family(case["model_version"])}

    def of_all(self, cases: pd.DataFrame) -> dict[str, dict[str, str]]:
        """Return `of` each of the cases of which there is any, by case_id."""
        sounds = pd.Series([key[0] for key in self.heard if len(key) == 1], dtype="str")
        takes = pd.Series([key[0] for key in self.heard if len(key) > 1], dtype="str")
        some = among(cases["case_id"], pd.Series(list(self.proposed), dtype="str"))
        some |= among(cases["audio_sha256"], sounds) | among(cases["pcm_sha256"], sounds)
        some |= among(cases["recording_id"], takes)
        rows = zip(*(cases.loc[some, name].tolist() for name in ASKED), strict=True)
        found = ((row[0], self.of(dict(zip(ASKED, row, strict=True)))) for row in rows)
        return {case_id: texts for case_id, texts in found if texts}


def transcripts(found: pd.DataFrame, ranked: pd.DataFrame, hearings: pd.DataFrame | None = None) -> Witnesses:
    """Return what was heard in cases `found`.

    That is, by model version: the transcripts of other cases of the same sound, or of the same span of a
    recording, what models proposed as corrections of the case, and what they heard in it as witnesses (`hearings`).
    What bears the name of the case's own family is no other.
    """
    keep = in_order(found[found["model_version"].notna() & ~found["withdrawn"]], ["case_id"])
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
    columns = (models[name].tolist() for name in ("case_id", "method", "corrected_transcript"))
    for case_id, method, text in zip(*columns, strict=True):
        proposed[case_id][method.removeprefix("model:")] = text
    for row in [] if hearings is None else hearings.sort_values("event_id").to_dict("records"):
        if row["transcript"].strip():
            proposed[row["case_id"]][row["model_version"]] = row["transcript"]
    return Witnesses(heard, proposed)


@cache
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
