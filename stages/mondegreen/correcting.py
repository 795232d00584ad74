"""Correcting without people: the cases that wait for a person, and what a corrector makes of them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from mondegreen import batches, cases, live, witnesses
from mondegreen.correctors import Corrector, Suggestion
from mondegreen.methods import HUMAN, by_people
from mondegreen.rules import FORM
from mondegreen.tables import among
from mondegreen.text import normalise

OUTCOMES = ("suggested", "nothing", "unsure", "same_words")
"""Of a case: a suggestion, none, one below the least confidence, one that changes no word where form does not count."""


def read(root: Path, inbox: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the cases and all corrections as of now, ingested or not (see `cases.fold` and `cases.rank`)."""
    return read_all(root, inbox)[:2]


def read_all(root: Path, inbox: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the cases, all corrections, and what recognisers heard as witnesses, as of now."""
    events = live.read(inbox)
    ranked = cases.rank(events)
    return cases.fold(events, ranked, batches.audio_index(root / "data/raw")), ranked, events["hearing"]


def waiting(found: pd.DataFrame, ranked: pd.DataFrame, method: str | None = None) -> list[dict[str, Any]]:
    """Return the cases with speech that no person has corrected yet, as correctors take them; sorted by case_id.

    With `method` only those that this method has not corrected either.
    """
    done = found["correction_method"].isin(HUMAN) | found["withdrawn"] | ~found["is_speech"].fillna(True).astype(bool)
    if method is not None:
        done |= found["case_id"].isin(ranked.loc[ranked["method"] == method, "case_id"])
    return rows(found, ranked, found.loc[~done, "case_id"])


def rows(found: pd.DataFrame, ranked: pd.DataFrame, case_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return the cases `case_ids` as correctors take them: by column, None for what is missing, with `transcripts`."""
    heard = witnesses.transcripts(found, ranked)
    chosen = found[found["case_id"].isin(set(case_ids))]
    plain = chosen.astype(object).where(chosen.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} | {"transcripts": heard.of(row)} for row in plain]


def unheard(
    found: pd.DataFrame, ranked: pd.DataFrame, hearings: pd.DataFrame, model_version: str
) -> list[dict[str, Any]]:
    """Return the cases with speech that people corrected and `model_version` has not listened to, sorted by case_id.

    Those that its own family misheard are none: of them it could give no second opinion (`witnesses.family`).
    """
    heard = among(found["case_id"], hearings.loc[hearings["model_version"] == model_version, "case_id"])
    asked = by_people(found["correction_method"]) & ~found["withdrawn"] & found["is_speech"].fillna(True).astype(bool)
    relative = found["model_version"].map(witnesses.family) == witnesses.family(model_version)
    return rows(found, ranked, found.loc[asked & ~heard & ~relative, "case_id"])


def said(found: pd.DataFrame) -> list[str]:
    """Return the corrections of people: what a corrector may learn from."""
    texts: list[str] = found.loc[
        by_people(found["correction_method"]) & ~found["withdrawn"], "corrected_transcript"
    ].tolist()
    return texts


def suggest(
    corrector: Corrector,
    queue: Iterable[dict[str, Any]],
    audio: Callable[[dict[str, Any]], bytes | None],
    min_confidence: float = 0.0,
) -> Iterator[tuple[dict[str, Any], Suggestion | None, str]]:
    """Yield each case of `queue` with the corrector's suggestion, if it is one to record, and the outcome.

    A suggestion that changes no word is none where the agent does not say, by an error type such as `all_caps`, that
    form matters: `validate` would reject the case as no failure.
    """
    for case in queue:
        suggestion = corrector.suggest(case, audio(case))
        outcome = "suggested"
        if suggestion is None:
            outcome = "nothing"
        elif suggestion.confidence < min_confidence:
            outcome = "unsure"
        elif _same_words(case, suggestion.text) and not any(map(FORM.search, case["error_types"])):
            outcome = "same_words"
        yield case, suggestion if outcome == "suggested" else None, outcome


def _same_words(case: dict[str, Any], text: str) -> bool:
    language = case["language"]
    return normalise(text, language) == normalise(case["original_transcript"], language)
