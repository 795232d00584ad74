"""Utterances: speech with a known text that is no failure, as rows of cases, to be replayed in training.

They come from `inference` events with audio and a confirmed transcript, and from `utterance` events: what was imported.
"""

import pandas as pd
import pyarrow as pa

from mondegreen.cases import sound, withdrawn
from mondegreen.log import Log
from mondegreen.measuring import measure
from mondegreen.schemas import MEASURES, UTTERANCES

AGENT = "agent"
"""The source of what the agent itself heard; imported collections have their own names."""


def gather(log: Log, audio: pa.Table, normaliser: str) -> pd.DataFrame:
    """Return a row per utterance (`schemas.UTTERANCES`), sorted by case_id, which is the id of its event.

    `audio` is the packs' index. A confirmed transcript is what the recogniser said, too; to an imported one nobody
    listened: it has no original_transcript, and no error rate.
    """
    runs, imported = log["inference"], log["utterance"]
    runs = runs[runs["confirmed_transcript"].notna()].rename(columns={"confirmed_transcript": "corrected_transcript"})
    runs = runs.assign(original_transcript=runs["corrected_transcript"], source=AGENT, correction_method="confirmed")
    imported = imported.rename(columns={"transcript": "corrected_transcript"})
    imported = imported.assign(original_transcript=None, correction_method="given")
    found = pd.concat([part for part in (runs, imported) if len(part)] or [imported], ignore_index=True)
    found = found.sort_values("event_id", ignore_index=True).merge(sound(audio), on="audio_sha256", how="left")
    nothing = pd.Series([[] for _ in range(len(found))], index=found.index, dtype=object)  # type: ignore[var-annotated]
    found = found.assign(
        **_measures(found, normaliser),
        case_id=found["event_id"],
        duration=(found["frames"].astype("Float64") / found["sample_rate"].astype("Float64")).astype("float64"),
        correction_count=0,
        conflicting_corrections=0,
        error_types=nothing,
        detected_error_types=nothing,
    )
    found = found.assign(withdrawn=withdrawn(found, log), corrected_at=found["recorded_at"])
    unknown = dict.fromkeys(name for name in UTTERANCES.arrow.names if name not in found)
    rows: pd.DataFrame = found.assign(**unknown)[UTTERANCES.arrow.names]
    return rows


def _measures(found: pd.DataFrame, normaliser: str) -> dict[str, pd.Series]:
    """Return the columns `MEASURES`: no errors where the recogniser was confirmed, none known where none listened."""
    texts = found["corrected_transcript"].tolist()
    languages = [None if pd.isna(value) else str(value) for value in found["language"]]
    figures = measure(texts, texts, languages, [None] * len(texts), normaliser)
    heard = found["original_transcript"].notna()
    columns = {name: pd.Series(figures[name], index=found.index, dtype="float64") for name in MEASURES}
    return {name: column if "reference" in name else column.where(heard) for name, column in columns.items()}
