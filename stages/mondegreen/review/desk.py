"""One person's work: which case is next, what was decided about it, what is taken back, how far it is."""

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from mondegreen import events
from mondegreen.errors import DataError
from mondegreen.recorder import Recorder
from mondegreen.review import proposals
from mondegreen.review.board import BAD_AUDIO, CORRECTION, PAGE, SKIP, UNDO, UNSURE, Board, Case, Decision, Proposal
from mondegreen.review.leases import Leases
from mondegreen.review.order import COMMON, ORDERS
from mondegreen.review.suspicion import EXPLAINED, QUEUE, Suspicion
from mondegreen.review.worklist import DONE, OUTSIDE, PUT_OFF, Worklist, disputed
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


THIRD_LOOK = "Two people corrected this differently: yours is the third look."

SUGGESTIONS = 9
"""Keys for them."""


@dataclass(frozen=True)
class Progress:
    """How far the work is: `done` of `total` cases, `today` by this person here; `put_off` wait for another round."""

    done: int
    total: int
    today: int
    put_off: int


@dataclass(frozen=True)
class Sheet:
    """What a person needs to decide about a case: `start` stands in the editor, `reason` is why it comes now.

    `notice` says what is special about it, '' mostly.
    """

    case: Case
    start: str
    suggestions: list[Proposal]
    reason: str
    notice: str


class Desk:
    """The queue of one person on a spool. Every decision is durable in the log before it is acknowledged."""

    def __init__(
        self,
        inbox: Path,
        author: str,
        *,
        order_name: str = "worst",
        error_types: Collection[str] = (),
        suspicion: Suspicion | None = None,
    ) -> None:
        """Read what was recorded; with `suspicion` the queue is that of suspect corrections.

        Raises `DataError` where no case has one of `error_types`.
        """
        self.author = author
        self.explained = f"{ORDERS[order_name]}. {COMMON}" if suspicion is None else EXPLAINED
        """The order of the queue, in words."""
        self._suspects = suspicion is not None
        self._board = Board(inbox)
        self._work = Worklist(
            self._board, author, order_name=order_name, error_types=error_types, since=_midnight(), suspicion=suspicion
        )
        self._propose = proposals.by_rules(self._board.corrected_texts())
        self._leases = Leases(inbox)
        self._recorder = Recorder(inbox)
        self._lock = threading.RLock()
        self._shown: dict[str, float] = {}

    def close(self) -> None:
        """Give the case back, and finish the segment so that ingest can take it."""
        self._leases.release()
        self._recorder.close()

    def next(self) -> Sheet | None:
        """Return the next case for this person, leased to this desk; None when nothing waits."""
        with self._lock:
            self._work.update()
            case_id = self._leases.take(self._work.waiting())
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
            self._work.update()
            return DECISIONS[decision] + (f": {plain(text)}" if decision == CORRECT else "")

    def undo(self) -> Sheet | None:
        """Take back this person's last decision by a further event, and return its case; None if there is none."""
        with self._lock:
            self._work.update()
            last = next((each for each in reversed(self._board.made_by(self.author)) if _on_page(each)), None)
            if last is None or last.case_id not in self._board.cases:
                return None
            self._recorder.review(last.case_id, UNDO, undoes=last.event_id, author=self.author)
            self._work.update()
            self._leases.take([last.case_id])
            return self._sheet(self._board.cases[last.case_id], last.text)

    def again(self) -> None:
        """Begin another round: what was put off waits again."""
        with self._lock:
            self._work.begin_round(events.now())

    def progress(self) -> Progress:
        """Return how far the work is."""
        with self._lock:
            counts, start = self._work.counts, _midnight()
            mine = takewhile(lambda each: each.at >= start, reversed(self._board.made_by(self.author)))
            return Progress(
                done=counts[DONE],
                total=counts.total() - counts[OUTSIDE],
                today=sum(1 for each in mine if each.kind != SKIP and _on_page(each)),
                put_off=counts[PUT_OFF],
            )

    def _sheet(self, case: Case, start: str | None = None) -> Sheet:
        self._shown[case.case_id] = time.monotonic()
        said = list(self._board.standing(case.case_id).values())
        third_look, reason = disputed(said), self._work.reason(case)
        found = [*self._board.proposals(case.case_id), *self._propose(case)]
        texts = sorted((each for each in said if each.kind == CORRECTION), key=lambda each: (each.at, each.event_id))
        if third_look or (self._suspects and len(texts) > 1):
            people = [Proposal(each.text, "you" if each.author == self.author else "another person") for each in texts]
            found = people + found
        heard = _editable(case.original)
        if self._suspects and texts:
            start = start or texts[-1].text
            reason += "" if texts[-1].text else ". The correction says that nobody speaks"
        return Sheet(
            case=case,
            start=start or heard,
            suggestions=_distinct(found, heard),
            reason="" if self._suspects else reason,
            notice=reason if self._suspects else THIRD_LOOK if third_look else "",
        )

    def _notes(self, case: Case, decision: str, taken: str | None) -> dict[str, object]:
        shown = self._shown.pop(case.case_id, None)
        notes: dict[str, object] = {"page": PAGE}
        if shown is not None:
            notes["seconds"] = round(time.monotonic() - shown, 1)
        if self._suspects:
            notes["queue"] = QUEUE
        if taken:
            notes["suggestion"] = taken[:100]
        if decision in (SILENCE, NOT_SPEECH):
            notes["heard"] = decision
        if disputed(self._board.standing(case.case_id).values()):
            notes["third_look"] = True
        return notes


def _distinct(found: Iterable[Proposal], heard: str) -> list[Proposal]:
    """Return as many suggestions as there are keys, each text once, none that was heard anyway."""
    texts: dict[str, Proposal] = {}
    for each in found:
        text = _editable(each.text)
        if text not in ("", heard):
            texts.setdefault(text, replace(each, text=text))
    return list(texts.values())[:SUGGESTIONS]


def _on_page(decision: Decision) -> bool:
    return decision.metadata.get("page") == PAGE


def _editable(text: str) -> str:
    """Return a transcript without what nobody can see or say: control and direction characters."""
    return " ".join(plain(text).replace("\ufffd", "").split())


def _midnight() -> str:
    """Return when today began here."""
    start = datetime.now(UTC).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return events.timestamp(start)
