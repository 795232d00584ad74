"""The rules that a candidate must meet, each a named check of a Pandera schema.

Three schemas, applied one after the other, each to the rows that passed the one before: what a row says by itself,
whether rows contradict each other, whether they repeat each other. So a duplicate of a bad row is not lost.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from rapidfuzz import fuzz

from mondegreen import params
from mondegreen.cases import BAD_AUDIO
from mondegreen.text import normalise

if TYPE_CHECKING:
    import pandera.pandas as pandera

COMPLETENESS, CONSISTENCY, VALIDITY, UNIQUENESS = "completeness", "consistency", "validity", "uniqueness"
MEASURES = (COMPLETENESS, CONSISTENCY, VALIDITY, UNIQUENESS)

MARKUP = re.compile(r"<[^<>]{1,40}>|\[[^\[\]]{1,40}\]|\{[^{}]{1,40}\}")
"""An annotator's tag: <inaudible>, [laughs], {noise}. It was not said, so it must not be trained on."""

_WORD = re.compile(r"[^\W_]")
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\u202a-\u202e\u2066-\u2069]")
FORM = re.compile(r"caps|casing|case|punct|format", re.IGNORECASE)
"""In the name of an error type: capitals and punctuation matter to the agent, too."""

SIMILAR = 70
"""Texts of one take at least this alike (0..100, `rapidfuzz.fuzz.ratio`) are two readings of it, not two utterances."""

_MAX_READINGS = 8
"""More different texts than this under one recording_id are a conversation, not readings of one take."""


@dataclass(frozen=True)
class Rule:
    """A rule: which measure it counts for (None: it is no defect), and what to do about a row that breaks it."""

    measure: str | None
    meaning: str
    remedy: str


RULES = {
    "missing_audio": Rule(
        COMPLETENESS, "no audio was recorded", "look for it under source_path, record the case again"
    ),
    "audio_lost": Rule(
        COMPLETENESS,
        "its audio is in no batch",
        "restore its batch: dvc checkout",
    ),
    "missing_text": Rule(COMPLETENESS, "the correction is empty, yet is_speech is not false", "correct it"),
    "undecodable_audio": Rule(VALIDITY, "the audio cannot be decoded", "see audio_error; convert it and record again"),
    "bad_audio": Rule(VALIDITY, "a person said that the audio is bad", "nothing to do: its case stays out"),
    "too_short": Rule(VALIDITY, "shorter than validate.min_duration", "check start and end, or the audio"),
    "too_long": Rule(VALIDITY, "longer than validate.max_duration", "cut it into utterances, or raise the limit"),
    "low_sample_rate": Rule(VALIDITY, "sampled below validate.min_sample_rate", "record at a higher rate"),
    "markup_in_text": Rule(VALIDITY, "the correction holds a tag such as <inaudible>", "correct it to what was said"),
    "no_words": Rule(VALIDITY, "the correction holds no letter or digit", "correct it, or mark it as no speech"),
    "unreadable_text": Rule(VALIDITY, "the correction holds control or replacement characters", "correct it"),
    "too_many_characters": Rule(VALIDITY, "the correction is over validate.max_characters", "cut it into utterances"),
    "not_a_failure": Rule(
        CONSISTENCY,
        "the recogniser was right but for capitals and punctuation",
        "record it as an inference; name an error type such as 'all_caps' where form matters",
    ),
    "confirmed": Rule(None, "a correction confirmed that the recogniser was right", "nothing to do"),
    "end_before_start": Rule(CONSISTENCY, "end is not after start", "mend the recorder's times"),
    "duration_mismatch": Rule(CONSISTENCY, "end - start differs from the audio's length", "mend start and end"),
    "implausible_rate": Rule(CONSISTENCY, "more words per second than people say", "check text, start and end"),
    "corrected_too_early": Rule(CONSISTENCY, "corrected before it was recorded", "set the clocks; see clock_skew"),
    "text_without_speech": Rule(CONSISTENCY, "marked as no speech, yet the correction has text", "correct it"),
    "conflicting_reference": Rule(CONSISTENCY, "one sound has different corrections", "decide which one is right"),
    "duplicate_audio": Rule(UNIQUENESS, "the same sound as a newer case", "nothing to do: the newest stays"),
    "duplicate_utterance": Rule(UNIQUENESS, "the same utterance and transcript as a newer case", "nothing to do"),
}
"""Every reason a candidate can be rejected for."""


def schemas(
    settings: params.Validate, *, require_audio: bool, failures: bool = True
) -> "list[pandera.DataFrameSchema]":
    """Return the schemas in the order in which they are applied; all of them hold for the rows that passed.

    Without `require_audio` pairs of texts are exported: then what is wrong with the audio is no reason. Without
    `failures` that the recogniser was right is none.
    """
    return [
        _schema(_row_rules(settings, require_audio, failures)),
        _schema({"conflicting_reference": lambda rows: ~_conflicting(rows)}),
        _schema(
            {
                "duplicate_audio": lambda rows: ~_repeated(rows, ["pcm_sha256"]) | (not require_audio),
                "duplicate_utterance": lambda rows: ~_repeated(rows, UTTERANCE) | require_audio,
            }
        ),
    ]


_SPAN = ["recording_id", "speaker_id", "start", "end"]
UTTERANCE = ["recording_id", "start", "end", "model_version", "original_transcript"]
"""What makes two rows the same utterance where no audio is asked for."""

_Holds = Callable[[pd.DataFrame], pd.Series]


def _schema(rules: dict[str, _Holds]) -> "pandera.DataFrameSchema":
    import pandera.pandas as pandera

    checks = [pandera.Check(holds, name=name, error=RULES[name].meaning) for name, holds in rules.items()]
    return pandera.DataFrameSchema(checks=checks)


def _row_rules(settings: params.Validate, require_audio: bool, failures: bool) -> dict[str, _Holds]:
    """Return the rules of a row by itself; each is a function of the table that is True where the rule holds."""

    def stated(rows: pd.DataFrame) -> pd.Series:
        return rows["end"] - rows["start"]

    def blank(rows: pd.DataFrame) -> pd.Series:
        return rows["corrected_transcript"].str.strip() == ""

    def silent(rows: pd.DataFrame) -> pd.Series:
        return ~rows["is_speech"].fillna(True).astype(bool)

    def seconds(rows: pd.DataFrame) -> pd.Series:
        """Length of the audio; without audio, times as they were stated, which are only as exact as the tolerance."""
        return rows["duration"] + settings.duration_tolerance * rows["frames"].isna()

    def off(rows: pd.DataFrame) -> pd.Series:
        return (rows["duration"] - stated(rows)).abs().where(rows["frames"].notna(), 0)

    rate = settings.max_words_per_second
    skew = pd.Timedelta(seconds=settings.clock_skew)
    return {
        "missing_audio": lambda rows: rows["audio_sha256"].notna() | (not require_audio),
        "audio_lost": lambda rows: (
            rows["audio_sha256"].isna() | rows["frames"].notna() | rows["audio_error"].notna() | (not require_audio)
        ),
        "missing_text": lambda rows: ~blank(rows) | silent(rows),
        "undecodable_audio": lambda rows: (
            rows["audio_error"].isna() | (rows["audio_error"] == BAD_AUDIO) | (not require_audio)
        ),
        "bad_audio": lambda rows: (rows["audio_error"] != BAD_AUDIO).fillna(True) | (not require_audio),
        "too_short": lambda rows: ~(rows["duration"] < settings.min_duration) | (not require_audio),
        "too_long": lambda rows: ~(rows["duration"] > settings.max_duration),
        "low_sample_rate": lambda rows: (
            ~(rows["sample_rate"] < settings.min_sample_rate).fillna(False) | (not require_audio)
        ),
        "markup_in_text": lambda rows: ~rows["corrected_transcript"].str.contains(MARKUP.pattern),
        "no_words": lambda rows: _has_words(rows["corrected_transcript"]) | blank(rows),
        "unreadable_text": lambda rows: ~rows["corrected_transcript"].str.contains(_UNREADABLE.pattern),
        "too_many_characters": lambda rows: rows["corrected_transcript"].str.len() <= settings.max_characters,
        "not_a_failure": lambda rows: ~_no_failure(rows) | (not failures),
        "confirmed": lambda rows: ~_confirmed(rows) | (not failures),
        "end_before_start": lambda rows: ~(stated(rows) <= 0),
        "duration_mismatch": lambda rows: ~(off(rows) > settings.duration_tolerance) | (not require_audio),
        "implausible_rate": lambda rows: ~(rows["reference_words"].astype("float64") > rate * seconds(rows)),
        "corrected_too_early": lambda rows: ~(rows["corrected_at"] < rows["recorded_at"] - skew),
        "text_without_speech": lambda rows: ~silent(rows) | blank(rows),
    }


def _has_words(texts: pd.Series) -> pd.Series:
    plain = texts.str.contains("[A-Za-z0-9]") & ~texts.str.contains(MARKUP.pattern)
    rest = texts[~plain].str.replace(MARKUP, " ", regex=True).str.contains(_WORD)
    return rest.reindex(texts.index, fill_value=True)


def _no_failure(rows: pd.DataFrame) -> pd.Series:
    """Return where the texts differ in capitals and punctuation only, and the agent did not mean its form."""
    edits = rows[["substitutions", "deletions", "insertions"]].sum(axis=1)
    right = (edits == 0).astype(bool) & ~_confirmed(rows)
    meant = rows.loc[right, "error_types"].map(lambda labels: any(FORM.search(label) for label in labels))
    right[right] = ~meant.astype(bool)
    return right


def _confirmed(rows: pd.DataFrame) -> pd.Series:
    return rows["corrected_transcript"] == rows["original_transcript"]


def _conflicting(rows: pd.DataFrame) -> pd.Series:
    """Return where one sound has several texts: one audio, one span of a recording, or one take without either."""
    audio = rows[["pcm_sha256"]]
    bare = rows["pcm_sha256"].isna()
    spans = rows[_SPAN].where(bare & rows["start"].notna() & rows["recording_id"].notna())
    takes = rows[["recording_id"]].where(bare & rows["start"].isna())
    shared = _shared(audio) | _shared(spans.drop(columns="speaker_id")) | _shared(takes)
    text = rows.loc[shared, "corrected_transcript"].map(normalise)
    text = text.str.replace("'", "")  # "what's" and "whats" are one reading
    audio, spans, takes = audio[shared], spans[shared], takes[shared]
    found = (
        _several(text, audio)
        | _several(text, spans, optional="speaker_id")
        | (_several(text, takes) & _alike(text, takes["recording_id"]))
    )
    return found.reindex(rows.index, fill_value=False)


def _shared(keys: pd.DataFrame) -> pd.Series:
    """Return where another row has the same key, none of it missing."""
    return keys.duplicated(keep=False) & keys.notna().all(axis=1)


def _several(text: pd.Series, keys: pd.DataFrame, optional: str | None = None) -> pd.Series:
    """Return where the rows of one key (none of it missing) have more than one text."""
    names = list(keys.columns)
    known = keys.drop(columns=optional or []).notna().all(axis=1)
    if not known.any():
        return pd.Series(False, index=text.index)
    counts = keys[known].assign(text=text[known]).groupby(names, dropna=False)["text"].transform("nunique")
    return counts.reindex(text.index, fill_value=1) > 1


def _alike(text: pd.Series, take: pd.Series) -> pd.Series:
    """Return where all texts of a take are so alike that they must be readings of one utterance."""
    readings = text.groupby(take).unique()
    few = readings[readings.map(len).between(2, _MAX_READINGS)]
    same = few.map(lambda found: all(fuzz.ratio(found[0], other) >= SIMILAR for other in found[1:]))
    return take.isin(same[same.astype(bool)].index)


def _repeated(rows: pd.DataFrame, key: list[str]) -> pd.Series:
    """Return where a newer row has the same key; a key with a part missing is no key."""
    shared = rows.loc[_shared(rows[key]), [*key, "recorded_at", "event_id"]].sort_values(["recorded_at", "event_id"])
    return shared.duplicated(key, keep="last").reindex(rows.index, fill_value=False)
