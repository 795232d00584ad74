"""Folding: from the log to one row per case. Pure functions: tables in, tables out."""

import numpy as np
import pandas as pd
import pyarrow as pa

from mondegreen.erasures import hash_of
from mondegreen.log import Log
from mondegreen.tables import among, each_of, in_order, place

TIERS = {"rule": 0, "model": 1, "manual": 2, "user_feedback": 2}
"""How much a correction's method counts: a person's beats a model's, a model's beats a rule's, whenever it was made."""

BAD_AUDIO = "a person said that it is bad"
"""The `audio_error` of a case whose audio a person refused."""

_HUMAN = 2
_ORDER = ["recorded_at", "event_id"]
_WINNER = {
    "corrected_transcript": "corrected_transcript",
    "method": "correction_method",
    "author": "correction_author",
    "recorded_at": "corrected_at",
    "is_speech": "corrected_is_speech",
}


def rank(log: Log) -> pd.DataFrame:
    """Return every correction ever made, each case's from the least to the best: by tier, time, event_id.

    `undone` marks those that a later event took back, which come first, `won` the last of each case that stands;
    `known_case` is False where no batch holds the case (yet): it is kept.
    """
    found = log["correction"]
    tier = each_of(found["method"], lambda method: TIERS[method.split(":")[0]])
    undone = among(found["event_id"], log["review"]["undoes"])
    ranked = found.assign(tier=tier.mask(undone, -1), undone=undone)
    ranked = in_order(ranked, ["case_id", "tier", *_ORDER], ignore_index=True)
    return ranked.assign(
        won=~ranked.duplicated("case_id", keep="last") & ~ranked["undone"],
        known_case=among(ranked["case_id"], log["failure"]["case_id"]),
    )


def standing(reviews: pd.DataFrame) -> pd.DataFrame:
    """Return the decisions of reviewers that nobody took back: skip, unsure, bad_audio."""
    return reviews[(reviews["decision"] != "undo") & ~among(reviews["event_id"], reviews["undoes"])]


def known_withdrawals(log: Log) -> pd.Series:
    """Return, for each withdrawal, whether its case or speaker is in the log (yet), or was erased from it."""
    gone = log["withdrawal"]
    if gone.empty:
        return pd.Series(False, index=gone.index)
    spoken = [log["failure"], *(log[kind].assign(case_id=log[kind]["event_id"]) for kind in ("inference", "utterance"))]
    ids, speakers = (pd.concat([part[name] for part in spoken]) for name in ("case_id", "speaker_id"))
    erased = among(gone["case_id"].fillna(gone["speaker_id"]).map(hash_of).astype("str"), log["erasure"]["asked"])
    return among(gone["case_id"], ids) | among(gone["speaker_id"], speakers) | erased


def withdrawn(cases: pd.DataFrame, log: Log) -> pd.Series:
    """Return whose consent was withdrawn, case by case or by speaker."""
    gone = log["withdrawal"]
    return among(cases["case_id"], gone["case_id"]) | among(cases["speaker_id"], gone["speaker_id"])


def fold(log: Log, ranked: pd.DataFrame, audio: pa.Table) -> pd.DataFrame:
    """Return one row per case, sorted by case_id, without the measures of its errors.

    `ranked` are the corrections in their order, `audio` is the packs' index (`mondegreen.batches.audio_index`).
    Of two failures with one case_id the later stands. A case that nobody corrected has no corrected_transcript.
    """
    failures = in_order(log["failure"], ["case_id", *_ORDER]).drop_duplicates("case_id", keep="last")
    winners = ranked.loc[ranked["won"], ["case_id", *_WINNER]].rename(columns=_WINNER)
    cases = failures.merge(sound(audio), on="audio_sha256", how="left").merge(winners, on="case_id", how="left")
    clip = cases["frames"].astype("Float64") / cases["sample_rate"].astype("Float64")
    stated = (cases["end"] - cases["start"]).where(cases["end"] > cases["start"])
    return cases.assign(
        duration=clip.astype("float64").fillna(stated),
        is_speech=cases["corrected_is_speech"].fillna(cases["is_speech"]),
        audio_error=cases["audio_error"].mask(among(cases["case_id"], _refused(log, ranked)), BAD_AUDIO),
        correction_count=_per_case(cases, ranked.loc[~ranked["undone"], "case_id"]),
        conflicting_corrections=_per_case(cases, *_conflicts(ranked)),
        withdrawn=withdrawn(cases, log),
    )


def _conflicts(ranked: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return cases, and how many different texts their human correctors stand by, beyond the first.

    0: they agree, or more than half of them stand by the best: a third look has settled it.
    """
    human = ranked.loc[ranked["tier"] == _HUMAN, ["case_id", "author", "corrected_transcript"]]
    human = human[human.duplicated("case_id", keep=False)]  # who is alone agrees
    human = human.drop_duplicates(["case_id", "author"], keep="last")
    texts = human.assign(text=human["corrected_transcript"].str.split().str.join(" "))
    texts["holders"] = texts.groupby(["case_id", "text"])["text"].transform("size")
    found = texts.groupby("case_id").agg(texts=("text", "nunique"), best=("holders", "last"), people=("text", "size"))
    further = (found["texts"] - 1).mask(2 * found["best"] > found["people"], 0)
    return further.index.to_series(), further


def _refused(log: Log, ranked: pd.DataFrame) -> pd.Series:
    """Return the case_ids whose audio somebody calls bad, and has not corrected since."""
    reviews = standing(log["review"])
    reviews = reviews[reviews["decision"] != "skip"]
    human = ranked[(ranked["tier"] == _HUMAN) & among(ranked["case_id"], reviews["case_id"])].assign(
        decision="correction"
    )
    said = pd.concat([frame[["case_id", "author", "decision", *_ORDER]] for frame in (reviews, human)])
    last = said.sort_values(_ORDER).drop_duplicates(["case_id", "author"], keep="last")
    return last.loc[last["decision"] == "bad_audio", "case_id"]


def _per_case(cases: pd.DataFrame, case_ids: pd.Series, counts: pd.Series | None = None) -> pd.Series:
    """Return for each case the sum of `counts` (None: one each) over its `case_ids`; those of no case don't count."""
    at, known = place(case_ids, cases["case_id"])
    weights = None if counts is None else counts.to_numpy()[known]
    return pd.Series(np.bincount(at[known], weights, len(cases)), index=cases.index).astype("int32")


def sound(audio: pa.Table) -> pd.DataFrame:
    """Return the packs' index, one row per clip."""
    kinds = {pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}
    frame: pd.DataFrame = audio.drop_columns(["ext"]).to_pandas(types_mapper=kinds.get)
    return frame.drop_duplicates("sha256").rename(columns={"sha256": "audio_sha256", "error": "audio_error"})
