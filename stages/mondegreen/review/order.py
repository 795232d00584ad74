"""Which case is worth a person's time first, and why."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from math import sqrt

from mondegreen.review.board import Case

UNKNOWN = 0.5
"""What an error score or a confidence counts that was not recorded."""

ORDERS = {
    "worst": "high error score × confident and wrong × rare error type: where an hour of work teaches a model most",
    "newest": "what was recorded last",
    "uncertain": "what the recogniser was least sure of",
}
"""Every order, as the page explains it."""

COMMON = "A case that two people corrected differently comes before all; what was not recorded counts half"
"""What holds in each order."""


@dataclass(frozen=True)
class Order:
    """An order of cases; `counts` is how many cases there are of each error type."""

    name: str
    counts: Counter[str]

    def key(self, case: Case) -> tuple[float, str]:
        """Return what cases are sorted by, the first to look at first; equal ones by case_id."""
        if self.name == "newest":
            return -datetime.fromisoformat(case.recorded_at).timestamp(), case.case_id
        return (_confidence(case) if self.name == "uncertain" else -self.value(case)), case.case_id

    def value(self, case: Case) -> float:
        """Return score × confidence × rarity, 0..1; rarity is 1/√(cases of its rarest error type)."""
        return _score(case) * _confidence(case) / sqrt(self.rarest(case)[0])

    def rarest(self, case: Case) -> tuple[int, str]:
        """Return how many cases share the rarest error type of a case, and which it is; none is a type of its own."""
        return min((max(1, self.counts[name]), name) for name in types(case))

    def reason(self, case: Case) -> str:
        """Return why a case stands where it does, in its own numbers."""
        if self.name == "newest":
            return f"recorded {case.recorded_at[:16].replace('T', ' ')} UTC"
        sure = "confidence not recorded" if case.confidence is None else f"confidence {case.confidence:.2f}"
        if self.name == "uncertain":
            return sure
        score = "error score not recorded" if case.score is None else f"error score {case.score:.2f}"
        count, name = self.rarest(case)
        kind = f"{count:,} with {name}" if name else f"{count:,} without an error type"
        return f"{score} × {sure} × 1/√{count} ({kind}) = {self.value(case):.3f}"


def types(case: Case) -> tuple[str, ...]:
    """Return the error types of a case as the agent gave them; '' where it gave none."""
    return case.error_types or ("",)


def order(name: str, cases: Collection[Case]) -> Order:
    """Return the order of this name over `cases`."""
    return Order(name, Counter(kind for case in cases for kind in types(case)))


def _score(case: Case) -> float:
    return UNKNOWN if case.score is None else case.score


def _confidence(case: Case) -> float:
    return UNKNOWN if case.confidence is None else case.confidence
