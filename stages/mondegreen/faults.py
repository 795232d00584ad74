"""Faults: what is wrong with the rows of one shard by themselves, and beside the rows that were to be exported.

They are a function of the shard's reading and of those rows alone; what spans shards is `auditing`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import audio
from mondegreen.methods import HUMAN
from mondegreen.portions import Portion, error_types
from mondegreen.schemas import AUGMENTED, RETENTION, SPLITS, UNLABELLED
from mondegreen.tables import DIGITS

DURATION_TOLERANCE = 0.01  # seconds
_SAME = {
    "text": "corrected_transcript",
    **{name: name for name in ("original_transcript", "speaker_id", "recording_id", "language", "model_version")},
    **{name: name for name in ("correction_method", "error_score", "duration", "wer")},
    **{name: name for name in ("origin", "parent_case_id", "augmentation")},
}
EXPECTED = ("case_id", "split", "audio_sha256", "is_speech", "error_types", "detected_error_types", *_SAME.values())
"""The columns of splits.parquet that the dataset is compared with."""
FAULTS = pa.schema([("kind", pa.string()), ("example", pa.string())])


@dataclass(frozen=True)
class Limits:
    """What a clip may last, in seconds, and whether there are clips at all."""

    require_audio: bool
    min_duration: float
    max_duration: float


def of_each(limits: Limits, piece: tuple[Sequence[tuple[str, pa.Table]], Sequence[Portion]]) -> list[pa.Table]:
    """Return every fault (`FAULTS`) of some shards, each a split and a reading; the portions hold all their cases."""
    shards, portions = piece
    nothing = pa.schema([SPLITS.arrow.field(name).with_nullable(True) for name in EXPECTED]).empty_table()
    expected = pa.concat_tables([nothing, *(portion.read(EXPECTED).select(EXPECTED) for portion in portions)])
    return [_faults(split, reading.combine_chunks(), expected.combine_chunks(), limits) for split, reading in shards]


def _faults(split: str, rows: pa.Table, expected: pa.Table, limits: Limits) -> pa.Table:
    at = pc.index_in(rows["case_id"], value_set=expected["case_id"].combine_chunks(), skip_nulls=True)
    wanted = expected.take(at)  # null where a case was not to be exported
    known = at.is_valid()
    found = [*_cases(split, rows, wanted, known), *_texts(split, rows, wanted)]
    loud = pc.and_(pc.equal(rows["origin"], AUGMENTED), pc.greater(rows["peak"], audio.PEAK))
    found.append(("clipped_copy", _named(rows, loud)))
    if limits.require_audio:
        found += _sounds(rows, wanted, limits)
    kinds = [pa.repeat(kind, len(examples)) for kind, examples in found]
    return pa.concat_tables(
        pa.table([kind, examples], schema=FAULTS) for kind, (_, examples) in zip(kinds, found, strict=True)
    )


_Found = list[tuple[str, pa.Array]]


def _named(rows: pa.Table, faulty: pa.ChunkedArray, more: str = "") -> pa.Array:
    """Return the cases of the `faulty` rows, null being none, with something `more` behind."""
    return pa.array(
        [f"{case}{more}" for case in rows["case_id"].filter(pc.fill_null(faulty, False)).to_pylist()], pa.string()
    )


def _cases(split: str, rows: pa.Table, wanted: pa.Table, known: pa.ChunkedArray) -> _Found:
    """Compare what was read with what was to be exported, case by case."""
    found: _Found = [("wrong_split", _named(rows, pc.not_equal(wanted["split"], split)))]
    columns = {name: wanted[source] for name, source in _SAME.items()} | {"error_types": error_types(wanted)}
    for name, column in columns.items():
        found.append(("changed_case", _named(rows, pc.and_(known, _differ(rows[name], column)), f" ({name})")))
    return found


def _differ(values: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.Array:
    """Return where values are other than `others`; two nulls are the same."""
    if pa.types.is_list(values.type):
        pairs = zip(values.to_pylist(), others.to_pylist(), strict=True)
        return pa.array([one != other for one, other in pairs], pa.bool_())
    apart = pc.not_equal(values.is_null(), others.is_null())
    return pc.or_(apart, pc.fill_null(pc.not_equal(values, others), False))


def _texts(split: str, rows: pa.Table, wanted: pa.Table) -> _Found:
    found: _Found = []
    if split != UNLABELLED:
        empty = pc.equal(pc.utf8_trim_whitespace(pc.fill_null(rows["text"], "")), "")
        spoken = pc.fill_null(wanted["is_speech"], True)
        found.append(("empty_text", _named(rows, pc.and_(empty, spoken))))
    if split not in ("train", UNLABELLED, RETENTION):
        people = pc.is_in(rows["correction_method"], value_set=pa.array(HUMAN))
        found.append(("machine_corrected", _named(rows, pc.invert(people))))
    errors, words = (rows[name].to_numpy().astype(np.float64) for name in ("word_errors", "reference_words"))
    measured = (words > 0) & rows["original_transcript"].is_valid().to_numpy()
    wer = np.divide(errors, words, out=np.full(len(rows), np.nan), where=measured).round(DIGITS)
    said = rows["wer"].to_numpy()
    same = (np.abs(wer - said) < 2 * 10**-DIGITS) | (np.isnan(wer) & np.isnan(said))
    return [*found, ("wrong_wer", _named(rows, pa.array(~same)))]


def _sounds(rows: pa.Table, wanted: pa.Table, limits: Limits) -> _Found:
    bad = rows["error"].is_valid()
    length = seconds(rows)
    sound = rows["error"].is_null().to_numpy()
    wrong = sound & ~(np.abs(length - rows["duration"].to_numpy()) <= DURATION_TOLERANCE)
    implausible = sound & ~((length >= limits.min_duration) & (length <= limits.max_duration))
    other = pc.and_(wanted["audio_sha256"].is_valid(), _differ(rows["audio_sha256"], wanted["audio_sha256"]))
    why = zip(_named(rows, bad).to_pylist(), rows["error"].filter(bad).to_pylist(), strict=True)
    return [
        ("changed_audio", _named(rows, other)),
        ("undecodable_audio", pa.array([f"{case}: {error}" for case, error in why], pa.string())),
        ("wrong_duration", _named(rows, pa.array(wrong))),
        ("implausible_duration", _named(rows, pa.array(implausible))),
    ]


def seconds(rows: pa.Table) -> npt.NDArray[np.float64]:
    """Return the decoded length of each clip; without audio, what the row says, NaN if it does not."""
    frames, rate, said = (rows[name].to_numpy().astype(np.float64) for name in ("frames", "sample_rate", "duration"))
    length = (frames / rate).round(DIGITS)
    found: npt.NDArray[np.float64] = np.where(np.isnan(length), said, length)
    return found
