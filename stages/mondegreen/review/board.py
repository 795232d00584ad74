"""Every case and what was decided about it, kept in memory and up to date with the log: batches and spool."""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mondegreen import live, log, spool
from mondegreen.cases import TIERS
from mondegreen.errors import DataError, RecordError
from mondegreen.events import check_event

CORRECTION, SKIP, UNSURE, BAD_AUDIO, UNDO = "correction", "skip", "unsure", "bad_audio", "undo"
PAGE = "review"
"""What the metadata of a correction made on the page says under `page`."""


@dataclass(frozen=True)
class Case:
    """A failed transcription as it was recorded; what is not known is None."""

    case_id: str
    recorded_at: str
    event_id: str
    original: str
    audio: Mapping[str, Any] | None
    error_types: tuple[str, ...]
    score: float | None
    confidence: float | None
    language: str | None
    speaker_id: str | None
    model_version: str | None


@dataclass(frozen=True)
class Decision:
    """What a person said about a case: a correction, or skip, unsure, bad_audio."""

    event_id: str
    case_id: str
    at: str
    author: str
    kind: str
    text: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Proposal:
    """What a machine thinks was said."""

    text: str
    method: str
    confidence: float | None = None


class Board:
    """All cases of a repository and its spool, folded event by event; it only ever grows."""

    def __init__(self, inbox: Path) -> None:
        """Read everything that was recorded; raises `DataError` where a batch is missing or damaged."""
        self.cases: dict[str, Case] = {}
        self._inbox = inbox
        self._read: dict[Path, int] = {}
        self._seen: set[str] = set()
        self._undone: set[str] = set()
        self._withdrawn: set[tuple[str, str | None]] = set()
        self._decisions: dict[str, list[Decision]] = defaultdict(list)
        self._by_author: dict[str, list[Decision]] = defaultdict(list)
        self._proposals: dict[str, list[Proposal]] = defaultdict(list)
        self._touched: set[str] = set()
        waiting = self._waiting()
        self._take(live.files(inbox), waiting)

    def refresh(self) -> None:
        """Take in what was recorded since, here, by other people and by agents."""
        waiting, files = self._waiting(), []
        with suppress(DataError):  # a batch is being checked out: what was read of it is still true
            files = list(live.files(self._inbox))
        self._take(files, waiting)

    def touched(self) -> set[str]:
        """Return the cases about which something was recorded since this was asked last."""
        found, self._touched = self._touched, set()
        return found

    def withdrawn(self, case: Case) -> bool:
        """Say whether consent for the case or its speaker was withdrawn."""
        return ("case_id", case.case_id) in self._withdrawn or ("speaker_id", case.speaker_id) in self._withdrawn

    def proposals(self, case_id: str) -> list[Proposal]:
        """Return what machines proposed for a case or heard in it, the newest first, each text once."""
        return list({each.text: each for each in self._proposals.get(case_id, [])}.values())[::-1]

    def standing(self, case_id: str) -> dict[str, Decision]:
        """Return by author the last decision about a case that nobody took back; to skip it is to decide nothing."""
        return {each.author: each for each in self._standing(case_id) if each.kind != SKIP}

    def skipped(self, case_id: str, author: str, since: str) -> bool:
        """Say whether a person put a case off at or after the time `since`."""
        return any(each.kind == SKIP and each.author == author and each.at >= since for each in self._standing(case_id))

    def _standing(self, case_id: str) -> list[Decision]:
        return [each for each in self._decisions.get(case_id, ()) if each.event_id not in self._undone]

    def corrected_texts(self) -> list[str]:
        """Return what people corrected cases to, for machines to learn from."""
        every = (each for decisions in self._by_author.values() for each in decisions)
        return [each.text for each in every if each.text and each.event_id not in self._undone]

    def made_by(self, author: str) -> list[Decision]:
        """Return the decisions of a person that stand, oldest first."""
        return [each for each in self._by_author.get(author, ()) if each.event_id not in self._undone]

    def _waiting(self) -> list[dict[str, Any]]:
        """Return what the inbox holds that was not read yet; read before the batches are listed, see `live.files`."""
        waiting = []
        for segment in spool.segments(self._inbox):
            found, self._read[segment] = log.read_on(segment, self._read.get(segment, 0))
            waiting += found
        return waiting

    def _take(self, files: Iterable[Path], waiting: list[dict[str, Any]]) -> None:
        try:
            for file in files:
                if file not in self._read:
                    for event in log.batch_events(file):
                        self._apply(event)
                    self._read[file] = 0
        except FileNotFoundError:  # a compaction took a batch away: another one holds what it held
            self._take(live.files(self._inbox), [])
        finally:
            for event in waiting:
                with suppress(RecordError):  # a damaged line is for ingest to report
                    self._apply(check_event(event))

    def _apply(self, event: Mapping[str, Any]) -> None:
        if event["event_id"] in self._seen:
            return
        self._seen.add(event["event_id"])
        kind = event["event"]
        if "case_id" in event:
            self._touched.add(event["case_id"])
        if kind == "failure":
            self._add(_case(event))
        elif kind == "correction" and TIERS[event["method"].split(":")[0]] < TIERS["manual"]:
            proposal = Proposal(event["corrected_transcript"], event["method"], _confidence(event))
            self._proposals[event["case_id"]].append(proposal)
        elif kind == "hearing" and event["transcript"].strip():
            proposal = Proposal(
                event["transcript"], f"heard by {event['model_version']}", event.get("model_confidence")
            )
            self._proposals[event["case_id"]].append(proposal)
        elif kind in ("correction", "review"):
            self._decide(event)
        elif kind == "withdrawal":
            self._withdrawn |= {(name, event[name]) for name in ("case_id", "speaker_id") if name in event}
            if "speaker_id" in event:
                self._touched |= {case.case_id for case in self.cases.values() if self.withdrawn(case)}

    def _add(self, case: Case) -> None:
        before = self.cases.get(case.case_id)
        if before is None or (before.recorded_at, before.event_id) < (case.recorded_at, case.event_id):
            self.cases[case.case_id] = case

    def _decide(self, event: Mapping[str, Any]) -> None:
        if event.get("decision") == UNDO:
            self._undone.add(event["undoes"])
            return
        decision = _decision(event)
        for decisions in (self._decisions[decision.case_id], self._by_author[decision.author]):
            insort(decisions, decision, key=lambda each: (each.at, each.event_id))


def _case(event: Mapping[str, Any]) -> Case:
    types = event.get("error_types") or ()
    heard = event["original_transcript"]
    return Case(
        case_id=event["case_id"],
        recorded_at=event["recorded_at"],
        event_id=event["event_id"],
        original=heard,
        audio=event.get("audio"),
        error_types=(*types, *(["empty"] if not heard.strip() and "empty" not in types else [])),
        score=event.get("error_score"),
        confidence=event.get("model_confidence"),
        language=event.get("language"),
        speaker_id=event.get("speaker_id"),
        model_version=event.get("model_version"),
    )


def _decision(event: Mapping[str, Any]) -> Decision:
    return Decision(
        event_id=event["event_id"],
        case_id=event["case_id"],
        at=event["recorded_at"],
        author=event.get("author") or "",
        kind=event.get("decision", CORRECTION),
        text=" ".join(event.get("corrected_transcript", "").split()),
        metadata=event.get("metadata") or {},
    )


def _confidence(event: Mapping[str, Any]) -> float | None:
    found = (event.get("metadata") or {}).get("confidence")
    return float(found) if isinstance(found, int | float) and 0 <= found <= 1 else None
