"""What to do next: each recommendation follows from one rule, whose threshold stands in params.yaml, `report:`.

A rule is a function that yields nothing, or what it found: {"text": …} and the numbers that the text names. Names that
come from outside stand in backticks in the text.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mondegreen import params
from mondegreen.performance import GROUP
from mondegreen.rules import RULES
from mondegreen.taxonomy import ERROR_TYPES

Found = Iterator[dict[str, Any]]

MISHEARINGS = ERROR_TYPES[:-3]
"""What more cases are asked for, even if none waits; after these come other ways to write the same words."""

_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Material:
    """What rules look at: the report's other parts, the cases that are not withdrawn, the splits, the thresholds."""

    facts: Mapping[str, Any]
    cases: pd.DataFrame
    splits: pd.DataFrame
    settings: params.Report

    @property
    def waiting(self) -> pd.DataFrame:
        """The cases that nobody corrected yet."""
        return self.cases[self.cases["corrected_transcript"].isna()]


def recommend(
    facts: Mapping[str, Any], cases: pd.DataFrame, splits: pd.DataFrame, settings: params.Report
) -> list[dict[str, Any]]:
    """Return what the rules found, most urgent rule first, each as {rule, text, numbers …}."""
    material = Material(facts, cases, splits, settings)
    return [{"rule": name, **found} for name, rule in RECOMMENDATIONS.items() for found in rule(material)]


def _quality_margin(material: Material) -> Found:
    """Yield the measures that are below their threshold, or so near that a few more defects shut the gate."""
    quality = material.facts["data_quality_assessment"]
    candidates = quality["counts"]["candidates"]
    for measure, least in quality["thresholds"].items():
        share = quality["quality_metrics"][measure]
        spare = math.floor((share - least) * candidates + 1e-6)
        numbers = {"measure": measure, "share": share, "threshold": least}
        if share < least:
            yield numbers | {"text": f"Mend the candidates: {measure} is {share:.3f}, its gate stands at {least:g}."}
        elif least < 1 and share - least < material.settings.quality_margin:
            more = spare + 1
            text = f"Watch {measure}, {share:.3f}: {more:,} more of the {candidates:,} candidates with a defect would "
            yield numbers | {"text": f"{text}shut the gate at {least:g}.", "more_defects": more}


def _worse_model(material: Material) -> Found:
    """Yield where the latest model of a known test set has a WER over that of the best before it."""
    for (test_set, normaliser), rows in _by_test_set(material.facts["measurements"]).items():
        if "unknown" in (test_set, normaliser) or len(rows) < 2:
            continue
        latest, best = rows[-1], min(rows[:-1], key=lambda row: float(row["wer"]))
        rise = latest["wer"] - best["wer"]
        if rise > material.settings.max_wer_increase:
            yield {
                "text": f"Compare before you use `{latest['model_version']}`: its WER on test set `{test_set}` is "
                f"{latest['wer']:.1%}, {100 * rise:.1f} points over that of `{best['model_version']}`"
                + (". The intervals overlap, so it may be chance." if overlap(latest, best) else "."),
                "wer": latest["wer"],
                "best_wer": best["wer"],
                "test_set": test_set,
            }


def overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether both measurements have intervals of their WER, and these overlap."""
    ends = [one["wer_low"], one["wer_high"], other["wer_low"], other["wer_high"]]
    return None not in ends and ends[0] <= ends[3] and ends[2] <= ends[1]


def _by_test_set(measurements: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in measurements:
        groups.setdefault((row[GROUP[0]], row[GROUP[1]]), []).append(row)
    return groups


def _low_correction_rate(material: Material) -> Found:
    counts = material.facts["system_statistics"]["data_management"]
    total, rate = counts["total_failed_cases"], counts["correction_rate"]
    wanted = material.settings.min_correction_rate
    more = math.ceil(wanted * total - 1e-9) - counts["corrected_cases"]
    if total and more > 0:
        yield {
            "text": f"Correct {more:,} more {_s(more, 'case')} to reach a correction rate of {wanted:.0%}: it is "
            f"{rate:.1%}, and {counts['uncorrected_cases']:,} wait.",
            "more_cases": more,
            "correction_rate": rate,
            "uncorrected_cases": counts["uncorrected_cases"],
        }


def _waiting_long(material: Material) -> Found:
    """Yield the uncorrected cases that are old, beside the newest case: the report knows no other clock."""
    days, waiting = material.settings.max_waiting_days, material.waiting
    old = waiting[material.cases["recorded_at"].max() - waiting["recorded_at"] > days * _DAY]
    if len(old):
        since = old["recorded_at"].min().date()
        yield {
            "text": f"Correct {len(old):,} {_s(len(old), 'case')} that waited more than {days:g} days when the newest "
            f"was recorded, the oldest since {since}.",
            "cases": len(old),
            "since": str(since),
        }


def _more_of_type(material: Material) -> Found:
    """Yield the error types with too few valid cases: first those of which most uncorrected cases wait.

    Of the agent's own labels, and of those that are no mishearings, only such as wait.
    """
    wanted = material.settings.min_cases_per_type
    few = [
        row
        for row in material.facts["error_types"]
        if row["valid"] < wanted and (row["error_type"] in MISHEARINGS or row["uncorrected"])
    ]
    for row in sorted(few, key=lambda row: (-row["uncorrected"], row["error_type"])):
        more, waiting = wanted - row["valid"], row["uncorrected"]
        wait = (
            f"{waiting:,} uncorrected {_s(waiting, 'one waits', 'ones wait')}"
            if waiting
            else "none that waits is labelled so"
        )
        yield {
            "text": f"{more:,} more corrected `{row['error_type']}` {_s(more, 'case')} to reach {wanted:,}; {wait}.",
            "error_type": row["error_type"],
            "valid": row["valid"],
            "more_cases": more,
            "uncorrected": waiting,
        }


def _rejected(material: Material) -> Found:
    for issue in material.facts["data_quality_assessment"]["issues"]:
        count = issue["count"]
        to_mend = issue["measure"] is not None and not RULES[issue["reason"]].remedy.startswith("nothing to do")
        if to_mend and count >= material.settings.min_rejected:
            yield {
                "text": f"{count:,} {_s(count, 'case was', 'cases were')} rejected for `{issue['reason']}` "
                f"({issue['meaning']}): {issue['remedy']}.",
                "reason": issue["reason"],
                "count": count,
            }


def _disputed(material: Material) -> Found:
    rows = material.cases[material.cases["conflicting_corrections"] > 0]
    if len(rows) > material.settings.max_disputed:
        yield {
            "text": f"Settle {len(rows):,} {_s(len(rows), 'case')} whose human corrections disagree, such as "
            f"`{rows['case_id'].iloc[0]}`; until then the last one counts.",
            "cases": len(rows),
        }


def _small_test(material: Material) -> Found:
    data, settings = material.facts["dataset"], material.settings
    cases, speakers = data["rows"].get("test", 0), data["speakers"].get("test", 0)
    numbers = {"test_cases": cases, "test_speakers": speakers}
    if cases < settings.min_test_cases:
        short = settings.min_test_cases - cases
        text = f"Record more: the test split holds {cases:,} {_s(cases, 'case')}, {short:,} short of "
        yield numbers | {
            "text": f"{text}{settings.min_test_cases:,}; small differences of models cannot be told on it."
        }
    if speakers < settings.min_test_speakers:
        more = settings.min_test_speakers - speakers
        text = f"Record more speakers, or name them: the test split has {speakers:,}, {more:,} short of "
        yield numbers | {
            "text": f"{text}{settings.min_test_speakers:,}; error rates vary most from speaker to speaker."
        }


def _one_speaker(material: Material) -> Found:
    train = material.splits[material.splits["split"] == "train"]
    counts = train["speaker_id"].value_counts()
    if len(counts) and counts.iloc[0] > material.settings.max_speaker_share * len(train):
        share = counts.iloc[0] / len(train)
        yield {
            "text": f"Record other speakers: `{counts.index[0]}` speaks in {share:.0%} of the training cases "
            f"({counts.iloc[0]:,} of {len(train):,}).",
            "share": share,
            "cases": int(counts.iloc[0]),
        }


def _nameless(material: Material) -> Found:
    nameless = int(material.splits["speaker_id"].isna().sum())
    total = len(material.splits)
    if nameless > material.settings.max_without_speaker * total:
        yield {
            "text": f"Record a speaker_id: {nameless:,} of {total:,} cases of the dataset have none, so one voice may "
            "lie in train and in test.",
            "cases": nameless,
            "share": nameless / total,
        }


def _confident_and_wrong(material: Material) -> Found:
    found, most = material.facts["calibration"], material.settings.max_confident_wrong
    wrong, scored = found["confident_and_wrong"], found["scored_cases"]
    if scored and wrong > most * scored:
        yield {
            "text": f"Do not trust confidence to find failures: in {wrong:,} of {scored:,} valid cases it was "
            f"{found['confident']:g} or more while the WER was {found['wrong']:g} or more.",
            "cases": wrong,
            "scored_cases": scored,
        }


def _unnamed_test_sets(material: Material) -> Found:
    rows = material.facts["measurements"]
    unnamed = sum("unknown" in (row[GROUP[0]], row[GROUP[1]]) for row in rows)
    if unnamed > material.settings.max_unnamed_measurements:
        yield {
            "text": f"Say what was measured: of {len(rows):,} {_s(len(rows), 'measurement')} of models, {unnamed:,} "
            f"{_s(unnamed, 'lacks', 'lack')} test set or normaliser, so no change between them means anything. "
            "`mondegreen evaluate` records both.",
            "measurements": unnamed,
        }


def _not_measured(material: Material) -> Found:
    count = len(material.facts["measurements"])
    if count < material.settings.min_measurements:
        yield {
            "text": f"Measure a model on the test split with `mondegreen evaluate`: {count:,} "
            f"{_s(count, 'measurement is', 'measurements are')} recorded.",
            "measurements": count,
        }


RECOMMENDATIONS = {
    "quality_margin": _quality_margin,
    "worse_model": _worse_model,
    "low_correction_rate": _low_correction_rate,
    "waiting_long": _waiting_long,
    "rejected": _rejected,
    "disputed": _disputed,
    "small_test": _small_test,
    "confident_and_wrong": _confident_and_wrong,
    "one_speaker": _one_speaker,
    "nameless": _nameless,
    "unnamed_test_sets": _unnamed_test_sets,
    "not_measured": _not_measured,
    "more_of_type": _more_of_type,
}
"""Every rule by name, the most urgent first."""


def _s(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or f"{one}s"
