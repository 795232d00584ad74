"""One person's work: which case is next, what was decided about it, what is taken back, how far it is."""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mondegreen import events
from mondegreen.errors import DataError
from mondegreen.recorder import Recorder
from mondegreen.review import order
from mondegreen.review.board import BAD_AUDIO, CORRECTION, PAGE, SKIP, UNDO, UNSURE, Board, Case, Decision, Proposal
from mondegreen.review.leases import Leases
from mondegreen.terminal import plain

CORRECT, SILENCE, NOT_SPEECH = "correct", "silence", "not_speech"
DECISIONS = {
    CORRECT: "Saved",
    SILENCE: "Marked as silence",
    NOT_SPEECH: "Marked as not speech",
    UNSURE: "Marked as unsure",
    BAD_AUDIO: "Marked as bad audio",
    SKIP: "Put off",
}
"""What a person can decide about a case, and how the page says that it is recorded."""


@dataclass(frozen=True)
class Progress:
    """How far the work is: `done` of `total` cases, `today` by this person; `put_off` wait for a second round."""

    done: int
    total: int
    today: int
    put_off: int


@dataclass(frozen=True)
class Sheet:
    """What a person needs to decide about a case: `start` stands in the editor, `reason` is why it comes now."""

    case: Case
    start: str
    suggestions: list[Proposal]
    reason: str
    third_look: bool


class Desk:
    """The queue of one person on a spool. Every decision is durable in the log before it is acknowledged."""

    def __init__(self, inbox: Path, author: str, *, order_name: str, error_types: Collection[str] = ()) -> None:
        """Read what was recorded; raises `DataError` where no case has one of `error_types`."""
        self.author = author
        self.order_name = order_name
        self._types = set(error_types)
        self._board = Board(inbox)
        self._leases = Leases(inbox)
        self._recorder = Recorder(inbox)
        self._lock = threading.RLock()
        self._round = _midnight()
        self._sorted: tuple[int, order.Order, list[Case]] | None = None
        self._shown: dict[str, float] = {}
        self._check_types()

    def close(self) -> None:
        """Give the case back, and finish the segment so that ingest can take it."""
        self._leases.release()
        self._recorder.close()

    def next(self) -> Sheet | None:
        """Return the next case for this person, leased to this desk; None when nothing waits."""
        with self._lock:
            self._board.refresh()
            case_id = self._leases.take(case.case_id for case in self._waiting())
            return None if case_id is None else self._sheet(self._board.cases[case_id])

    def case(self, case_id: str) -> Case:
        """Return a case; raises `DataError` where it is unknown or withdrawn."""
        case = self._board.cases.get(case_id)
        if case is None or self._board.withdrawn(case):
            raise DataError(f"{case_id[:100]} is no case of this repository")
        return case

    def hold(self, case_id: str) -> bool:
        """Hold the case that is being worked on; return whether it still is this person's."""
        return self._leases.hold(self.case(case_id).case_id)

    def decide(self, case_id: str, decision: str, text: str = "", taken: str | None = None) -> str:
        """Record a decision and return the words for it; `taken` is the method whose suggestion was taken.

        Raises `DataError` for what is no decision, or a correction without text; then nothing is recorded.
        """
        with self._lock:
            case = self.case(case_id)
            if decision not in DECISIONS:
                raise DataError(f"{decision[:40]} is no decision: {', '.join(DECISIONS)}")
            text = " ".join(text.split())
            if decision == CORRECT and not text:
                raise DataError("there is no text: mark it as silence (X) or as not speech (N), if nobody speaks")
            notes = self._notes(case, decision, taken)
            if decision in (SKIP, UNSURE, BAD_AUDIO):
                self._recorder.review(case_id, decision, author=self.author, metadata=notes)
            else:
                spoken = decision == CORRECT
                self._recorder.correction(
                    case_id, text if spoken else "", author=self.author, is_speech=spoken, metadata=notes
                )
            self._board.refresh()
            return DECISIONS[decision] + (f": {plain(text)}" if decision == CORRECT else "")

    def undo(self) -> Sheet | None:
        """Take back this person's last decision by a further event, and return its case; None if there is none."""
        with self._lock:
            self._board.refresh()
            last = next((each for each in reversed(self._board.made_by(self.author)) if _on_page(each)), None)
            if last is None or last.case_id not in self._board.cases:
                return None
            self._recorder.review(last.case_id, UNDO, undoes=last.event_id, author=self.author)
            self._board.refresh()
            self._leases.take([last.case_id])
            return self._sheet(self._board.cases[last.case_id], last.text)

    def again(self) -> None:
        """Begin another round: what was put off waits again."""
        self._round = events.now()

    def progress(self) -> Progress:
        """Return how far the work is."""
        with self._lock:
            cases = self._cases()[1]
            waiting = sum(1 for case in cases if self._waits(case))
            put_off = sum(1 for case in cases if self._open(case)) - waiting
            today = [each for each in self._board.made_by(self.author) if each.at >= _midnight() and each.kind != SKIP]
            return Progress(len(cases) - waiting - put_off, len(cases), len(today), put_off)

    def _cases(self) -> tuple[order.Order, list[Case]]:
        """Return all cases of this queue in their order; sorted again only where cases came or went."""
        version = self._board.version
        if self._sorted is None or self._sorted[0] != version:
            cases = [case for case in self._board.cases.values() if not self._board.withdrawn(case)]
            ranking = order.order(self.order_name, cases)
            wanted = [case for case in cases if not self._types or self._types & set(order.types(case))]
            self._sorted = version, ranking, ranking.sort(wanted)
        return self._sorted[1:]

    def _waiting(self) -> list[Case]:
        """Return the cases that wait for this person, those that need a third look first."""
        waiting = [case for case in self._cases()[1] if self._waits(case)]
        return sorted(waiting, key=lambda case: not self._disputed(case))

    def _waits(self, case: Case) -> bool:
        return self._open(case) and not self._board.skipped(case.case_id, self.author, self._round)

    def _open(self, case: Case) -> bool:
        """Say whether a case needs this person: nobody corrected it, or two people did, and differently."""
        standing = self._board.standing(case.case_id)
        if self.author in standing or any(each.kind == BAD_AUDIO for each in standing.values()):
            return False
        return not any(each.kind == CORRECTION for each in standing.values()) or self._disputed(case)

    def _disputed(self, case: Case) -> bool:
        """Say whether the people who corrected a case have not settled on a text, and nobody had a third look."""
        texts = [each.text for each in self._board.standing(case.case_id).values() if each.kind == CORRECTION]
        return len(texts) == 2 and texts[0] != texts[1]

    def _sheet(self, case: Case, start: str | None = None) -> Sheet:
        self._shown[case.case_id] = time.monotonic()
        disputed = self._disputed(case)
        found = self._board.proposals(case.case_id)
        if disputed:
            said = self._board.standing(case.case_id).values()
            found = [Proposal(each.text, "another person") for each in said if each.kind == CORRECTION] + found
        heard = _editable(case.original)
        found = [replace(each, text=_editable(each.text)) for each in found]
        return Sheet(
            case=case,
            start=start or heard,
            suggestions=[each for each in found if each.text not in ("", heard)][:9],
            reason=self._cases()[0].reason(case),
            third_look=disputed,
        )

    def _notes(self, case: Case, decision: str, taken: str | None) -> dict[str, object]:
        shown = self._shown.pop(case.case_id, None)
        notes: dict[str, object] = {"page": PAGE}
        if shown is not None:
            notes["seconds"] = round(time.monotonic() - shown, 1)
        if taken:
            notes["suggestion"] = taken[:100]
        if decision in (SILENCE, NOT_SPEECH):
            notes["heard"] = decision
        if self._disputed(case):
            notes["third_look"] = True
        return notes

    def _check_types(self) -> None:
        known = {name for case in self._board.cases.values() for name in case.error_types}
        if unknown := sorted(self._types - known):
            raise DataError(f"no case has the error type {unknown[0]}; the types are {', '.join(sorted(known))}")


def _on_page(decision: Decision) -> bool:
    return decision.kind != CORRECTION or decision.metadata.get("page") == PAGE


def _editable(text: str) -> str:
    """Return a transcript without what nobody can see or say: control and direction characters."""
    return " ".join(plain(text).replace("\ufffd", "").split())


def _midnight() -> str:
    """Return when today began here."""
    start = datetime.now(UTC).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return events.timestamp(start)
