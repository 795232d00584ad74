"""The audit: the exported dataset read back as a user reads it, and everything about it checked anew from its bytes.

It is read through `datasets`, streamed, so that no copy lands in a cache; every clip is decoded and hashed.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Audio, Features, IterableDatasetDict, load_dataset
from datasets.exceptions import DatasetsError
from rapidfuzz.distance import Levenshtein
from yaml import YAMLError  # `datasets` reads the card with it

from mondegreen import audio
from mondegreen.dataset import ROW_GROUP_BYTES, features, shard_name, split_order
from mondegreen.executor import spread
from mondegreen.methods import by_people
from mondegreen.schemas import AUGMENTED, FAILURE, REPLAY, RETENTION, UNLABELLED
from mondegreen.tables import DIGITS, among, pieces, rounded
from mondegreen.text import NORMALISERS, heeds, normalise

LISTED = 20
"""How many examples are kept of each kind of problem; the totals are exact."""

PROBLEMS = {
    "unreadable": "cannot be read back",
    "wrong_files": "files that are missing or do not belong there",
    "wrong_columns": "columns, types or features other than they should be",
    "wrong_count": "row counts other than expected or than the card says",
    "missing_case": "cases that were to be exported and are not there",
    "unexpected_case": "cases that were not to be exported",
    "wrong_split": "cases in another split than assigned",
    "changed_case": "cases with other values than were to be exported",
    "changed_audio": "cases with other audio than was recorded",
    "undecodable_audio": "cases whose audio is missing, empty or cannot be decoded",
    "wrong_duration": "cases whose duration is not the length of their audio",
    "implausible_duration": "cases whose audio is too short or too long",
    "clipped_copy": "copies that reach full scale",
    "stray_row": "copies or replayed speech where only failures belong, failures in retention, copies without a parent",
    "empty_text": "cases of speech without a text",
    "machine_corrected": "cases of validation or test that no person corrected",
    "wrong_wer": "cases whose wer is not that of their texts",
    "duplicate_case": "case_ids of more than one row",
    "duplicate_audio": "sounds of more than one row",
    "duplicate_pair": "pairs of texts in more than one row",
    "shared_speaker": "speakers in more than one split",
    "shared_recording": "recordings in more than one split",
    "shared_audio": "sounds in more than one split",
    "shared_text": "long texts in more than one split",
}
"""Every kind of problem and its meaning."""

DURATION_TOLERANCE = 0.01  # seconds
_SAME = {
    "text": "corrected_transcript",
    **{name: name for name in ("original_transcript", "speaker_id", "recording_id", "language", "model_version")},
    **{name: name for name in ("correction_method", "error_score", "duration", "wer")},
    **{name: name for name in ("origin", "parent_case_id", "augmentation")},
}
EXPECTED = ("case_id", "split", "audio_sha256", "is_speech", "error_types", "detected_error_types", *_SAME.values())
"""The columns of splits.parquet that the dataset is compared with."""
_SHARD = re.compile(r"(?P<split>\w+)-\d{5}-of-(?P<count>\d{5})\.parquet")
_READ_ERRORS = (OSError, ValueError, pa.ArrowException, DatasetsError)
_HEARD = ["audio_sha256", "sample_rate", "frames", "pcm_sha256", "error", "peak"]
_MOST_ROWS = 1000
_PIECE = 50_000
"""Rows whose texts a worker judges at once: about a second's work."""
_TEXTS = pa.schema([(name, pa.string()) for name in ("text", "original_transcript", "language")])
_JUDGED = pa.schema(
    [("word_errors", pa.int64()), ("reference_words", pa.int64()), ("long_text", pa.string()), ("pair", pa.string())]
)


@dataclass(frozen=True)
class AuditReport:
    """The result: `metrics` for metrics/dataset.json, and one line per kind of problem found."""

    metrics: dict[str, Any]
    problems: list[str]

    @property
    def passed(self) -> bool:
        """Return whether no problem was found."""
        return not self.problems


@dataclass
class _Findings:
    """What was found so far: exact counts, some examples."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROBLEMS, 0))
    examples: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in PROBLEMS})

    def add(self, kind: str, found: Iterable[object]) -> None:
        for example in found:
            self.counts[kind] += 1
            if self.counts[kind] <= LISTED:
                self.examples[kind].append(str(example)[:200])

    def lines(self) -> list[str]:
        return [
            f"{kind}: {count} {PROBLEMS[kind]}: {'; '.join(self.examples[kind])}{'; …' if count > LISTED else ''}"
            for kind, count in self.counts.items()
            if count
        ]


def audit(
    folder: Path,
    expected: pd.DataFrame,
    *,
    require_audio: bool,
    normaliser: str,
    min_shared_words: int,
    min_duration: float,
    max_duration: float,
    advance: Callable[[int], object] = lambda rows: None,
) -> AuditReport:
    """Read the dataset in `folder` and compare it with the `expected` rows (`EXPECTED`, columns of splits.parquet).

    Durations are seconds; a text of at least `min_shared_words` normalised words must not be in two splits.
    `advance` is told how many more rows were read. Never raises for a bad dataset: whatever is wrong is among the
    report's problems.
    """
    findings = _Findings()
    shards = _check_files(folder, require_audio, findings)
    size = sum(shard.stat().st_size for shard in shards)
    step = max(1, min(_MOST_ROWS, ROW_GROUP_BYTES * sum(shards.values()) // max(size, 1)))
    rows, said = _read(folder, step, require_audio, findings, advance)
    rows = rows.join(_judged(rows, normaliser, min_shared_words))
    _check_counts(rows, expected, said, findings)
    _check_cases(rows, expected, findings)
    _check_texts(rows, expected, findings)
    _check_copies(rows, findings)
    if require_audio:
        _check_audio(rows, expected, min_duration, max_duration, findings)
    _check_unique(rows, require_audio, findings)
    splits = split_order([*expected["split"].unique(), *rows["split"].unique()])
    return AuditReport(_metrics(rows, splits, size, findings), findings.lines())


def _check_files(folder: Path, require_audio: bool, findings: _Findings) -> dict[Path, int]:
    """Return the shards and their rows; their names must be a whole sequence per split, their schema the dataset's."""
    shards = sorted((folder / "data").glob("*.parquet"))
    names = {shard.name for shard in shards}
    counts = {match["split"]: int(match["count"]) for match in map(_SHARD.fullmatch, sorted(names)) if match}
    whole = {shard_name(split, number, count) for split, count in counts.items() for number in range(count)}
    strange = {path.name for path in (folder / "data").glob("*")} - names
    strange |= {path.name for path in folder.glob("*")} ^ {"README.md", "data"}
    findings.add("wrong_files", sorted((names ^ whole) | strange))
    schema = features(require_audio=require_audio).arrow_schema
    rows = dict.fromkeys(shards, 0)
    for shard in shards:
        try:
            found = pq.read_metadata(shard)
        except _READ_ERRORS as error:
            findings.add("unreadable", [f"{shard.name}: {error}"])
            continue
        rows[shard] = found.num_rows
        columns = found.schema.to_arrow_schema()
        if not columns.equals(schema) or columns.metadata != schema.metadata:
            findings.add("wrong_columns", [shard.name])
    return rows


def _read(
    folder: Path, step: int, require_audio: bool, findings: _Findings, advance: Callable[[int], object]
) -> tuple[pd.DataFrame, dict[str, int | None]]:
    """Return all rows (all columns but the audio, `split`, and what `_hear` returns) and the counts of the card."""
    wanted = features(require_audio=require_audio)
    names = [name for name in wanted if name != "audio"]
    columns = pa.schema([*(wanted.arrow_schema.field(name) for name in names), pa.field("split", pa.string())])
    tables = [columns.empty_table()]
    heard: list[dict[str, Any]] = []
    said: dict[str, int | None] = {}

    def clips() -> Iterator[Any]:
        for split, batch in _batches(folder, step, wanted, said, findings):
            texts = batch.select(names).append_column("split", pa.array([split] * len(batch), pa.string()))
            tables.append(texts.replace_schema_metadata())
            advance(len(batch))
            yield pc.struct_field(batch["audio"], "bytes") if require_audio else []

    for found in spread(_hear, clips(), engine="local", threads=True):
        heard += found
    rows = pa.concat_tables(tables).to_pandas()
    return rows.join(pd.DataFrame(heard, columns=_HEARD, dtype=object)), said


def _batches(
    folder: Path, size: int, wanted: Features, said: dict[str, int | None], findings: _Findings
) -> Iterator[tuple[str, pa.Table]]:
    """Yield (split, `size` rows) as `datasets` reads them; fill in what the card says."""
    with tempfile.TemporaryDirectory() as cache:
        for split, stream in _streams(folder, cache, findings).items():
            info = (stream.info.splits or {}).get(split)
            said[split] = info.num_examples if info else None
            if stream.features != wanted:
                findings.add("wrong_columns", [f"{split}, as the card has it"])
                continue
            if "audio" in wanted:
                stream = stream.cast_column("audio", Audio(decode=False))
            try:
                for batch in stream.with_format("arrow").iter(size):
                    yield split, batch
            except _READ_ERRORS as error:
                findings.add("unreadable", [f"{split}: {error}"])


def _streams(folder: Path, cache: str, findings: _Findings) -> IterableDatasetDict:
    try:
        return load_dataset(str(folder.resolve()), streaming=True, cache_dir=cache)
    except (*_READ_ERRORS, YAMLError) as error:
        findings.add("unreadable", [error])
        return IterableDatasetDict()


def _hear(clips: Iterable[pa.Scalar]) -> list[dict[str, Any]]:
    """Decode and hash clips; the result has the columns `_HEARD`."""
    found = []
    for clip in clips:
        data = clip.as_py()
        probe = audio.probe(data) if data else audio.Probe(error="holds no bytes")
        sha256 = hashlib.sha256(data).hexdigest() if data else None
        found.append({"audio_sha256": sha256} | {name: getattr(probe, name) for name in _HEARD[1:]})
    return found


def _check_counts(rows: pd.DataFrame, expected: pd.DataFrame, said: dict[str, int | None], findings: _Findings) -> None:
    wanted, read = expected["split"].value_counts(), rows["split"].value_counts()
    for split in split_order([*wanted.index, *read.index, *said]):
        counts = [int(wanted.get(split, 0)), int(read.get(split, 0)), said.get(split)]
        if len(set(counts)) > 1:
            findings.add("wrong_count", ["{}: {} expected, {} read, {} in the card".format(split, *counts)])


def _check_cases(rows: pd.DataFrame, expected: pd.DataFrame, findings: _Findings) -> None:
    """Compare what was read with what was to be exported, case by case."""
    findings.add("missing_case", sorted(_not_among(expected["case_id"], rows["case_id"])))
    findings.add("unexpected_case", sorted(map(str, _not_among(rows["case_id"], expected["case_id"]))))
    pairs = rows.merge(expected, on="case_id", suffixes=("", "_expected"))
    cases = pairs["case_id"]
    findings.add("wrong_split", cases[pairs["split"] != pairs["split_expected"]])
    for name, source in _SAME.items():
        wanted = pairs[f"{source}_expected" if f"{source}_expected" in pairs else source]
        same = (pairs[name] == wanted) | (pairs[name].isna() & wanted.isna())
        findings.add("changed_case", cases[~same.astype(bool)] + f" ({name})")
    labels = zip(pairs["error_types"], pairs["error_types_expected"], pairs["detected_error_types"], strict=True)
    other = [list(found) != sorted({*own, *detected}) for found, own, detected in labels]
    findings.add("changed_case", cases[np.array(other, dtype=bool)] + " (error_types)")


def _not_among(values: pd.Series, others: pd.Series) -> set[Any]:
    return set(values[~among(values, others)])


def _check_texts(rows: pd.DataFrame, expected: pd.DataFrame, findings: _Findings) -> None:
    silent = expected.loc[expected["is_speech"].eq(False).fillna(False).astype(bool), "case_id"]
    empty = rows["text"].fillna("").str.strip() == ""
    wanted = rows["split"] != UNLABELLED
    findings.add("empty_text", rows.loc[empty & wanted & ~among(rows["case_id"], silent), "case_id"])
    evaluated = ~rows["split"].isin(["train", UNLABELLED, RETENTION])
    findings.add("machine_corrected", rows.loc[evaluated & ~by_people(rows["correction_method"]), "case_id"])
    measured = (rows["reference_words"] > 0) & rows["original_transcript"].notna()
    wer = (rows["word_errors"] / rows["reference_words"].where(measured)).round(DIGITS)
    same = ((wer - rows["wer"]).abs() < 2 * 10**-DIGITS) | (wer.isna() & rows["wer"].isna())
    findings.add("wrong_wer", rows.loc[~same, "case_id"])


def _check_copies(rows: pd.DataFrame, findings: _Findings) -> None:
    """Look for copies that strayed or are clipped; that each differs from its parent, `_check_unique` tells."""
    copies = rows[rows["origin"] == AUGMENTED]
    parents = rows.loc[(rows["split"] == "train") & (rows["origin"] == FAILURE), "case_id"]
    apart = (copies["split"] != "train") | ~among(copies["parent_case_id"], parents)
    findings.add("stray_row", copies.loc[apart, "case_id"])
    replayed = rows["origin"] == REPLAY
    strays = (replayed & ~rows["split"].isin(("train", RETENTION))) | (~replayed & (rows["split"] == RETENTION))
    findings.add("stray_row", rows.loc[strays, "case_id"])
    findings.add("clipped_copy", copies.loc[copies["peak"].astype("float64") > audio.PEAK, "case_id"])


def _check_audio(
    rows: pd.DataFrame, expected: pd.DataFrame, min_duration: float, max_duration: float, findings: _Findings
) -> None:
    recorded = rows["case_id"].map(expected.drop_duplicates("case_id").set_index("case_id")["audio_sha256"])
    findings.add("changed_audio", rows.loc[recorded.notna() & (recorded != rows["audio_sha256"]), "case_id"])
    bad = rows["error"].notna()
    findings.add("undecodable_audio", rows.loc[bad, "case_id"] + ": " + rows.loc[bad, "error"])
    seconds = _seconds(rows)[~bad]
    wrong = ~((seconds - rows["duration"][~bad]).abs() <= DURATION_TOLERANCE)
    findings.add("wrong_duration", rows["case_id"][~bad][wrong])
    findings.add("implausible_duration", rows["case_id"][~bad][~seconds.between(min_duration, max_duration)])


def _check_unique(rows: pd.DataFrame, require_audio: bool, findings: _Findings) -> None:
    """Look for what lies in more than one row, or in more than one split."""
    for kind, key in {"duplicate_case": "case_id", "duplicate_audio": "pcm_sha256"}.items():
        repeated = rows.loc[rows.duplicated(key, keep=False) & rows[key].notna(), ["case_id", "pcm_sha256"]]
        findings.add(kind, (", ".join(found) for _, found in repeated.groupby(key)["case_id"]))
    keys = {"speaker": rows["speaker_id"], "recording": rows["recording_id"], "audio": rows["pcm_sha256"]}
    keys["text"] = rows["long_text"]
    if not require_audio:
        pair = rows.loc[rows["split"] != UNLABELLED, "pair"]
        repeated = rows.loc[pair.index[pair.duplicated(keep=False)], ["case_id"]]
        findings.add("duplicate_pair", (", ".join(found) for _, found in repeated.groupby(pair)["case_id"]))
    side = rows["split"].replace(UNLABELLED, "train")  # who trains on both may meet a speaker in both
    for name, values in keys.items():
        pairs = pd.DataFrame({"key": values, "split": side}).dropna().drop_duplicates()
        pairs = pairs[pairs["key"].str.strip() != ""]
        spanning = pairs[pairs.duplicated("key", keep=False)].groupby("key")["split"]
        findings.add(f"shared_{name}", (f"{value} ({', '.join(sorted(found))})" for value, found in spanning))


def _judged(rows: pd.DataFrame, normaliser: str, min_shared_words: int) -> pd.DataFrame:
    """Return what the texts of each row say, made anew from them on all cores; see `_judge`."""
    texts = pa.Table.from_pandas(rows[["text", "original_transcript", "language"]], _TEXTS, preserve_index=False)
    judge = partial(_judge, normaliser, min_shared_words)
    found: pd.DataFrame = pa.concat_tables(spread(judge, pieces(texts, _PIECE), engine="local")).to_pandas()
    return found.set_axis(rows.index)


def _judge(normaliser: str, min_shared_words: int, texts: pa.Table) -> pa.Table:
    """Return `word_errors, reference_words` under `normaliser`, `long_text`, null where it is short, and `pair`.

    The last two are what must not be twice (see `components.link_keys` and `traits`).
    """
    fold, plainly = NORMALISERS[normaliser], NORMALISERS["basic-1"]
    columns: tuple[list[Any], ...] = ([], [], [], [])
    for text, original, language in zip(*(column.to_pylist() for column in texts.columns), strict=True):
        reference, heard = both = [fold(each or "", language) for each in (text, original)]
        if fold is not plainly or (language and heeds(language)):
            both = [normalise(each or "") for each in (text, original)]
        words = reference.split()
        long = both[0] if len(both[0].split()) >= min_shared_words else None
        row = (Levenshtein.distance(words, heard.split()), len(words), long, f"{both[1]}\n{both[0]}")
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return pa.table(dict(zip(_JUDGED.names, columns, strict=True)), schema=_JUDGED)


def _seconds(rows: pd.DataFrame) -> pd.Series:
    """Return the decoded length of each clip; without audio, what the row says."""
    seconds = (rows["frames"].astype("float64") / rows["sample_rate"].astype("float64")).round(DIGITS)
    return seconds.fillna(rows["duration"].astype("float64"))


def _metrics(rows: pd.DataFrame, splits: list[str], size: int, findings: _Findings) -> dict[str, Any]:
    identity = rows["pcm_sha256"].fillna(rows["case_id"])
    single = ~(identity.duplicated(keep=False) | rows["case_id"].duplicated(keep=False))
    groups = rows.assign(seconds=_seconds(rows)).groupby("split")
    failures = rows[rows["origin"] == FAILURE]  # what the recogniser heard
    spoken = failures[failures["reference_words"] > 0].groupby("split")[["word_errors", "reference_words"]].sum()
    per_split = {
        "rows": groups.size(),
        "hours": groups["seconds"].sum() / 3600,
        "speakers": groups["speaker_id"].nunique(),
        "recordings": groups["recording_id"].nunique(),
    }
    metrics = {
        "passed": not any(findings.counts.values()),
        "problems": {"total": sum(findings.counts.values()), **findings.counts},
        "uniqueness": single.mean() if len(rows) else 0.0,
        "bytes": size,
        **{name: values.reindex(splits, fill_value=0).to_dict() for name, values in per_split.items()},
        "wer": (spoken["word_errors"] / spoken["reference_words"]).to_dict(),
        "origins": rows["origin"].value_counts().to_dict(),
        "languages": rows["language"].fillna("unknown").value_counts().to_dict(),
        "error_types": failures["error_types"].explode().dropna().value_counts().to_dict(),
        "sample_rates": rows["sample_rate"].dropna().value_counts().to_dict(),
    }
    return dict(rounded(metrics))
