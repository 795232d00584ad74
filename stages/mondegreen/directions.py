"""Directions: which parameters and metrics differ between two states, and whether a metric got better or worse."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isclose
from typing import Any

from mondegreen.snapshot import Snapshot

FILES = ("quality", "split", "dataset", "collect", "performance")
"""The metrics files that are compared, data/metrics/NAME.json; that of the gate is in the verdict."""

BETTER = {
    "quality.quality_metrics.*": "higher",
    "collect.correction_rate": "higher",
    "collect.disputed_cases": "lower",
    "collect.*_of_unknown*": "lower",
    "dataset.uniqueness": "higher",
    "dataset.problems.*": "lower",
    "split.shared.*": "lower",
    "performance.models.*": "lower",
}
"""Which way a metric gets better. All others have none: more cases, or a higher WER of the recogniser on them, say
how large and how hard a dataset is, not how good it is."""

DERIVED = (
    *("*_sha256", "dataset.rows.*", "performance.measurements", "performance.trends.*", "quality.rejected_by_reason.*"),
    *("split.*error_types.*", "split.links.*", "split.ratios.*", "split.sizes.*"),
)
"""Metrics that are not compared: they say again, or less well, what others or the rows say."""

MEASURES = "quality.quality_metrics."

_DIGITS = 1e-6


@dataclass(frozen=True)
class Metric:
    """A number in two states (None: not there); `direction` is better, worse, same or changed.

    `threshold` is the gate's least value in the later state, for a measure of the gate.
    """

    name: str
    before: float | None
    after: float | None
    direction: str
    threshold: float | None = None

    @property
    def label(self) -> str:
        """Return the name for people: a measure of the gate by itself, others with their file."""
        return self.name.removeprefix(MEASURES)

    @property
    def passed(self) -> bool:
        """Tell whether the value meets its threshold, if there is one."""
        return self.threshold is None or (self.after is not None and self.after >= self.threshold)


def params(before: Snapshot, after: Snapshot) -> list[dict[str, Any]]:
    """Return the parameters that differ, by dotted name: `{"name", "before", "after"}`, without what is not set."""
    old, new = (flat(state.yaml("params.yaml")) for state in (before, after))
    differing = sorted(name for name in old.keys() | new.keys() if old.get(name, _UNSET) != new.get(name, _UNSET))
    sides = (("before", old), ("after", new))
    return [{"name": name} | {side: values[name] for side, values in sides if name in values} for name in differing]


def metrics(before: Snapshot, after: Snapshot) -> list[Metric]:
    """Return the metrics that differ, by name, behind the measures of the gate, which are always there."""
    old, new = (_numbers(state) for state in (before, after))
    gate = after.yaml("params.yaml").get("gate", {})
    found = [
        _metric(name, old.get(name), new.get(name), gate)
        for name in sorted(old.keys() | new.keys(), key=lambda name: (not name.startswith(MEASURES), name))
        if not any(fnmatchcase(name, pattern) for pattern in DERIVED)
    ]
    return [metric for metric in found if metric.name.startswith(MEASURES) or metric.direction != "same"]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, its keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


_UNSET = object()


def _numbers(state: Snapshot) -> dict[str, float]:
    values = {name: state.json(f"data/metrics/{name}.json") for name in FILES}
    return {
        name: value
        for name, value in flat(values).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _metric(name: str, before: float | None, after: float | None, gate: Mapping[str, Any]) -> Metric:
    threshold = gate.get(name.removeprefix(MEASURES)) if name.startswith(MEASURES) else None
    return Metric(name, before, after, _direction(name, before, after), threshold)


def _direction(name: str, before: float | None, after: float | None) -> str:
    better = next((way for pattern, way in BETTER.items() if fnmatchcase(name, pattern)), None)
    if before == after or (before is not None and after is not None and isclose(before, after, abs_tol=_DIGITS / 2)):
        return "same"
    if before is None or after is None or better is None:
        return "changed"
    return "better" if (after > before) == (better == "higher") else "worse"
