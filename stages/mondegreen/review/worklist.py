"""Where every case stands for one person, kept up to date case by case: ten thousand cost no more than ten."""

from bisect import insort
from collections import Counter
from collections.abc import Collection, Iterator

from mondegreen.errors import DataError
from mondegreen.review import order
from mondegreen.review.board import BAD_AUDIO, CORRECTION, Board, Case, Decision
from mondegreen.review.order import Order
from mondegreen.review.suspicion import QUEUE, Suspicion

WAITING, DISPUTED, PUT_OFF, DONE, OUTSIDE = "waiting", "disputed", "put off", "done", "outside"
"""What a case can be: disputed ones wait for a third look, what is outside does not belong to the queue."""

_GROWTH = 1.05
"""How many times as many cases there have to be before rarity is counted again."""


class Worklist:
    """The cases of a board in the order in which one person should see them."""

    def __init__(
        self,
        board: Board,
        author: str,
        *,
        order_name: str,
        error_types: Collection[str],
        since: str,
        suspicion: Suspicion | None = None,
    ) -> None:
        """Sort everything once; what `author` skipped before `since` waits again.

        With `suspicion` the cases are those whose correction is suspect, the most suspect first, until somebody has
        looked again.

        Raises `DataError` where no case has one of `error_types`.
        """
        self._board = board
        self._author = author
        self._types = set(error_types)
        self._name = order_name
        self._since = since
        self._suspicion = suspicion
        self._check_types()
        self._sort()

    @property
    def counts(self) -> Counter[str]:
        """How many cases there are of each kind, those outside included."""
        return self._counts

    def update(self) -> None:
        """Take in what was recorded since."""
        self._board.refresh()
        touched = self._board.touched()
        before, self._suspicion = self._suspicion, self._suspicion and self._suspicion.renewed()
        if self._suspicion is not before or len(self._board.cases) > _GROWTH * self._sorted_at + 20:
            self._sort()
        for case_id in touched:
            if case_id in self._board.cases:
                self._place(self._board.cases[case_id])

    def begin_round(self, since: str) -> None:
        """Let what was put off before `since` wait again."""
        self._since = since
        for case_id in [case_id for case_id, state in self._states.items() if state == PUT_OFF]:
            self._place(self._board.cases[case_id])

    def waiting(self) -> Iterator[str]:
        """Yield the cases that wait for this person, those that need a third look first."""
        for wanted in (DISPUTED, WAITING) if self._counts[DISPUTED] else (WAITING,):
            for _, case_id in self._keys:
                if self._states[case_id] == wanted:
                    yield case_id

    def reason(self, case: Case) -> str:
        """Return why a case stands where it does."""
        return self._order.reason(case)

    def _sort(self) -> None:
        cases = [case for case in self._board.cases.values() if not self._board.withdrawn(case)]
        self._sorted_at = len(self._board.cases)
        self._order: Order | Suspicion = self._suspicion or order.order(self._name, cases)
        self._states: dict[str, str] = {case_id: self._state(case) for case_id, case in self._board.cases.items()}
        self._counts = Counter(self._states.values())
        self._keys = sorted(self._order.key(case) for case in self._board.cases.values())

    def _place(self, case: Case) -> None:
        before, now = self._states.get(case.case_id), self._state(case)
        if before is None:
            insort(self._keys, self._order.key(case))
        else:
            self._counts[before] -= 1
        self._states[case.case_id] = now
        self._counts[now] += 1

    def _state(self, case: Case) -> str:
        """Say whether a case needs this person: nobody corrected it, or two people did, and differently."""
        if self._board.withdrawn(case) or (self._types and not self._types & set(order.types(case))):
            return OUTSIDE
        standing = self._board.standing(case.case_id)
        if self._suspicion is not None:
            return self._second_look(case, standing.values())
        if self._author in standing or any(each.kind == BAD_AUDIO for each in standing.values()):
            return DONE
        state = WAITING if not any(each.kind == CORRECTION for each in standing.values()) else DONE
        state = DISPUTED if disputed(standing.values()) else state
        return self._unless_put_off(case, state)

    def _second_look(self, case: Case, standing: Collection[Decision]) -> str:
        """Say whether the correction of a case is suspect, and nobody looked again."""
        if self._suspicion is None or case.case_id not in self._suspicion.found:
            return OUTSIDE
        looked = any(each.kind != CORRECTION or each.metadata.get("queue") == QUEUE for each in standing)
        return self._unless_put_off(case, DONE if looked else WAITING)

    def _unless_put_off(self, case: Case, state: str) -> str:
        put_off = state != DONE and self._board.skipped(case.case_id, self._author, self._since)
        return PUT_OFF if put_off else state

    def _check_types(self) -> None:
        known = {name for case in self._board.cases.values() for name in case.error_types}
        if unknown := sorted(self._types - known):
            raise DataError(f"no case has the error type {unknown[0]}; the types are {', '.join(sorted(known))}")


def disputed(standing: Collection[Decision]) -> bool:
    """Say whether the two people who corrected a case did it differently, and nobody had a third look."""
    texts = [each.text for each in standing if each.kind == CORRECTION]
    return len(texts) == 2 and texts[0] != texts[1]
