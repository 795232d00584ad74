"""Quality: which candidates pass, what they are worth, and the gate.

A candidate is a case that was corrected and not withdrawn; it lands in `valid` or in `rejected`, with every reason.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mondegreen import params
from mondegreen.errors import DataError
from mondegreen.rules import COMPLETENESS, CONSISTENCY, RULES, UNIQUENESS, VALIDITY, schemas

if TYPE_CHECKING:
    import pandera.pandas as pandera

Reasons = dict[int, list[str]]
"""The names of the rules that a row breaks, by row."""

LISTED = 20
"""How many cases a report lists per reason; the counts are never capped."""


@dataclass(frozen=True)
class Sorted:
    """The candidates, sorted out: `rejected` has the further column `reasons`, a list."""

    valid: pd.DataFrame
    rejected: pd.DataFrame


def candidates(cases: pd.DataFrame) -> pd.Series:
    """Return which of the cases were corrected and not withdrawn."""
    return cases["corrected_transcript"].notna() & ~cases["withdrawn"].astype(bool)


def nothing_to_train_on(cases: int) -> DataError:
    """Return the error that is raised where none of so many `cases` is a candidate."""
    return DataError(
        f"none of the {cases} cases can be trained on: none is corrected. "
        "Correct some ('mondegreen review', or 'mondegreen correct CASE_ID TEXT'), then 'mondegreen ingest' "
        "and 'dvc repro'"
    )


def sort_out(found: pd.DataFrame, settings: params.Validate, *, require_audio: bool, failures: bool = True) -> Sorted:
    """Apply the rules to the candidates `found`; both tables keep their order.

    Without `failures` they are utterances: that the recogniser was right is no reason.
    """
    found, reasons = found.reset_index(drop=True), Reasons()
    for schema in schemas(settings, require_audio=require_audio, failures=failures):
        reasons |= broken(found.drop(index=list(reasons)), schema)
    bad = sorted(reasons)
    rejected = found.loc[bad].assign(reasons=pd.Series([reasons[row] for row in bad], bad, dtype=object))
    return Sorted(found.drop(index=bad).reset_index(drop=True), rejected.reset_index(drop=True))


def broken(rows: pd.DataFrame, schema: "pandera.DataFrameSchema") -> Reasons:
    """Return the names of the checks of `schema` that `rows` do not meet, by the index of each such row."""
    found = Reasons()
    for check in schema.checks if len(rows) else ():
        for row in rows.index[~check(rows).check_output.astype(bool)].tolist():
            found.setdefault(row, []).append(check.name)
    return found


def measure(sorted_out: Sorted) -> dict[str, float]:
    """Return each measure as a share of rows in 0..1, and their mean as overall_score.

    Completeness, consistency and validity: the candidates that break no rule of that measure. Uniqueness: the valid
    rows whose sound no other valid row has; counted here anew, not taken from the rules.
    """
    total = len(sorted_out.valid) + len(sorted_out.rejected)
    hit = Counter[str | None]()
    for reasons, count in Counter(map(tuple, sorted_out.rejected["reasons"])).items():
        hit.update(dict.fromkeys({RULES[reason].measure for reason in reasons}, count))
    shares = {name: 1 - hit[name] / total for name in (COMPLETENESS, CONSISTENCY, VALIDITY)}
    valid, repeated = len(sorted_out.valid), sorted_out.valid["pcm_sha256"].dropna().duplicated(keep=False).sum()
    shares[UNIQUENESS] = int(valid - repeated) / valid if valid else 0.0
    return {**shares, "overall_score": sum(shares.values()) / len(shares)}


def report(
    cases: pd.DataFrame, sorted_out: Sorted, shares: dict[str, float], thresholds: params.Gate, valid_sha256: str
) -> dict[str, Any]:
    """Return the content of metrics/quality.json; `valid_sha256` ties it to the table that it speaks of."""
    rejected = sorted_out.rejected.explode("reasons")
    groups = rejected.groupby("reasons")["case_id"]
    withdrawn = int(cases["withdrawn"].sum())
    return {
        "passed": not missed(shares, thresholds),
        "quality_metrics": shares,
        "counts": {
            "cases": len(cases),
            "candidates": len(sorted_out.valid) + len(sorted_out.rejected),
            "valid": len(sorted_out.valid),
            "rejected": len(sorted_out.rejected),
            "uncorrected": len(cases) - withdrawn - len(sorted_out.valid) - len(sorted_out.rejected),
            "withdrawn": withdrawn,
        },
        "rejected_by_reason": {reason: len(groups.groups.get(reason, ())) for reason in RULES},
        "issues": [
            {
                "reason": reason,
                "measure": RULES[str(reason)].measure,
                "count": len(found),
                "meaning": RULES[str(reason)].meaning,
                "remedy": RULES[str(reason)].remedy,
                "cases": sorted(found)[:LISTED],
            }
            for reason, found in sorted(groups, key=lambda group: (-len(group[1]), group[0]))
        ],
        "warnings": _warnings(sorted_out.valid),
        "valid_sha256": valid_sha256,
    }


def counts(sorted_out: Sorted) -> dict[str, Any]:
    """Return how many rows passed, how many did not, and for which reasons."""
    reasons = sorted_out.rejected["reasons"].explode().value_counts()
    return {
        "valid": len(sorted_out.valid),
        "rejected": len(sorted_out.rejected),
        "rejected_by_reason": {str(reason): int(count) for reason, count in reasons.items()},
    }


def _warnings(valid: pd.DataFrame) -> list[str]:
    """Return what is no defect of a row, yet worth knowing before training on the table."""
    total = len(valid)
    disputed = int((valid["conflicting_corrections"] > 0).sum())
    nameless = int(valid["speaker_id"].isna().sum())
    found = []
    if disputed:
        found.append(f"{disputed} of {total} valid cases have human corrections that disagree; the last one counts")
    if nameless:
        found.append(f"{nameless} of {total} valid cases name no speaker: no split can keep their speakers apart")
    return found


def missed(shares: dict[str, float], thresholds: params.Gate) -> dict[str, tuple[float, float]]:
    """Return the measures that miss their threshold, as {measure: (share, threshold)}; empty when the gate passes.

    The thresholds are the checks of a Pandera schema over the measures. Shares are compared as they are written: with
    six digits, so that what the report shows is what was decided on.
    """
    import pandera.pandas as pandera  # as long to import as pandas

    wanted = asdict(thresholds)
    frame = pd.DataFrame({name: [round(shares[name], 6)] for name in wanted})
    columns = {name: pandera.Column(float, pandera.Check.ge(least)) for name, least in wanted.items()}
    try:
        pandera.DataFrameSchema(columns).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return {str(name): (shares[str(name)], wanted[str(name)]) for name in errors.failure_cases["column"]}
    return {}


def verdict(quality: dict[str, Any], thresholds: params.Gate, rejected_path: str) -> str:
    """Return the gate's table for people: each measure against its threshold, the main reasons, and what to do."""
    shares, bad = quality["quality_metrics"], missed(quality["quality_metrics"], thresholds)
    lines = [f"{'measure':<14}{'share':>10}{'threshold':>11}", "-" * 35]
    for name, least in asdict(thresholds).items():
        note = f"   misses by {least - shares[name]:.4f}" if name in bad else ""
        lines.append(f"{name:<14}{shares[name]:>10.4f}{least:>11.4f}{note}")
    lines += ["", *(f"note: {warning}" for warning in quality["warnings"])] if quality["warnings"] else []
    if bad:
        lines += ["", "Main reasons:"]
        to_show = [issue for issue in quality["issues"] if issue["measure"] in bad][:8]
        lines += [f"{issue['count']:>8}  {issue['reason']}: {issue['meaning']}; {issue['remedy']}" for issue in to_show]
        lines += [
            "",
            "The gate is shut: no new dataset is made, an older one stays.",
            f"{rejected_path} has every rejected case with its reasons.",
            "Mend the cases (correct, record again, or withdraw them), or change the threshold in params.yaml, gate.",
        ]
    return "\n".join(lines)
