"""What machines make of a case while it is shown: the correctors that need its text alone, which are quick."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from mondegreen import correcting, correctors
from mondegreen.correctors import Corrector
from mondegreen.errors import CorrectorError
from mondegreen.review.board import Case, Proposal


def by_rules(texts: Iterable[str]) -> Callable[[Case], list[Proposal]]:
    """Return a function of a case that gives what each rule makes of it; rules that learn are taught by `texts`."""
    taught = list(texts)
    rules: list[Corrector] = []
    for name in correctors.names():
        with suppress(CorrectorError):  # a package that is not installed suggests nothing
            corrector = correctors.load(name, taught)
            if corrector.method.startswith("rule:"):
                rules.append(corrector)

    def propose(case: Case) -> list[Proposal]:
        row: dict[str, Any] = {
            "case_id": case.case_id,
            "original_transcript": case.original,
            "error_types": list(case.error_types),
            "error_score": case.score,
            "model_confidence": case.confidence,
            "model_version": case.model_version,
            "language": case.language,
            "speaker_id": case.speaker_id,
            "transcripts": {},
        }
        found = (each for rule in rules for _, each, _ in correcting.suggest(rule, [row], lambda _: None))
        return [Proposal(each.text, each.method, each.confidence) for each in found if each is not None]

    return propose
